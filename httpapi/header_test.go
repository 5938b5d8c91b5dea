package httpapi_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// TestPreconditions verifies which calls take which precondition and that no
// other is passed over.
func TestPreconditions(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "db")
	secret := w.path(w.project, "db")
	field := `{"sensitivity":"plaintext","value":"v"}`
	versioned := map[string]request{
		"create": {method: "PUT", path: secret, body: createBody}, "update": {method: "PATCH", path: secret, body: `{"category":"c"}`},
		"set": {method: "PUT", path: secret + "/fields/k", body: field}, "remove": {method: "DELETE", path: secret + "/fields/user"},
		"delete": {method: "DELETE", path: secret},
	}
	for name, r := range versioned {
		r.as = w.writer
		for _, tag := range []string{`W/"v1"`, `"v1", "v2"`, "v1", "**", `"`, `'v1'`} {
			r.header = map[string]string{"If-Match": tag}
			w.refused(domain.CodePreconditionInvalid, r)
		}
		for _, tag := range []string{`"v9"`, `"1"`, `"v0"`, `"v01"`, `""`, `"abc"`} {
			r.header = map[string]string{"If-Match": tag}
			w.refused(domain.CodeVersionMismatch, r)
		}
		r.header = nil
		r.add = http.Header{"If-Match": {`"v1"`, `"v1"`}}
		w.refused(domain.CodePreconditionInvalid, r)
		r.add = http.Header{"If-Match": {""}}
		w.refused(domain.CodePreconditionInvalid, r)
		r.add = nil
		for _, tag := range []string{`"v1"`, `*`, "* , *"} {
			if name == "create" && tag == "*" {
				continue
			}
			r.header = map[string]string{"If-None-Match": tag}
			w.refused(domain.CodePreconditionInvalid, r)
		}
	}
	w.want(200, request{method: "PUT", path: secret, as: w.writer, body: createBody, header: map[string]string{"If-None-Match": "*", "If-Match": `"v1"`}})
	for _, r := range []request{
		{method: "GET", path: secret, as: w.writer},
		{method: "GET", path: w.path(w.project), as: w.writer},
		{method: "POST", path: "/agent/secrets/generate-data-key", as: w.writer, body: "{}"},
		{method: "POST", path: "/agent/secrets/decrypt-data-key", as: w.writer, body: "{}"},
		{method: "POST", path: "/admin/orgs", as: w.root, body: `{"name":"n"}`},
	} {
		for _, name := range []string{"If-Match", "If-None-Match"} {
			r.header = map[string]string{name: "*"}
			w.refused(domain.CodePreconditionInvalid, r)
		}
	}
}

// TestMinPosition verifies that a request waits for its position, and what it
// is told when that does not come.
func TestMinPosition(t *testing.T) {
	w := newWorld(t)
	w.create(w.project, "db")
	for path, as := range map[string]member{
		"/agent/identity/whoami": w.writer, "/agent/secrets/scopes": w.writer, "/agent/secrets/resolve": w.writer, "/agent/secrets/resolve/db": w.writer,
		w.path(w.project): w.writer, w.path(w.project, "db"): w.writer, w.path(w.project, "db", "history"): w.writer, w.path(w.project, "db") + "?version=1": w.writer,
		"/admin/orgs/" + string(w.org) + "/teams": w.root,
	} {
		ask := func(position string) request {
			return request{method: "GET", path: path, as: as, header: map[string]string{"Chancery-Min-Position": position}}
		}
		w.want(200, ask("0"))
		w.want(200, ask(strconv.FormatUint(w.store.Position(), 10)))
		w.refused(domain.CodePositionNotReached, ask(strconv.FormatUint(w.store.Position()+1, 10)))
		for _, bad := range []string{"-1", "+1", "01", "x", "1.0", "18446744073709551616"} {
			w.refused(domain.CodeInvalidRequest, ask(bad))
		}
	}
	w.store.stopped = errors.New("gap at 7")
	w.refused(domain.CodeUnavailable, request{method: "GET", path: w.path(w.project, "db"), as: w.writer, header: map[string]string{"Chancery-Min-Position": "999"}})
}

// TestRightsAfterTheWait verifies that a request which waited for a position
// has the rights that its caller has there: the position may be that of a
// revocation.
func TestRightsAfterTheWait(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"membership": func(w *world) {
			w.decide(w.org, domain.RevokeMembership{Agent: w.writer.id, Scope: w.project})
		},
		"agent": func(w *world) { w.decide(w.org, domain.SetArchived{Scope: w.writer.scope(), Archived: true}) },
	} {
		w := newWorld(t)
		w.create(w.project, "db")
		w.store.meanwhile = func() { lose(w) }
		header := map[string]string{"Chancery-Min-Position": strconv.FormatUint(w.store.Position()+1, 10)}
		got := w.send(request{method: "GET", path: w.path(w.project, "db"), as: w.writer, header: header})
		if want := map[string]int{"membership": http.StatusForbidden, "agent": http.StatusUnauthorized}[name]; got.StatusCode != want {
			t.Errorf("%s lost while waiting: %d, want %d", name, got.StatusCode, want)
		}
	}
	w := newWorld(t)
	w.store.meanwhile = func() {
		w.decide(w.org, domain.GrantMembership{Agent: w.writer.id, Scope: w.team, Role: domain.RoleViewer})
	}
	header := map[string]string{"Chancery-Min-Position": strconv.FormatUint(w.store.Position()+1, 10)}
	got := data[[]wire.ScopeRole](w, w.want(200, request{method: "GET", path: "/agent/secrets/scopes", as: w.writer, header: header}))
	if !slices.ContainsFunc(got, func(s wire.ScopeRole) bool { return s.ScopeID == w.team.ID && s.Role == "viewer" }) {
		t.Errorf("the scope granted while waiting is not among %+v", got)
	}
}

// TestRecordedHeaders verifies what is taken, cut, replaced and refused of
// headers that are recorded.
func TestRecordedHeaders(t *testing.T) {
	w := newWorld(t)
	for i, test := range []struct{ agent, reason, want, wantReason string }{
		{"a\tb\xffc\u0085d", "r", "a\ufffdb\ufffdc\ufffdd", "r"},
		{strings.Repeat("ä", 300), strings.Repeat("é", 300), strings.Repeat("ä", 256), strings.Repeat("é", 256)},
	} {
		path := w.path(w.project, "s"+strconv.Itoa(i))
		w.want(201, request{method: "PUT", path: path, as: w.writer, body: createBody, header: map[string]string{"User-Agent": test.agent, "Chancery-Reason": test.reason}})
		ref := domain.SecretRef{Org: w.org, Scope: w.project, ID: domain.SecretID("s" + strconv.Itoa(i))}
		if o := w.store.history[ref][0].Origin; o.UserAgent != test.want || o.Reason != test.wantReason {
			t.Errorf("got %q, %q", o.UserAgent, o.Reason)
		}
	}
	for _, name := range []string{"Chancery-Reason", "Chancery-Run-Id"} {
		for _, bad := range []string{"a\tb", "\xff", "\u0085"} {
			w.refused(domain.CodeInvalidRequest, request{method: "GET", path: w.path(w.project), as: w.writer, header: map[string]string{name: bad}})
		}
		w.refused(domain.CodeInvalidRequest, request{method: "GET", path: w.path(w.project), as: w.writer, add: http.Header{name: {"a", "b"}}})
	}
	for given, kept := range map[string]bool{"a.B_9:-": true, "a b": false, strings.Repeat("x", 129): false, "ä": false} {
		got := w.want(200, request{method: "GET", path: "/healthz", header: map[string]string{"X-Request-Id": given}})
		if (got.Header.Get("X-Request-Id") == given) != kept {
			t.Errorf("%q became %q", given, got.Header.Get("X-Request-Id"))
		}
	}
}

// TestBodies verifies size, type and presence of bodies.
func TestBodies(t *testing.T) {
	w := newWorld(t)
	put := request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody}
	for _, kind := range []string{"text/plain", "application/json; charset=latin1", "application/merge-patch+json", "application/json, application/json", "x"} {
		r := put
		r.header = map[string]string{"Content-Type": kind}
		w.refused(domain.CodeUnsupportedMediaType, r)
	}
	r := put
	r.header = map[string]string{"Content-Type": ""}
	w.refused(domain.CodeUnsupportedMediaType, r)
	r.header = map[string]string{"Content-Encoding": "gzip"}
	w.refused(domain.CodeUnsupportedMediaType, r)
	r.header = map[string]string{"Content-Type": "Application/JSON; charset=UTF-8"}
	w.want(201, r)

	r = put
	r.body = createBody + strings.Repeat(" ", 1<<20-len(createBody))
	w.want(200, r)
	r.body += " "
	w.refused(domain.CodeBodyTooLarge, r)
	r.header = map[string]string{"Content-Type": "text/plain"}
	w.refused(domain.CodeBodyTooLarge, r)
	w.refused(domain.CodeInvalidRequest, request{method: "GET", path: w.path(w.project), as: w.writer, body: "{}"})
	w.refused(domain.CodeInvalidRequest, request{method: "DELETE", path: w.path(w.project, "db"), as: w.writer, body: "{}"})
	w.refused(domain.CodeInvalidRequest, request{method: "GET", path: "/healthz", body: "{}"})
	w.refused(domain.CodeInvalidJSON, request{method: "PATCH", path: w.path(w.project, "db"), as: w.writer, header: map[string]string{"Content-Type": "application/json"}})
}

// TestChunkedBody verifies the limit of a body whose length is not declared.
func TestChunkedBody(t *testing.T) {
	w := newWorld(t)
	for size, status := range map[int]int{1 << 20: 200, 1<<20 + 1: http.StatusRequestEntityTooLarge} {
		w.create(w.project, "db"+strconv.Itoa(size))
		body := createBody + strings.Repeat(" ", size-len(createBody))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.url+w.path(w.project, "db"+strconv.Itoa(size)), struct{ *strings.Reader }{strings.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1
		req.Header.Set("Authorization", "Bearer "+w.writer.token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%d bytes: status %d", size, resp.StatusCode)
		}
	}
}
