package server_test

import (
	"bytes"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// TestAuditFailsClosed: while the access log takes no record, every route that
// gives out a value, a key or metadata answers 503 and gives out nothing;
// afterwards all goes on.
func TestAuditFailsClosed(t *testing.T) {
	t.Parallel()
	url := externalNATS(t)
	s := &testServer{Data: filepath.Join(t.TempDir(), "data"), change: func(c *server.Config) { c.NATSURL = url }}
	s.start(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the server did not end in order: %v", err)
		}
		s.fsck(t)
	})
	w := worldOn(t, s)
	const value = "canary-5b1e"
	p := w.team
	e := w.writer.seal(t, p, "s", "sealed", value)
	content := newSecret("n", keyed("open", plain(value)), keyed("sealed", encrypted(e)))
	w.writer.do(t, http.MethodPut, p.path("s"), content, idempotency("made")).ok(t, 201)
	w.writer.create(t, w.writer.own(), "mine", keyed("open", plain(value)))
	release := mintBody(p, "s", "sealed")
	release["dataKeyCiphertext"] = e.DataKey
	const generate, decrypt = "/agent/secrets/generate-data-key", "/agent/secrets/decrypt-data-key"
	get, put, patch, post := http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodPost
	routes := []struct {
		name           string
		by             caller
		method, target string
		body           any
		status         int
		with           []tweak
	}{
		{"secret", w.writer.caller, get, p.path("s"), nil, 200, nil},
		{"field", w.writer.caller, get, p.field("s", "open"), nil, 200, nil},
		{"sealed field", w.writer.caller, get, p.field("s", "sealed"), nil, 200, nil},
		{"resolved", w.writer.caller, get, "/agent/secrets/resolve/s", nil, 200, nil},
		{"effective set", w.writer.caller, get, "/agent/secrets/resolve", nil, 200, nil},
		{"mint", w.writer.caller, post, generate, mintBody(p, "s", "new"), 200, nil},
		{"mint before create", w.writer.caller, post, generate, mintBody(p, "t", "new"), 200, nil},
		{"release", w.writer.caller, post, decrypt, release, 200, nil},
		{"create of what is there", w.writer.caller, put, p.path("s"), content, 200, nil},
		{"create again", w.writer.caller, put, p.path("s"), content, 201, []tweak{idempotency("made")}},
		{"patch to what is there", w.writer.caller, patch, p.path("s"), obj{"secretName": "n"}, 200, nil},
		{"set to what is there", w.writer.caller, put, p.field("s", "open"), plain(value), 200, nil},
		{"list", w.writer.caller, get, p.path(), nil, 200, nil},
		{"history", w.writer.caller, get, p.path("s", "history"), nil, 200, nil},
		{"as of", w.writer.caller, get, p.path("s") + "?version=1", nil, 200, nil},
		{"access log", w.auditor.caller, get, w.inOrg("access"), nil, 200, nil},
		{"report", w.auditor.caller, get, w.inOrg("reports", "changes"), nil, 200, nil},
		{"log keys", w.auditor.caller, get, "/log/key", nil, 200, nil},
		{"agents", w.admin, get, w.inOrg("agents"), nil, 200, nil},
		{"denied", w.auditor.caller, get, p.path("s"), nil, 403, nil},
		{"failed release", w.writer.caller, post, decrypt, func() obj { b := mintBody(p, "s", "open"); b["dataKeyCiphertext"] = e.DataKey; return b }(), 422, nil},
		{"no key", caller{url: w.URL}, get, p.path("s"), nil, 401, nil},
	}
	try := func(t *testing.T, open bool) {
		for _, route := range routes {
			t.Run(route.name, func(t *testing.T) {
				r := route.by.send(t, route.method, route.target, route.body, route.with...)
				if open {
					r.ok(t, route.status)
					return
				}
				r.checkHeaders(t)
				r.checkProblem(t)
				if r.status != 503 || r.problem.Code != "unavailable" {
					t.Errorf("answered %d %s, want 503 unavailable: %.200s", r.status, r.problem.Code, r.raw)
				}
				if bytes.Contains(r.raw, []byte(value)) || bytes.Contains(r.raw, []byte("plaintextKey")) || bytes.Contains(r.raw, []byte(`"envelope`)) {
					t.Errorf("it gives out %.300s", r.raw)
				}
			})
		}
	}
	w.waitCheckpoint(t)
	t.Run("before", func(t *testing.T) { try(t, true) })
	limit := accessLimit(t, url, 1)
	t.Run("closed", func(t *testing.T) { try(t, false) })
	t.Run("a change that is stored", func(t *testing.T) {
		w.writer.create(t, p, "later", keyed("open", plain(value)))
	})
	accessLimit(t, url, limit)
	t.Run("after", func(t *testing.T) { try(t, true) })
}

// accessLimit sets the size of a message that the access log takes, and gives
// the one before.
func accessLimit(t *testing.T, url string, size int32) int32 {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "CHANCERY_ACCESS")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	before := config.MaxMsgSize
	config.MaxMsgSize = size
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return before
}

// waitCheckpoint waits until both logs have a checkpoint.
func (w *auditWorld) waitCheckpoint(t *testing.T) {
	t.Helper()
	for _, log := range []string{"events", "access"} {
		eventually(t, "a checkpoint of "+log, func() bool {
			return w.auditor.send(t, http.MethodGet, "/log/"+log+"/checkpoint", nil).status == 200
		})
	}
}
