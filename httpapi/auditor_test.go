package httpapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
)

// TestEveryRouteIsRecorded verifies invariant 5 on the whole route table: each
// call that needs a key and shows something makes a record, but for those that
// tell the caller about itself, and for changes, which are events.
func TestEveryRouteIsRecorded(t *testing.T) {
	w := withSecret(t)
	recorded := map[string]bool{}
	calls := reads(w)
	admin := "/admin/orgs/" + string(w.org)
	calls["projects"] = request{method: "GET", path: admin + "/projects", as: w.root}
	calls["agents"] = request{method: "GET", path: admin + "/agents", as: w.root}
	w.proofs.signed = 1 << 62
	for _, path := range []string{"x001/002", "x001/x002/003", "x001/x002/x003/004"} {
		calls[path] = request{method: "GET", path: "/log/events/tile/0/" + path, as: w.auditor}
	}
	for name, r := range calls {
		if got := w.send(r); got.StatusCode >= 300 {
			t.Fatalf("%s: %s", name, got.body)
		}
		for _, a := range w.recorder.take() {
			recorded[a.Method+" "+a.Route] = true
		}
	}
	aboutItself := []string{"whoami", "listSecretScopes", "followEvents"} // the last needs a log: TestEventsRefused of the server
	for _, r := range httpapi.RouteNames() {
		shows := r.Method == "GET" || r.Name == "generateSecretDataKey" || r.Name == "decryptSecretDataKey"
		if r.Open || !shows || slices.Contains(aboutItself, r.Name) {
			continue
		}
		if !recorded[r.Method+" "+r.Path] {
			t.Errorf("%s shows something and makes no record", r.Name)
		}
	}
}

// TestAuditor verifies that one auditor's key reads all that is there to be
// audited, and is refused every value, every envelope, every data key, every
// change and everything of the directory.
func TestAuditor(t *testing.T) {
	w := withSecret(t)
	w.want(201, request{method: "PUT", path: w.path(domain.Scope{Kind: domain.ScopeAgent, ID: string(w.writer.id)}, "own"), as: w.writer, body: createBody})
	w.decide(w.org, domain.GrantMembership{Agent: w.auditor.id, Scope: w.project, Role: domain.RoleManager}) // any other role is taken away
	audited := []string{
		"listEffectiveSecrets", "listSecrets", "getSecretHistory", "listAccess", "listReports", "getReport", "listLogKeys",
		"getLogCheckpoint", "getLogTile", "getLogTile2", "getLogTile3", "getLogTile4", "whoami", "listSecretScopes",
	}
	w.proofs.signed = 1 << 62
	bodies := bodiesOf()
	for _, r := range httpapi.RouteNames() {
		if r.Open || r.Name == "followEvents" { // has no end
			continue
		}
		body := ""
		if r.Body {
			body = bodies[r.Name]
		}
		call := request{method: r.Method, path: filled(w).Replace(r.Path), as: w.auditor, body: filled(w).Replace(body)}
		if slices.Contains(audited, r.Name) {
			w.want(200, call)
			continue
		}
		w.refused(domain.CodeForbidden, call)
	}
	secret := w.path(w.project, "db")
	for _, path := range []string{
		secret + "?version=1", secret + "?at=" + at(w.clock.now()), secret + "/history?proof=1", secret + "/history?include=access", secret + "/history?include=access&proof=1&order=asc",
		"/log/events/tile/entries/000", "/log/access/tile/entries/x001/000.p/3", "/log/access/checkpoint",
	} {
		got := w.want(200, request{method: "GET", path: path, as: w.auditor})
		for _, value := range []string{"alice", "ciphertext", "plaintextKey", w.wrapped("pw")} {
			if strings.Contains(string(got.body), value) {
				t.Errorf("%s shows %q", path, value)
			}
		}
	}
	for _, path := range []string{secret, secret + "/fields/user", secret + "/fields/pw", "/agent/secrets/resolve/db", w.path(w.writer.scope(), "own"), w.path(w.auditor.scope(), "x")} {
		w.refused(domain.CodeForbidden, request{method: "GET", path: path, as: w.auditor})
	}
}

// filled puts what is there into the paths of the route table.
func filled(w *world) *strings.Replacer {
	return strings.NewReplacer("{scope}", "project", "{scopeId}", w.project.ID, "{secretId}", "db", "{fieldKey}", "user",
		"{orgId}", string(w.org), "{teamId}", w.team.ID, "{projectId}", w.project.ID, "{agentId}", string(w.writer.id), "{keyId}", newULID("key_"),
		"{name}", "changes", "{log}", "events", "{level}", "0",
		"{n1}/{n2}/{n3}/{n4}", "x001/x002/x003/004", "{n1}/{n2}/{n3}", "x001/x002/003", "{n1}/{n2}", "x001/002", "{n1}", "001")
}
