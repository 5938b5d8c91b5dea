package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

const testKey = "chy_canarykeyid_canarycanarycanary"

var (
	testScope  = domain.Scope{Kind: domain.ScopeProject, ID: "proj_X"}
	testSecret = client.SecretRef{Scope: testScope, ID: "stripe"}
	testField  = testSecret.Field("api_key")
)

// request is what the script's server saw.
type request struct {
	Method, URI, Body string
	Header            http.Header
}

// script is a server that answers the nth request with the nth step and
// fails the test when there are more requests than steps.
type script struct {
	t     *testing.T
	addr  string
	steps []http.HandlerFunc

	mu    sync.Mutex
	seen  []request
	waits []time.Duration
}

func serve(t *testing.T, steps ...http.HandlerFunc) *script {
	t.Helper()
	s := &script{t: t, steps: steps}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.addr = srv.URL
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("reading a request: %v", err)
	}
	s.mu.Lock()
	n := len(s.seen)
	s.seen = append(s.seen, request{r.Method, r.URL.RequestURI(), string(body), r.Header})
	s.mu.Unlock()
	if n >= len(s.steps) {
		s.t.Errorf("unexpected request %d: %s %s", n+1, r.Method, r.URL)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body)) // for the step to read again.
	s.steps[n](w, r)
}

// requests gives what was seen and checks that every step was used.
func (s *script) requests() []request {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) != len(s.steps) {
		s.t.Errorf("%d requests for %d steps", len(s.seen), len(s.steps))
	}
	return s.seen
}

// client gives a client that notes its waits in place of waiting, and opens a
// connection for every attempt so that net/http repeats nothing by itself.
func (s *script) client(change ...func(*client.Config)) *client.Client {
	s.t.Helper()
	cfg := client.Config{
		Addr: s.addr, APIKey: testKey,
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Wait: func(ctx context.Context, d time.Duration) error {
			s.waits = append(s.waits, d)
			return ctx.Err()
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func data(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "req-1")
		w.Header().Set("ETag", `"v7"`)
		w.Header().Set("Chancery-Position", "42")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func problem(status int, code domain.Code, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("X-Request-Id", "req-1")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(map[string]any{
			"status": status, "code": code, "detail": "because", "title": "Title", "instance": "req-1",
		}); err != nil {
			panic(err)
		}
	}
}

// drop reads the request and closes the connection without an answer.
func drop(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack() //nolint:errcheck // httptest's writer is one.
	if err != nil {
		panic(err)
	}
	conn.Close()
}

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	fmt.Fprint(w, "<h1>canary of a proxy</h1>")
}

const aggregate = `{"data":{"secretId":"stripe","scope":"project","scopeId":"proj_X","secretName":"Stripe","category":"payments",` +
	`"tags":["a"],"version":7,"createdAt":"2026-01-02T03:04:05.600Z","createdBy":"agt_1","updatedAt":"2026-01-02T03:04:05.600Z",` +
	`"updatedBy":"agt_1","fields":[]}}`

func TestRequestsCarryWhatOptionsSay(t *testing.T) {
	s := serve(t, data(201, aggregate))
	var meta client.Meta
	got, err := s.client().CreateSecret(t.Context(), testSecret,
		client.NewSecret{Name: "Stripe", Category: "payments", Tags: []string{"a"}, Fields: []domain.Field{client.PlaintextField("url", "https://x")}},
		client.IfNoneMatch(), client.IfMatch(6), client.IdempotencyKey("idem-1"), client.Reason("rotation"), client.RunID("run-9"),
		client.MinPosition(41), client.RequestID("rid-1"), client.WithMeta(&meta))
	if err != nil {
		t.Fatal(err)
	}
	r := s.requests()[0]
	if r.Method != "PUT" || r.URI != "/agent/secrets/project/proj_X/stripe" {
		t.Errorf("sent %s %s", r.Method, r.URI)
	}
	want := `{"secretName":"Stripe","category":"payments","tags":["a"],"fields":[{"key":"url","sensitivity":"plaintext","value":"https://x"}]}`
	if r.Body != want {
		t.Errorf("body %s", r.Body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testKey, "If-Match": `"v6"`, "If-None-Match": "*", "Idempotency-Key": "idem-1",
		"Chancery-Reason": "rotation", "Chancery-Run-Id": "run-9", "Chancery-Min-Position": "41", "X-Request-Id": "rid-1",
		"Content-Type": "application/json", "User-Agent": client.DefaultUserAgent,
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff(client.Meta{Status: 201, Version: 7, Position: 42, RequestID: "req-1"}, meta); diff != "" {
		t.Error(diff)
	}
	if got.Version != 7 || client.RefOf(got) != testSecret {
		t.Errorf("answered %+v", got)
	}
}

func TestOptionsThatACallCanNotHonourAreRefused(t *testing.T) {
	s := serve(t)
	c := s.client()
	org := domain.OrgID("org_01ARZ3NDEKTSV4RRFFQ69G5FAV")
	_, onRead := c.GetSecret(t.Context(), testSecret, client.IfMatch(1))
	_, onMint := c.GenerateDataKey(t.Context(), testField, client.IfExists())
	_, onAdmin := c.Admin().CreateTeam(t.Context(), org, "x", client.IfMatch(1))
	_, onSet := c.SetField(t.Context(), testSecret, client.PlaintextField("k", "v"), client.IfNoneMatch())
	_, key := c.Whoami(t.Context(), client.IdempotencyKey("k"))
	for i, err := range []error{onRead, onMint, onAdmin, onSet} {
		if !errors.Is(err, domain.Errorf(domain.CodePreconditionInvalid, "")) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if !errors.Is(key, domain.Errorf(domain.CodeInvalidRequest, "")) {
		t.Error(key)
	}
	s.requests()
}

func TestMalformedIDsAreNotSent(t *testing.T) {
	s := serve(t)
	c, ctx := s.client(), t.Context()
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "a%2f", "*", ">", "ä", "a\n", strings.Repeat("a", 129), "-a"} {
		scope, secret, field := testScope, testSecret, testField
		scope.ID, secret.ID, field.Key = bad, domain.SecretID(bad), domain.FieldKey(bad)
		_, e1 := c.ListSecrets(ctx, scope, client.Filter{})
		_, e2 := c.GetSecret(ctx, secret)
		_, e3 := c.Reveal(ctx, field)
		_, e4 := c.GenerateDataKey(ctx, field)
		_, e5 := c.Resolve(ctx, domain.SecretID(bad))
		_, e6 := c.Admin().ListKeys(ctx, "org_01ARZ3NDEKTSV4RRFFQ69G5FAV", domain.AgentID(bad))
		_, e7 := c.Admin().CreateTeam(ctx, domain.OrgID(bad), "x")
		for i, err := range []error{e1, e2, e3, e4, e5, e6, e7} {
			if !errors.Is(err, domain.Errorf(domain.CodeInvalidID, "")) {
				t.Errorf("%q in call %d: %v", bad, i+1, err)
			}
		}
	}
	s.requests()
}

func TestConfigIsChecked(t *testing.T) {
	for _, addr := range []string{
		"", "localhost:8420", "ftp://h", "http://", "http://user:canary@h", "http://h?canary=1", "http://h#canary", "http://h:canary",
	} {
		_, err := client.New(client.Config{Addr: addr, APIKey: testKey})
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, key := range []string{"", "canary canary", "canary\n", "canär"} {
		_, err := client.New(client.Config{Addr: "http://h", APIKey: key})
		if err == nil || strings.Contains(err.Error(), "can") && strings.Contains(err.Error(), "ary") {
			t.Errorf("key: %v", err)
		}
	}
}

// Invariant 6.
func TestTheAPIKeyNeverPrints(t *testing.T) {
	cfg := client.Config{Addr: "http://user:canarypassword@127.0.0.1:1", APIKey: testKey}
	printed := fmt.Sprintf("%v %+v %#v %s", cfg, cfg, cfg, &cfg)
	cfg.Addr = "http://127.0.0.1:1"
	cfg.MaxRetries = -1
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	printed += fmt.Sprintf("%v %+v %#v %v", c, c, c, c.LogValue())
	_, err = c.Whoami(t.Context())
	if err == nil {
		t.Fatal("somebody listens on port 1")
	}
	printed += fmt.Sprintf("%v %+v", err, err)
	if strings.Contains(printed, "canary") {
		t.Error(printed)
	}
}

// Invariant 7.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := serve(t)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.addr, http.StatusTemporaryRedirect)
	})
	_, err := s.client().Whoami(t.Context())
	if p, ok := errors.AsType[*client.ProblemError](err); !ok || p.Status != http.StatusTemporaryRedirect {
		t.Errorf("got %v", err)
	}
	s.requests()
	elsewhere.requests()
}

func TestAnswersThatAreNotUnderstood(t *testing.T) {
	html := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<p>canary</p>") }
	short := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"data":{"canary`)
	}
	for name, step := range map[string]http.HandlerFunc{
		"html": html, "cut off": short, "no data": data(200, `{}`), "no JSON": data(200, `canary`),
		"another type": data(200, `{"data":"canary"}`), "a time that is none": data(200, strings.Replace(aggregate, "2026-", "canary-", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, step)
			_, err := s.client(func(c *client.Config) { c.MaxRetries = -1 }).UpdateSecret(t.Context(), testSecret, client.Patch{})
			unknown, ok := errors.AsType[*client.OutcomeUnknownError](err)
			if !ok || strings.Contains(err.Error(), "canary") {
				t.Fatalf("got %v", err)
			}
			if r := s.requests()[0]; r.Header.Get("Idempotency-Key") != unknown.IdempotencyKey {
				t.Error("the error names another key than was sent")
			}
		})
	}
}

// refusing gives an HTTP client whose first n dials are refused.
func refusing(n int) *http.Client {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if n--; n >= 0 {
				return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
			}
			return d.DialContext(ctx, network, addr)
		},
	}}
}
