package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestAuditorGetsNoValue: the key that reads everything of the audit trail
// gets 403 for every value, envelope and data key, on every scope, its own
// too, and nothing that it may read holds a value.
func TestAuditorGetsNoValue(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	const value = "canary-77c0ffee"
	proj := w.newProject(t, "Project", w.team)
	keeper := w.newAgent(t, "keeper")
	for _, p := range []place{w.org, w.team, proj} {
		w.grant(t, keeper, p, "writer")
		w.grant(t, w.auditor, p, "manager") // which the auditor's role takes away
	}
	mine := w.newAgent(t, "second auditor")
	mine.create(t, mine.own(), "s", keyed("f", plain(value)))
	w.grant(t, mine, w.org, "auditor")
	keeper.create(t, w.team, "once", keyed("g", plain(value)))
	envelopes := map[place]envelope{}
	for _, p := range []place{w.org, w.team, proj, keeper.own()} {
		envelopes[p] = keeper.seal(t, p, "s", "f", value)
		keeper.do(t, http.MethodPut, p.path("s"), newSecret("n", keyed("f", encrypted(envelopes[p])), keyed("g", plain(value)))).ok(t, 201)
	}
	envelopes[mine.own()] = envelopes[w.team]
	for _, c := range []member{w.auditor, mine} {
		for p, e := range envelopes {
			for name, call := range everyCall(p, "s", e) {
				t.Run(c.name+" "+p.scope+" "+name, func(t *testing.T) {
					r := call(c.caller, t)
					switch name {
					case "list", "filtered list", "as of version", "as of time", "history":
						r.ok(t, 200)
					default:
						r.code(t, "forbidden")
					}
					holdsNone(t, r, value, e)
				})
			}
			c.do(t, http.MethodGet, p.field("s", "g"), nil).code(t, "forbidden")
			holdsNone(t, c.send(t, http.MethodGet, p.path("s", "history")+"?include=access", nil).ok(t, 200), value, e)
			holdsNone(t, c.send(t, http.MethodGet, p.path("s", "history")+"?proof=1", nil).ok(t, 200), value, e)
		}
		if r := c.do(t, http.MethodGet, "/agent/secrets/resolve/s", nil); r.status != 403 && r.problem.Code != "ambiguous_scope" {
			t.Errorf("%s resolves: %d", c.name, r.status)
		}
		c.do(t, http.MethodGet, "/agent/secrets/resolve/once", nil).code(t, "forbidden")
	}
	w.waitSigned(t, 10)
	w.waitCheckpoint(t)
	e := envelopes[w.team]
	for _, report := range w.reportNames(t) {
		holdsNone(t, w.auditor.send(t, http.MethodGet, w.inOrg("reports", report), nil).ok(t, 200), value, e)
	}
	for _, r := range w.auditor.pages(t, w.inOrg("access")) {
		holdsNone(t, r, value, e)
	}
	for _, log := range []string{"events", "access"} {
		size := w.signedSize(t, log)
		for i := range size / 256 {
			holdsNone(t, w.auditor.send(t, http.MethodGet, fmt.Sprintf("/log/%s/tile/entries/%03d", log, i), nil).ok(t, 200), value, e)
		}
		if size%256 > 0 {
			holdsNone(t, w.auditor.send(t, http.MethodGet, fmt.Sprintf("/log/%s/tile/entries/%03d.p/%d", log, size/256, size%256), nil).ok(t, 200), value, e)
		}
	}
}

// holdsNone demands that an answer has no value, and no part of an envelope.
func holdsNone(t *testing.T, r reply, value string, e envelope) {
	t.Helper()
	for _, what := range []string{value, tobase64([]byte(value)), e.Ciphertext, e.DataKey, e.IV, e.AuthTag, "plaintextKey", `"envelope"`} {
		if bytes.Contains(r.raw, []byte(what)) {
			t.Errorf("an auditor is shown %q", what)
		}
	}
}

func (w *auditWorld) reportNames(t *testing.T) (names []string) {
	t.Helper()
	type row struct {
		Name  string `json:"name"`
		Title string `json:"title"`
	}
	for _, r := range into[[]row](t, w.auditor.do(t, http.MethodGet, w.inOrg("reports"), nil).ok(t, 200)) {
		names = append(names, r.Name)
	}
	return names
}

// signedSize is the size of the newest checkpoint.
func (w *auditWorld) signedSize(t *testing.T, log string) (size int) {
	t.Helper()
	r := w.auditor.send(t, http.MethodGet, "/log/"+log+"/checkpoint", nil).ok(t, 200)
	if _, err := fmt.Sscan(strings.Split(string(r.raw), "\n")[1], &size); err != nil {
		t.Fatal(err)
	}
	return size
}

// TestAuditorsOnly: what is for auditors is for nobody else, and what is for
// auditors of the first organization not for those of another.
func TestAuditorsOnly(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	w.writer.create(t, w.team, "s", keyed("f", plain("x")))
	org2 := w.add(t, "/admin/orgs", obj{"name": "Elsewhere"})
	in2 := func(elements ...string) string { return "/admin/orgs/" + org2 + "/" + strings.Join(elements, "/") }
	id := w.add(t, in2("agents"), obj{"name": "far"})
	key := w.admin.do(t, http.MethodPost, in2("agents", id, "keys"), obj{}).ok(t, 201)
	far := caller{w.URL, stringOf(t, key, "apiKey")}
	granted(t, w.admin.do(t, http.MethodPut, in2("agents", id, "memberships", "org", org2), obj{"role": "auditor"}))
	w.waitCheckpoint(t)
	const zero = "000.p/1"
	for _, tt := range []struct {
		target                 string
		root, far, admin, none int
	}{
		{w.inOrg("access"), 200, 403, 403, 403},
		{in2("access"), 200, 200, 403, 403},
		{w.inOrg("reports"), 200, 403, 403, 403},
		{in2("reports"), 200, 200, 403, 403},
		{w.inOrg("reports", "changes"), 200, 403, 403, 403},
		{in2("reports", "changes"), 200, 200, 403, 403},
		{"/admin/orgs/org_" + ulidOfNobody + "/access", 404, 403, 403, 403},
		{"/log/key", 200, 200, 403, 403},
		{"/log/events/checkpoint", 200, 200, 403, 403},
		{"/log/access/checkpoint", 200, 200, 403, 403},
		{"/log/events/tile/0/" + zero, 200, 200, 403, 403},
		{"/log/events/tile/entries/" + zero, 200, 403, 403, 403},
		{"/log/access/tile/entries/" + zero, 200, 403, 403, 403},
		{w.team.path("s", "history") + "?include=access", 200, 403, 403, 403},
		{w.team.path("s", "history"), 200, 403, 403, 200},
		{w.team.path("s", "history") + "?proof=1", 200, 403, 403, 200},
	} {
		for name, try := range map[string]struct {
			by     caller
			status int
		}{"first auditor": {w.auditor.caller, tt.root}, "other auditor": {far, tt.far}, "administrator": {w.admin, tt.admin}, "writer": {w.writer.caller, tt.none}} {
			if r := try.by.send(t, http.MethodGet, tt.target, nil); r.status != try.status {
				t.Errorf("%s of %s: %d, want %d: %.200s", name, tt.target, r.status, try.status, r.raw)
			}
		}
	}
	for _, row := range accessOf(t, far, in2("access")) {
		if row.Org != org2 {
			t.Errorf("an auditor of another organization sees %+v", row)
		}
	}
	for _, row := range accessOf(t, w.auditor.caller, in2("access")) {
		if row.Org != org2 {
			t.Errorf("the access log of one organization has %+v", row)
		}
	}
}
