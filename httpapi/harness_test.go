package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/openapitest"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server with an organization on it: an admin, a team with a
// project, and agents with one role each.
type world struct {
	*testing.T
	url      string
	client   *http.Client
	store    *store
	keys     *keyring
	recorder *recorder
	proofs   *provable
	reports  *reports
	health   *health
	log      *buffer
	config   httpapi.Config
	clock    *clock

	org, other                              domain.OrgID
	team, project                           domain.Scope
	root, writer, viewer, auditor, stranger member
	lone                                    member
}

type member struct {
	id    domain.AgentID
	token string
}

func (m member) scope() domain.Scope { return domain.Scope{Kind: domain.ScopeAgent, ID: string(m.id)} }

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(d.Milliseconds()) }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type health struct {
	dead    error
	failing []httpapi.Unready
}

func (h *health) Live() error                             { return h.dead }
func (h *health) Ready(context.Context) []httpapi.Unready { return h.failing }

func newWorld(t *testing.T, changes ...func(*httpapi.Config)) *world {
	t.Helper()
	w := &world{T: t, keys: &keyring{}, recorder: &recorder{}, proofs: &provable{signed: 1000}, reports: &reports{rows: 3}, health: &health{}, log: &buffer{}, clock: &clock{}}
	w.clock.at.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	w.store = newStore(w.clock.now)
	w.populate()
	w.config = httpapi.Config{
		Writer: w.store, State: w.store, Keys: w.keys, Recorder: w.recorder, Access: journal{w.recorder}, Proofs: w.proofs, Tiles: w.proofs, Reports: w.reports, Health: w.health,
		Logger: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registry: prometheus.NewRegistry(),
		Now: w.clock.now, Rand: rand.Reader, MaxWait: 20 * time.Millisecond,
	}
	for _, change := range changes {
		change(&w.config)
	}
	s, err := httpapi.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	w.url = server.URL
	w.client = &http.Client{Transport: openapitest.Transport(t, server.Client().Transport)}
	return w
}

// newULID makes an id that is older than the world's clock.
func newULID(prefix string) string {
	return prefix + ulid.MustNew(ulid.Timestamp(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), ulid.DefaultEntropy()).String()
}

func (w *world) populate() {
	w.org, w.other = domain.OrgID(newULID("org_")), domain.OrgID(newULID("org_"))
	w.team = domain.Scope{Kind: domain.ScopeTeam, ID: newULID("team_")}
	w.project = domain.Scope{Kind: domain.ScopeProject, ID: newULID("proj_")}
	for _, org := range []domain.OrgID{w.org, w.other} {
		w.decide(org, domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeOrg, ID: string(org)}, Name: "Org"})
	}
	w.decide(w.org, domain.CreateScope{Scope: w.team, Name: "Team"})
	w.decide(w.org, domain.CreateScope{Scope: w.project, Name: "Project", TeamID: w.team.ID})
	org := domain.Scope{Kind: domain.ScopeOrg, ID: string(w.org)}
	w.root = w.newMember(w.org, "root", org, domain.RoleAdmin)
	w.writer = w.newMember(w.org, "writer", w.project, domain.RoleWriter)
	w.viewer = w.newMember(w.org, "viewer", w.project, domain.RoleViewer)
	w.auditor = w.newMember(w.org, "auditor", org, domain.RoleAuditor)
	w.stranger = w.newMember(w.other, "stranger", domain.Scope{}, "")
}

func (w *world) decide(org domain.OrgID, c domain.DirectoryCommand) {
	w.Helper()
	if _, err := w.store.changeDirectory(domain.DirectoryRequest{Org: org, Command: c}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) newMember(org domain.OrgID, name string, scope domain.Scope, role domain.Role) member {
	w.Helper()
	m := member{id: domain.AgentID(newULID("agt_"))}
	w.decide(org, domain.CreateScope{Scope: m.scope(), Name: name})
	if role != "" {
		w.decide(org, domain.GrantMembership{Agent: m.id, Scope: scope, Role: role})
	}
	m.token = w.newKey(org, m.id, time.Time{})
	return m
}

func (w *world) newKey(org domain.OrgID, agent domain.AgentID, expires time.Time) string {
	w.Helper()
	var lookup [9]byte
	var secret [32]byte
	_, _ = rand.Read(lookup[:])
	_, _ = rand.Read(secret[:])
	token := domain.NewToken(lookup, secret).Reveal()
	key := domain.IssueKey{ID: domain.APIKeyID(newULID("key_")), Agent: agent, ExpiresAt: expires}
	key.LookupID, key.Hash, _ = domain.ParseToken(token)
	w.decide(org, key)
	return token
}

// request is what a test sends.
type request struct {
	method, path string
	body         string
	as           member
	header       map[string]string
	add          http.Header // instead of setting
}

type response struct {
	*http.Response
	body []byte
}

// send sends a request. The transport has held the answer against
// openapi.yaml; what holds of every answer is held here.
func (w *world) send(r request) response {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), r.method, w.url+r.path, strings.NewReader(r.body))
	if err != nil {
		w.Fatal(err)
	}
	if r.body == "" {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.as.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.as.token)
	}
	for name, value := range r.header {
		if value == "" {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, value)
	}
	for name, values := range r.add {
		req.Header[name] = append(req.Header[name], values...)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := resp.Header.Get(name); got != want {
			w.Errorf("%s %s: %s is %q", r.method, r.path, name, got)
		}
	}
	if id := resp.Header.Get(wire.HeaderRequestID); !wire.ValidToken(id) {
		w.Errorf("%s %s: request id %q", r.method, r.path, id)
	}
	return response{resp, body}
}

// want sends a request and sees its status.
func (w *world) want(status int, r request) response {
	w.Helper()
	got := w.send(r)
	if got.StatusCode != status {
		w.Fatalf("%s %s: status %d, want %d: %s", r.method, r.path, got.StatusCode, status, got.body)
	}
	return got
}

// refused sends a request and sees that it is refused with a code.
func (w *world) refused(code domain.Code, r request) wire.Problem {
	w.Helper()
	got := w.send(r)
	var p wire.Problem
	if err := json.Unmarshal(got.body, &p); err != nil {
		w.Fatalf("%s %s: status %d: %v: %s", r.method, r.path, got.StatusCode, err, got.body)
	}
	if p.Code != code || got.StatusCode != wire.Status(code) || p.Status != got.StatusCode {
		w.Errorf("%s %s: status %d, code %s, want %s (%s)", r.method, r.path, got.StatusCode, p.Code, code, p.Detail)
	}
	if p.Instance != got.Header.Get(wire.HeaderRequestID) {
		w.Errorf("%s %s: instance %q", r.method, r.path, p.Instance)
	}
	return p
}

// data reads the data member of a success.
func data[T any](w *world, r response) T {
	w.Helper()
	v, _ := page[T](w, r)
	return v
}

func page[T any](w *world, r response) (T, string) {
	w.Helper()
	var v wire.Response[T]
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		w.Fatalf("%v: %s", err, r.body)
	}
	if v.Page == nil {
		return v.Data, ""
	}
	return v.Data, v.Page.NextCursor
}

func (w *world) path(scope domain.Scope, rest ...string) string {
	return strings.Join(append([]string{"/agent/secrets", scope.String()}, rest...), "/")
}

// create creates a secret with a plaintext field.
func (w *world) create(scope domain.Scope, id string) {
	w.Helper()
	w.want(http.StatusCreated, request{method: "PUT", path: w.path(scope, id), as: w.writer, body: createBody})
}

const createBody = `{"secretName":"Name","category":"login","tags":["b","a"],"fields":[{"key":"user","sensitivity":"plaintext","value":"alice"}]}`
