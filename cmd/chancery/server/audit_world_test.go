package server_test

// The audit trail, tested from the outside as the files contract_*_test.go
// test the rest: written from the specification, against a running node, with
// a client of its own.

import (
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// accessRow is an access record as the contract writes it; strict decoding
// refuses other members.
type accessRow struct {
	Kind     string `json:"kind,omitempty"`
	ID       string `json:"id"`
	Position uint64 `json:"position"`
	Index    int    `json:"index"`
	Time     string `json:"time"`
	Actor    *struct {
		Kind  string `json:"kind"`
		ID    string `json:"id"`
		Name  string `json:"name"`
		KeyID string `json:"keyId"`
	} `json:"actor"`
	Org       string `json:"org"`
	Action    string `json:"action"`
	Scope     string `json:"scope"`
	ScopeID   string `json:"scopeId"`
	SecretID  string `json:"secretId"`
	FieldKey  string `json:"fieldKey"`
	Detail    string `json:"detail"`
	Outcome   string `json:"outcome"`
	Code      string `json:"code"`
	Rule      string `json:"rule"`
	Method    string `json:"method"`
	Route     string `json:"route"`
	RequestID string `json:"requestId"`
	TraceID   string `json:"traceId"`
	ClientIP  string `json:"clientIp"`
	UserAgent string `json:"userAgent"`
	Reason    string `json:"reason"`
	RunID     string `json:"runId"`
	Count     int    `json:"count"`
	Until     string `json:"until"`
}

// actor is the id of who did it; empty for nobody.
func (r accessRow) actor() string {
	if r.Actor == nil {
		return ""
	}
	return r.Actor.ID
}

// auditWorld is a node with one team, a writer in it and an auditor of the
// first organization.
type auditWorld struct {
	*world
	auditor member
	team    place
	writer  member
}

// newAuditWorld starts a node that signs often; change, if not nil, changes
// its configuration further.
func newAuditWorld(t *testing.T, change func(*server.Config)) *auditWorld {
	t.Helper()
	s := &testServer{Data: filepath.Join(t.TempDir(), "data"), change: func(c *server.Config) {
		c.CheckpointInterval = 20 * time.Millisecond
		if change != nil {
			change(c)
		}
	}}
	s.start(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the server did not end in order: %v", err)
		}
		s.fsck(t)
	})
	return worldOn(t, s)
}

// worldOn makes teams and agents on a node with an empty log.
func worldOn(t *testing.T, s *testServer) *auditWorld {
	t.Helper()
	w := &auditWorld{world: &world{testServer: s, made: &atomic.Int64{}}}
	w.admin = caller{w.URL, w.AdminKey}
	who := into[identity](t, w.admin.do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200))
	w.org = place{"org", who.OrgID}
	w.team = w.newTeam(t, "Team")
	w.writer = w.newAgent(t, "writer")
	w.grant(t, w.writer, w.team, "writer")
	w.auditor = w.newAgent(t, "auditor")
	w.grant(t, w.auditor, w.org, "auditor")
	return w
}

// restart stops the node in order and starts it again; the callers follow.
func (w *auditWorld) restart(t *testing.T) {
	t.Helper()
	w.Restart(t)
	for _, c := range []*caller{&w.admin, &w.auditor.caller, &w.writer.caller} {
		c.url = w.URL
	}
}

// access is every record that the filters let through, newest first, page for
// page, as the auditor sees it.
func (w *auditWorld) access(t testing.TB, pairs ...string) (rows []accessRow) {
	t.Helper()
	return accessOf(t, w.auditor.caller, w.inOrg("access"), pairs...)
}

func accessOf(t testing.TB, c caller, path string, pairs ...string) (rows []accessRow) {
	t.Helper()
	for _, page := range c.pages(t, path, pairs...) {
		rows = append(rows, into[[]accessRow](t, page)...)
	}
	return rows
}

// of is the records of one request.
func of(rows []accessRow, request string) (found []accessRow) {
	for _, r := range rows {
		if r.RequestID == request {
			found = append(found, r)
		}
	}
	return found
}

// traced sends everything that a record keeps of a request.
func traced(request string) tweak {
	return func(r *http.Request) {
		for name, value := range map[string]string{
			"X-Request-Id": request, "User-Agent": "acceptance/1 " + request, "Chancery-Reason": "because " + request,
			"Chancery-Run-Id": "run-" + request, "Traceparent": fmt.Sprintf("00-%s-00f067aa0ba902b7-01", traceOf(request)),
		} {
			r.Header.Set(name, value)
		}
	}
}

// traceOf is a trace id that belongs to the request alone.
func traceOf(request string) string { return fmt.Sprintf("%032x", "t"+request)[:32] }

// eventually waits until it is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came to be: %s", what)
		}
	}
}
