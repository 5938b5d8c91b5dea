package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
)

// faults are things wrong with one request, in the order in which they are
// to be found. Each makes its own mark on the request and leaves the others'.
type fault struct {
	code  domain.Code
	spoil func(*request)
}

// TestOrderOfChecks verifies invariant 2: of any two things wrong with a
// request, the one that comes first in the contract is answered, and nothing
// behind it was touched.
func TestOrderOfChecks(t *testing.T) {
	rates := func(c *httpapi.Config) { c.AgentRate = httpapi.Rate{PerSecond: 1e-9, Burst: 100} }
	w := newWorld(t, rates)
	slow := w.newMember(w.org, "slow", w.project, domain.RoleWriter)
	for range 100 {
		w.want(200, request{method: "GET", path: "/agent/identity/whoami", as: slow})
	}
	good := request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody, header: map[string]string{}}
	faults := []fault{
		{domain.CodeMethodNotAllowed, func(r *request) { r.method = "POST" }},
		{domain.CodeUnauthenticated, func(r *request) { r.header["Authorization"] = "Bearer " + strings.Repeat("x", domain.TokenLen) }},
		{domain.CodeRateLimited, func(r *request) { r.as = slow }},
		{domain.CodeUnsupportedMediaType, func(r *request) { r.header["Content-Type"] = "text/plain" }},
		{domain.CodeInvalidID, func(r *request) { r.path = strings.Replace(r.path, "/db", "/d*b", 1) }},
		{domain.CodeForbidden, func(r *request) {
			r.path = strings.Replace(r.path, w.project.String(), "project/"+newULID("proj_"), 1)
		}},
		{domain.CodePositionNotReached, func(r *request) { r.header["Chancery-Min-Position"] = "99999999" }},
		{domain.CodeVersionMismatch, func(r *request) { r.header["If-Match"] = `"v7"` }},
	}
	for i, first := range faults {
		for _, second := range faults[i:] {
			r := good
			r.header = map[string]string{}
			second.spoil(&r)
			first.spoil(&r)
			w.store.calls, w.keys.calls = nil, 0
			w.refused(first.code, r)
			if first.code != domain.CodeVersionMismatch && (len(w.store.calls) > 0 || w.keys.calls > 0) {
				t.Errorf("%s: touched %v", first.code, w.store.calls)
			}
		}
	}
	w.want(201, good)
}

// TestForbiddenEverywhere verifies invariants 2 and 3: a caller without
// rights is refused on every route that asks for any, before anything is
// looked at, with the same words whether the scope exists or not.
func TestForbiddenEverywhere(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "db")
	w.recorder.take()
	replace := func(project string) *strings.Replacer {
		return strings.NewReplacer("{scope}", "project", "{scopeId}", project, "{secretId}", "db", "{fieldKey}", "user",
			"{orgId}", string(w.org), "{teamId}", w.team.ID, "{projectId}", project, "{agentId}", string(w.writer.id), "{keyId}", newULID("key_"), "{name}", "changes", "{log}", "events", "{level}", "0",
			"{n1}/{n2}/{n3}/{n4}", "x001/x002/x003/004", "{n1}/{n2}/{n3}", "x001/x002/003", "{n1}/{n2}", "x001/002", "{n1}", "001")
	}
	bodies := bodiesOf()
	unasked := []string{"whoami", "listSecretScopes", "listEffectiveSecrets", "resolveSecret", "followEvents"} // an agent may always see its own scope
	for _, r := range httpapi.RouteNames() {
		if r.Open || slices.Contains(unasked, r.Name) {
			continue
		}
		var details []string
		for _, project := range []string{w.project.ID, newULID("proj_")} {
			body := ""
			if r.Body {
				body = replace(project).Replace(bodies[r.Name])
			}
			w.store.calls, w.keys.calls = nil, 0
			p := w.refused(domain.CodeForbidden, request{method: r.Method, path: replace(project).Replace(r.Path), as: w.stranger, body: body})
			details = append(details, p.Detail)
			var looked []string
			if strings.Contains(r.Path, "{orgId}") { // once decided: whom the record is for
				looked = []string{"Directory"}
			}
			if !slices.Equal(w.store.calls, looked) || w.keys.calls > 0 {
				t.Errorf("%s touched %v", r.Name, w.store.calls)
			}
			records := w.recorder.take()
			if len(records) != 1 || records[0].Outcome != "denied" || records[0].Rule == "" || records[0].Code != domain.CodeForbidden || records[0].Route != r.Path {
				t.Errorf("%s: recorded %+v", r.Name, records)
			}
		}
		if details[0] != details[1] {
			t.Errorf("%s tells what exists: %q", r.Name, details)
		}
	}
}

// bodiesOf gives a body for every route that takes one.
func bodiesOf() map[string]string {
	return map[string]string{
		"createSecret": createBody, "updateSecretMetadata": `{"category":"c"}`, "setSecretField": `{"sensitivity":"plaintext","value":"v"}`,
		"generateSecretDataKey": `{"scope":"project","scopeId":"{scopeId}","secretId":"{secretId}","fieldKey":"{fieldKey}"}`,
		"decryptSecretDataKey":  `{"scope":"project","scopeId":"{scopeId}","secretId":"{secretId}","fieldKey":"{fieldKey}","dataKeyCiphertext":"x"}`,
		"createOrg":             `{"name":"n"}`, "createTeam": `{"name":"n"}`, "createProject": `{"name":"n"}`, "createAgent": `{"name":"n"}`,
		"updateOrg": `{"name":"n"}`, "updateTeam": `{"name":"n"}`, "updateProject": `{"archived":true}`, "updateAgent": `{"name":"n"}`,
		"grantMembership": `{"role":"viewer"}`, "revokeMembership": `{"role":"viewer"}`, "issueKey": `{}`,
	}
}

// TestRouting verifies that what matches no route, or not with this method,
// is a problem, with or without a key.
func TestRouting(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/agent", "/agent/secrets/events/", "/agent/secrets/scopes/", "/agent/secrets/project/x/y/z/w", "/Agent/identity/whoami", "/healthz/", "/admin/orgs/x"} {
		method := "GET"
		if path == "/admin/orgs/x" {
			w.refused(domain.CodeMethodNotAllowed, request{method: method, path: path, as: w.root})
			continue
		}
		w.refused(domain.CodeRouteNotFound, request{method: method, path: path})
		w.refused(domain.CodeRouteNotFound, request{method: method, path: path, as: w.writer})
	}
	for path, allow := range map[string]string{
		w.path(w.project, "db"): "DELETE, GET, PATCH, PUT", "/agent/secrets/generate-data-key": "POST",
		"/healthz": "GET, HEAD", "/agent/identity/whoami": "GET",
	} {
		for _, method := range []string{"PROPFIND", "TRACE", "BREW"} {
			got := w.send(request{method: method, path: path})
			if got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", method, path, got.StatusCode, got.Header.Get("Allow"))
			}
		}
	}
	w.want(http.StatusOK, request{method: "HEAD", path: "/readyz"})
	w.want(http.StatusMethodNotAllowed, request{method: "HEAD", path: w.path(w.project, "db"), as: w.writer})
	if got := w.want(http.StatusMethodNotAllowed, request{method: "OPTIONS", path: "/agent/identity/whoami"}); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin is let in")
	}
	w.refused(domain.CodeRouteNotFound, request{method: "OPTIONS", path: "/none"})
}

// TestPathIDs verifies that ids are read from the path as it means, once, and
// that nothing else than an id passes.
func TestPathIDs(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "d_b")
	for _, id := range []string{"d_b", "d%5Fb", "%64_b"} {
		w.want(200, request{method: "GET", path: w.path(w.project, id), as: w.writer})
	}
	for _, id := range []string{
		"d%255Fb", "..", "%2e%2e", "a%2Fb", "a.b", "*", "%3E", "a%00", "%20", "a%0Ab", "-a", "_a", "%ff", "a,b", strings.Repeat("a", 129), "%C3%A4", strings.Repeat("a", 4096),
	} {
		w.refused(domain.CodeInvalidID, request{method: "GET", path: w.path(w.project, id), as: w.writer})
	}
	for _, path := range []string{
		"/agent/secrets/galaxy/x/db", "/agent/secrets/project/../db", "/agent/secrets/project/a.b/db", w.path(w.project, "db") + "/fields/.x",
	} {
		w.refused(domain.CodeInvalidID, request{method: "GET", path: path, as: w.writer})
	}
	for _, path := range []string{"/admin/orgs/x/teams", "/admin/orgs/org_01/teams", "/admin/orgs/" + strings.ToLower(string(w.org)) + "/teams", "/admin/orgs/" + string(w.org) + "/agents/x/keys"} {
		w.refused(domain.CodeInvalidID, request{method: "GET", path: path, as: w.root})
	}
}

// TestBodyCannotRedirect verifies invariant 4: a body that names ids of its
// own does not lead a write elsewhere.
func TestBodyCannotRedirect(t *testing.T) {
	w := newWorld(t)
	body := strings.Replace(createBody, `{`, `{"secretId":"other","scopeId":"`+w.team.ID+`","scope":"team",`, 1)
	w.refused(domain.CodeInvalidRequest, request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: body})
	if len(w.store.secrets) > 0 {
		t.Error("something was written")
	}
}

// TestQueries verifies that every route refuses a parameter that it does not
// take and one that is given twice.
func TestQueries(t *testing.T) {
	w := newWorld(t)
	fill := strings.NewReplacer("{scope}", "project", "{scopeId}", w.project.ID, "{secretId}", "db", "{fieldKey}", "user",
		"{orgId}", string(w.org), "{teamId}", w.team.ID, "{projectId}", w.project.ID, "{agentId}", string(w.writer.id), "{keyId}", newULID("key_"), "{name}", "changes", "{log}", "events", "{level}", "0",
		"{n1}/{n2}/{n3}/{n4}", "x001/x002/x003/004", "{n1}/{n2}/{n3}", "x001/x002/003", "{n1}/{n2}", "x001/002", "{n1}", "001")
	for _, r := range httpapi.RouteNames() {
		bad := []string{"nonsense=1", "Limit=1", "limits=1", "%zz=1", "a;b"}
		for _, name := range r.Query {
			if name != "tag" {
				bad = append(bad, name+"=1&"+name+"=1")
			}
			bad = append(bad, name+"=%ff", name+"=a%0Ab")
		}
		body := ""
		if r.Body {
			body = "{}"
		}
		for _, query := range bad {
			w.refused(domain.CodeInvalidQuery, request{method: r.Method, path: fill.Replace(r.Path) + "?" + query, as: w.root, body: body})
		}
	}
	for _, query := range []string{
		"limit=0", "limit=1001", "limit=-1", "limit=01", "limit=1e2", "limit=", "category=", "category=X", "category=a-b", "tag=", "tag=a,b",
		"tag=" + strings.Repeat("a", 65), "q=" + strings.Repeat("a", 257), strings.Repeat("tag=a&", 1) + manyTags(33),
	} {
		w.refused(domain.CodeInvalidQuery, request{method: "GET", path: w.path(w.project) + "?" + query, as: w.viewer})
	}
	w.refused(domain.CodeInvalidQuery, request{method: "GET", path: w.path(w.project, "db", "history") + "?order=up", as: w.viewer})
}

func manyTags(n int) string {
	var tags []string
	for i := range n {
		tags = append(tags, "tag=t"+strings.Repeat("x", i))
	}
	return strings.Join(tags, "&")
}
