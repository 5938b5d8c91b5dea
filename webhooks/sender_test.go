package webhooks

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/chancery-dev/chancery/domain"
)

const testOrg = domain.OrgID("org_01JD3Z8Q7G00000000000000A1")

// records is a log of n records that never grows.
type records []domain.Recorded

func newRecords(n int) records {
	var all records
	for i := range n {
		r := domain.Recorded{
			ID: ulid.MustNew(uint64(1_700_000_000_000+i), rand.Reader), Position: uint64(i + 1),
			Stream: domain.DirectoryStream{Org: testOrg}, Event: domain.APIKeyRevoked{},
			Raw: fmt.Appendf(nil, `{"n":%d}`, i+1),
		}
		all = append(all, r)
	}
	return all
}

func (l records) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		for _, r := range l[min(after, uint64(len(l))):] {
			if !yield(r, nil) {
				return
			}
		}
		<-ctx.Done()
	}
}

func (l records) Status(context.Context) (domain.LogStatus, error) {
	return domain.LogStatus{First: 1, Head: uint64(len(l))}, nil
}

// rig keeps what the sender tells and what a receiver took.
type rig struct {
	t        *testing.T
	dir      string
	log      records
	mu       sync.Mutex
	details  []string
	bodies   []string
	ids      []string
	disabled map[string]bool
	moved    chan uint64
	gone     chan struct{}
	text     bytes.Buffer
}

func newRig(t *testing.T, n int) *rig {
	return &rig{t: t, dir: t.TempDir() + "/webhooks", log: newRecords(n), moved: make(chan uint64, 10_000), gone: make(chan struct{}, 10), disabled: map[string]bool{}}
}

func (r *rig) Moved(name string, position uint64) {
	if name == "a" {
		r.moved <- position
	}
}
func (r *rig) Attempted(string, bool) {}
func (r *rig) Disabled(name string, disabled bool) {
	r.mu.Lock()
	r.disabled[name] = disabled
	r.mu.Unlock()
	if disabled {
		r.gone <- struct{}{}
	}
}

// took verifies a delivery as a receiver would.
func (r *rig) took(req *http.Request, secret string) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender gave up
	}
	hook, err := standard.NewWebhook(secret)
	if err != nil {
		r.t.Error(err)
		return
	}
	if err := hook.Verify(body, req.Header); err != nil {
		r.t.Errorf("a delivery does not verify: %v", err)
	}
	if c := req.Header.Get("Content-Type"); !strings.HasPrefix(c, "application/cloudevents+json") {
		r.t.Error(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	r.ids = append(r.ids, req.Header.Get("webhook-id"))
}

func (r *rig) open(config string, change ...func(*Config)) (*Sender, error) {
	endpoints, err := Parse([]byte(config))
	if err != nil {
		r.t.Fatal(err)
	}
	c := Config{
		Endpoints: endpoints, Dir: r.dir, Source: r.log, Observer: r, Now: time.Now, Rand: rand.Reader,
		Record:     func(_ context.Context, detail string) error { r.details = append(r.details, detail); return nil },
		Logger:     slog.New(slog.NewTextHandler(&r.text, nil)),
		FirstRetry: time.Millisecond, MostRetry: 4 * time.Millisecond, Timeout: 200 * time.Millisecond,
	}
	for _, f := range change {
		f(&c)
	}
	return Open(r.t.Context(), c)
}

// run sends until stop says so.
func (r *rig) run(config string, stop func(), change ...func(*Config)) {
	r.t.Helper()
	s, err := r.open(config, change...)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop()
	cancel()
	if err := <-ended; err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) until(position uint64) func() {
	return func() {
		for p := range r.moved {
			if p >= position {
				return
			}
		}
	}
}

func endpoint(url string, more string, secrets ...string) string {
	return `[{"name":"a","url":"` + url + `","from":"start","secrets":["` + strings.Join(secrets, `","`) + `"]` + more + `}]`
}

func TestAFlakyReceiverGetsAllInOrder(t *testing.T) {
	r := newRig(t, 30)
	attempt := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		attempt++ // one delivery at a time
		switch attempt % 6 {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		case 3:
			http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
		case 4:
			w.Header().Set("Retry-After", "1") // capped by MostRetry
			w.WriteHeader(http.StatusTooManyRequests)
		case 5:
			if attempt == 5 {
				_, _ = io.Copy(io.Discard, req.Body)
				<-req.Context().Done() // a timeout
				return
			}
			fallthrough
		default:
			r.took(req, secretText('k'))
			_, _ = w.Write(make([]byte, 64<<10))
		}
	}))
	defer server.Close()
	r.run(endpoint(server.URL+"/p4th?q=t0ken", "", secretText('k')), r.until(30))
	for i, body := range r.bodies {
		if body != string(r.log[i].Raw) || r.ids[i] != r.log[i].ID.String() {
			t.Fatalf("delivery %d is %s", i, body)
		}
	}
	if len(r.bodies) != 30 {
		t.Errorf("%d deliveries", len(r.bodies))
	}
	for _, canary := range []string{"p4th", "t0ken", secretText('k'), `{"n"`} {
		if strings.Contains(r.text.String(), canary) || strings.Contains(fmt.Sprint(r.details), canary) {
			t.Errorf("%s is in the log", canary)
		}
	}
}

func TestSeveralSecretsSignAtOnce(t *testing.T) {
	r := newRig(t, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		if req.Header.Get("webhook-id") == r.log[0].ID.String() {
			r.took(req, secretText('o'))
		} else {
			r.took(req, secretText('n'))
		}
	}))
	defer server.Close()
	r.run(endpoint(server.URL, "", secretText('o'), secretText('n')), r.until(2))
	if len(r.bodies) != 2 {
		t.Error(r.bodies)
	}
}

func TestACrashRepeatsAtMostTheOneInFlight(t *testing.T) {
	r := newRig(t, 5)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { r.took(req, secretText('k')) }))
	defer server.Close()
	config := endpoint(server.URL, "", secretText('k'))
	r.run(config, r.until(5))
	path := r.dir + "/a.json"
	at, err := readCursor(path)
	if err != nil || at.Position != 5 {
		t.Fatal(at, err)
	}
	at.Position-- // the fifth was taken, its cursor was not written
	if err := writeCursor(path, at); err != nil {
		t.Fatal(err)
	}
	r.moved = make(chan uint64, 10_000)
	r.run(config, r.until(5))
	if !slices.Equal(r.bodies, []string{`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":5}`, `{"n":5}`}) || r.ids[4] != r.ids[5] {
		t.Error(r.bodies)
	}
}

func TestConfigurationChangesAreRecorded(t *testing.T) {
	r := newRig(t, 3)
	url := "https://h.example/p4th"
	now := strings.Replace(endpoint(url, "", secretText('k')), `"start"`, `"now"`, 1)
	for _, config := range []string{now, now, strings.Replace(now, secretText('k'), secretText('n'), 1), "[]", "[]", now} {
		if _, err := r.open(config); err != nil {
			t.Fatal(err)
		}
	}
	what := func(w string) string { return "webhook " + w + ": a at h.example, all events" }
	if want := []string{what("added"), what("changed"), "webhook removed: a", what("added")}; !slices.Equal(r.details, want) {
		t.Errorf("%q", r.details)
	}
	if at, err := readCursor(r.dir + "/a.json"); err != nil || at.Position != 3 {
		t.Error(at, err)
	}
	r.log = r.log[:2]
	if _, err := r.open(now); err == nil {
		t.Error("a cursor ahead of the log was believed")
	}
}

func TestGoneDisablesUntilTheEntryChanges(t *testing.T) {
	r := newRig(t, 3)
	gone := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if gone {
			w.WriteHeader(http.StatusGone)
			return
		}
		r.took(req, secretText('k'))
	}))
	defer server.Close()
	config := endpoint(server.URL, "", secretText('k'))
	r.run(config, func() { <-r.gone })
	r.run(config, func() { <-r.gone }) // a restart changes nothing
	gone = false
	r.run(endpoint(server.URL, `,"types":["apikey.revoked"]`, secretText('k')), r.until(3))
	if len(r.bodies) != 3 || r.disabled["a"] {
		t.Error(r.bodies, r.disabled)
	}
}

func TestFiltersAndADeadNeighbour(t *testing.T) {
	r := newRig(t, 4)
	scope := domain.Scope{Kind: domain.ScopeTeam, ID: "team_1"}
	r.log[1].Stream = domain.SecretStream{Ref: domain.SecretRef{Org: testOrg, Scope: scope, ID: "sec_1"}}
	r.log[2].Stream, r.log[2].Event = nil, nil // foreign
	taken := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		r.took(req, secretText('k'))
		taken <- struct{}{}
	}))
	defer server.Close()
	dead := `{"name":"dead","url":"https://127.0.0.1:1/","from":"start","secrets":["` + secretText('d') + `"]},`
	config := strings.Replace(endpoint(server.URL, `,"org":"`+string(testOrg)+`","scopes":["team/team_1"]`, secretText('k')), "[{", "["+dead+"{", 1)
	r.run(config, r.until(4))
	if !slices.Equal(r.bodies, []string{`{"n":2}`}) {
		t.Error(r.bodies)
	}
}

func TestHTTPSIsVerified(t *testing.T) {
	r := newRig(t, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { r.took(req, secretText('k')) }))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s, err := r.open(endpoint(server.URL, "", secretText('k')))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := s.lines[0].attempt(t.Context(), r.log[0]); err == nil {
		t.Error("a certificate of nobody was believed:", status)
	}
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs //nolint:errcheck,forcetypeassert // httptest's own.
	r.moved = make(chan uint64, 10)
	r.run(endpoint(server.URL, "", secretText('k')), r.until(1), func(c *Config) { c.Roots = trusted })
	if len(r.bodies) != 1 {
		t.Error(r.bodies)
	}
}

func TestTheDialedAddressDecides(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, test := range []struct {
		r    reach
		want bool
	}{{reach{}, false}, {reach{loopback: true}, true}, {reach{private: true}, true}} {
		client := newClient(test.r, time.Second, nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		client.CloseIdleConnections()
		if (err == nil) != test.want {
			t.Errorf("%+v: %v", test.r, err)
		}
	}
}
