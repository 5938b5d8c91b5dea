package server_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recordedAs is what a record must say of a request, beside what it says of all.
type recordedAs struct {
	actor                    *member
	action, outcome, code    string
	org                      string
	scope, id, secret, field string
}

// request is one request and the record it must leave.
type request struct {
	name           string
	by             caller
	method, target string
	body           any
	status         int
	want           recordedAs
}

// TestAuditKinds: everything that must be recorded is, with every member that
// the specification lists.
func TestAuditKinds(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	admin := w.adminMember(t)
	viewer := w.newAgent(t, "viewer")
	w.grant(t, viewer, w.team, "viewer")
	second := w.newAgent(t, "second viewer") // of one agent's refusals of a kind the first five are records of their own
	w.grant(t, second, w.team, "viewer")
	stranger := w.newAgent(t, "stranger")
	org2 := w.add(t, "/admin/orgs", obj{"name": "Elsewhere"})
	p, org := w.team, w.org.id
	e := w.writer.seal(t, p, "s", "sealed", "x")
	w.writer.do(t, http.MethodPut, p.path("s"), newSecret("n", keyed("open", plain("x")), keyed("sealed", encrypted(e)))).ok(t, 201)
	w.writer.create(t, w.writer.own(), "mine", keyed("open", plain("x")))
	release := func(field, dataKey string) obj {
		body := mintBody(p, "s", field)
		body["dataKeyCiphertext"] = dataKey
		return body
	}
	const generate, decrypt = "/agent/secrets/generate-data-key", "/agent/secrets/decrypt-data-key"
	get, put, post, del, patch := http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch
	allowed := func(m *member, action, secret, field string) recordedAs {
		return recordedAs{m, action, "allowed", "", org, p.scope, p.id, secret, field}
	}
	denied := func(m *member, action, secret, field string) recordedAs {
		return recordedAs{m, action, "denied", "forbidden", org, p.scope, p.id, secret, field}
	}
	admins := func(m *member, org string) recordedAs {
		return recordedAs{m, "admin", "allowed", "", org, "org", org, "", ""}
	}
	auditing := func(action string) recordedAs {
		return recordedAs{&w.auditor, action, "allowed", "", org, "org", org, "", ""}
	}
	server := func(m *member, action string) recordedAs {
		return recordedAs{actor: m, action: action, outcome: "allowed", org: org}
	}
	w.waitProof(t, p, "s")

	for _, h := range []request{
		{"list", w.writer.caller, get, p.path(), nil, 200, allowed(&w.writer, "list", "", "")},
		{"history", w.writer.caller, get, p.path("s", "history"), nil, 200, allowed(&w.writer, "history", "s", "")},
		{"history with proofs", w.writer.caller, get, p.path("s", "history") + "?proof=1", nil, 200, allowed(&w.writer, "history", "s", "")},
		{"as of version", w.writer.caller, get, p.path("s") + "?version=1", nil, 200, allowed(&w.writer, "history", "s", "")},
		{"as of time", w.writer.caller, get, p.path("s") + "?at=2999-01-01T00:00:00.000Z", nil, 200, allowed(&w.writer, "history", "s", "")},
		{"secret", w.writer.caller, get, p.path("s"), nil, 200, allowed(&w.writer, "read", "s", "")},
		{"field", w.writer.caller, get, p.field("s", "open"), nil, 200, allowed(&w.writer, "read", "s", "open")},
		{"sealed field", w.writer.caller, get, p.field("s", "sealed"), nil, 200, allowed(&w.writer, "read", "s", "sealed")},
		{"resolved", w.writer.caller, get, "/agent/secrets/resolve/s", nil, 200, allowed(&w.writer, "read", "s", "")},
		{"mint", w.writer.caller, post, generate, mintBody(p, "s", "new"), 200, allowed(&w.writer, "mint", "s", "new")},
		{"mint before create", w.writer.caller, post, generate, mintBody(p, "t", "new"), 200, allowed(&w.writer, "mint", "t", "new")},
		{"release", w.writer.caller, post, decrypt, release("sealed", e.DataKey), 200, allowed(&w.writer, "release", "s", "sealed")},
		{"release of nothing", w.writer.caller, post, decrypt, release("sealed", "none"), 422, recordedAs{&w.writer, "release", "failed", "data_key_mismatch", org, p.scope, p.id, "s", "sealed"}},
		{"create of what is there", w.writer.caller, put, p.path("s"), newSecret("n", keyed("open", plain("x")), keyed("sealed", encrypted(e))), 200, allowed(&w.writer, "read", "s", "")},
		{"patch to what is there", w.writer.caller, patch, p.path("s"), obj{"secretName": "n"}, 200, allowed(&w.writer, "read", "s", "")},
		{"set to what is there", w.writer.caller, put, p.field("s", "open"), plain("x"), 200, allowed(&w.writer, "read", "s", "open")},

		{"denied list", stranger.caller, get, p.path(), nil, 403, denied(&stranger, "list", "", "")},
		{"denied history", stranger.caller, get, p.path("s", "history"), nil, 403, denied(&stranger, "history", "s", "")},
		{"denied secret", viewer.caller, get, p.path("s"), nil, 403, denied(&viewer, "read", "s", "")},
		{"denied field", viewer.caller, get, p.field("s", "open"), nil, 403, denied(&viewer, "read", "s", "open")},
		{"denied winner", viewer.caller, get, "/agent/secrets/resolve/s", nil, 403, denied(&viewer, "read", "s", "")},
		{"denied mint", viewer.caller, post, generate, mintBody(p, "s", "open"), 403, denied(&viewer, "mint", "s", "open")},
		{"denied release", viewer.caller, post, decrypt, release("sealed", e.DataKey), 403, denied(&viewer, "release", "s", "sealed")},
		{"denied create", second.caller, put, p.path("s2"), newSecret("n"), 403, denied(&second, "write", "s2", "")},
		{"denied delete", second.caller, del, p.path("s"), nil, 403, denied(&second, "remove", "s", "")},

		{"organizations", admin.caller, get, "/admin/orgs", nil, 200, server(&admin, "admin")},
		{"teams", admin.caller, get, w.inOrg("teams"), nil, 200, admins(&admin, org)},
		{"projects", admin.caller, get, w.inOrg("projects"), nil, 200, admins(&admin, org)},
		{"agents", admin.caller, get, w.inOrg("agents"), nil, 200, admins(&admin, org)},
		{"memberships", admin.caller, get, w.inOrg("agents", viewer.id, "memberships"), nil, 200, admins(&admin, org)},
		{"keys", admin.caller, get, w.inOrg("agents", viewer.id, "keys"), nil, 200, admins(&admin, org)},
		{"teams elsewhere", admin.caller, get, "/admin/orgs/" + org2 + "/teams", nil, 200, admins(&admin, org2)},
		{"denied teams", stranger.caller, get, w.inOrg("teams"), nil, 403, recordedAs{&stranger, "admin", "denied", "forbidden", org, "org", org, "", ""}},

		{"access log", w.auditor.caller, get, w.inOrg("access"), nil, 200, auditing("audit")},
		{"access log elsewhere", w.auditor.caller, get, "/admin/orgs/" + org2 + "/access", nil, 200, recordedAs{&w.auditor, "audit", "allowed", "", org2, "org", org2, "", ""}},
		{"denied access log", stranger.caller, get, w.inOrg("access"), nil, 403, recordedAs{&stranger, "audit", "denied", "forbidden", org, "org", org, "", ""}},
		{"history with accesses", w.auditor.caller, get, p.path("s", "history") + "?include=access", nil, 200, allowed(&w.auditor, "audit", "s", "")},
		{"reports", w.auditor.caller, get, w.inOrg("reports"), nil, 200, auditing("report")},
		{"report", w.auditor.caller, get, w.inOrg("reports", "changes"), nil, 200, auditing("report")},
		{"denied report", stranger.caller, get, w.inOrg("reports", "changes"), nil, 403, recordedAs{&stranger, "report", "denied", "forbidden", org, "org", org, "", ""}},
		{"log key", w.auditor.caller, get, "/log/key", nil, 200, server(&w.auditor, "export")},
		{"checkpoint", w.auditor.caller, get, "/log/events/checkpoint", nil, 200, server(&w.auditor, "export")},
		{"denied checkpoint", stranger.caller, get, "/log/events/checkpoint", nil, 403, recordedAs{actor: &stranger, action: "export", outcome: "denied", code: "forbidden", org: org}},

		{"no key", caller{url: w.URL}, get, p.path(), nil, 401, recordedAs{action: "authenticate", outcome: "failed", code: "unauthenticated"}},
		{"unknown key", caller{w.URL, "chy_nonsense"}, get, p.path(), nil, 401, recordedAs{action: "authenticate", outcome: "failed", code: "unauthenticated"}},
	} {
		t.Run(h.name, func(t *testing.T) {
			id := fmt.Sprintf("kind-%d", w.made.Add(1))
			r := h.by.send(t, h.method, h.target, h.body, traced(id))
			r.ok(t, h.status)
			rows := of(w.access(t, "limit", "1000"), id)
			if h.want.org == org2 {
				rows = of(accessOf(t, w.auditor.caller, "/admin/orgs/"+org2+"/access"), id)
			}
			if len(rows) != 1 {
				t.Fatalf("%d records of the request, want 1: %+v", len(rows), rows)
			}
			checkRecord(t, rows[0], h, id)
		})
	}
}

func checkRecord(t *testing.T, got accessRow, h request, id string) {
	t.Helper()
	want := accessRow{
		ID: fmt.Sprintf("%d.%d", got.Position, got.Index), Position: got.Position, Index: got.Index, Time: got.Time, Actor: got.Actor,
		Org: h.want.org, Action: h.want.action, Scope: h.want.scope, ScopeID: h.want.id, SecretID: h.want.secret, FieldKey: h.want.field,
		Detail: got.Detail, Outcome: h.want.outcome, Code: h.want.code, Rule: got.Rule, Method: h.method, Route: got.Route,
		RequestID: id, TraceID: traceOf(id), ClientIP: "127.0.0.1", UserAgent: "acceptance/1 " + id,
		Reason: "because " + id, RunID: "run-" + id,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), recorded (+):\n%s", diff)
	}
	instant(t, got.Time)
	if got.Route == "" {
		t.Error("no route")
	}
	if got.Rule == "" && got.Action != "authenticate" {
		t.Error("no rule that decided")
	}
	switch a := got.Actor; {
	case h.want.actor == nil:
		if a != nil {
			t.Errorf("the actor is %+v, want none", *a)
		}
	case a == nil:
		t.Error("no actor")
	case a.Kind != "agent" || a.ID != h.want.actor.id || a.Name != h.want.actor.name || a.KeyID != h.want.actor.keyID:
		t.Errorf("the actor is %+v, want %s %s with %s", *a, h.want.actor.id, h.want.actor.name, h.want.actor.keyID)
	}
}

// adminMember is the first administrator, whose key is not of our making.
func (w *auditWorld) adminMember(t *testing.T) member {
	t.Helper()
	who := into[identity](t, w.admin.do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200))
	m := member{id: who.AgentID, name: who.Name}
	m.keyID, m.caller = w.newKey(t, m.id, obj{})
	return m
}
