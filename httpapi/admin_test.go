package httpapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func idem(key string) map[string]string { return map[string]string{"Idempotency-Key": key} }

// TestDirectory walks the making, listing, renaming and archiving of every
// kind of item.
func TestDirectory(t *testing.T) {
	w := newWorld(t)
	org := "/admin/orgs/" + string(w.org)
	for i, test := range []struct{ path, body, prefix string }{
		{org + "/teams", `{"name":"Ops"}`, "team_"},
		{org + "/projects", `{"name":"Ops","teamId":"` + w.team.ID + `"}`, "proj_"},
		{org + "/projects", `{"name":"Ops"}`, "proj_"},
		{org + "/agents", `{"name":"Ops"}`, "agt_"},
	} {
		resp := w.want(201, request{method: "POST", path: test.path, as: w.root, body: test.body, header: idem("k" + strconv.Itoa(i))})
		item := data[wire.DirectoryItem](w, resp)
		if !strings.HasPrefix(item.ID, test.prefix) || item.Name != "Ops" || item.CreatedAt != wire.NewTime(w.clock.now()) || (item.TeamID != "") != strings.Contains(test.body, "teamId") {
			t.Errorf("got %+v", item)
		}
		if resp.Header.Get("Chancery-Position") == "" || resp.Header.Get("Etag") != "" {
			t.Errorf("headers %v", resp.Header)
		}
		again := data[wire.DirectoryItem](w, w.want(201, request{method: "POST", path: test.path, as: w.root, body: test.body, header: idem("k" + strconv.Itoa(i))}))
		if diff := cmp.Diff(item, again); diff != "" {
			t.Error(diff)
		}
		renamed := data[wire.DirectoryItem](w, w.want(200, request{method: "PATCH", path: test.path + "/" + item.ID, as: w.root, body: `{"name":"New"}`}))
		archived := data[wire.DirectoryItem](w, w.want(200, request{method: "PATCH", path: test.path + "/" + item.ID, as: w.root, body: `{"archived":true}`}))
		if renamed.Name != "New" || archived.ArchivedAt == nil {
			t.Errorf("got %+v, %+v", renamed, archived)
		}
		var ids []string
		for path := test.path + "?limit=1"; path != ""; {
			rows, next := page[[]wire.DirectoryItem](w, w.want(200, request{method: "GET", path: path, as: w.root}))
			for _, row := range rows {
				ids = append(ids, row.ID)
			}
			path = ""
			if next != "" {
				path = test.path + "?limit=1&cursor=" + next
			}
		}
		if !strings.Contains(strings.Join(ids, " "), item.ID) || len(ids) < 2 {
			t.Errorf("%s: listed %v", test.path, ids)
		}
		for body, code := range map[string]domain.Code{
			`{}`: domain.CodeEmptyPatch, `{"name":"a","archived":true}`: domain.CodeInvalidRequest, `{"name":""}`: domain.CodeInvalidRequest,
			`{"archived":"yes"}`: domain.CodeInvalidRequest, `{"name":"` + strings.Repeat("x", 257) + `"}`: domain.CodeTooLong,
		} {
			w.refused(code, request{method: "PATCH", path: test.path + "/" + item.ID, as: w.root, body: body})
		}
		w.refused(domain.CodeNotFound, request{method: "PATCH", path: test.path + "/" + newULID(test.prefix), as: w.root, body: `{"name":"n"}`})
		w.refused(domain.CodeForbidden, request{method: "POST", path: test.path, as: w.writer, body: test.body})
	}
	w.refused(domain.CodeInvalidID, request{method: "POST", path: org + "/projects", as: w.root, body: `{"name":"n","teamId":"a.b"}`})
	w.refused(domain.CodeNotFound, request{method: "POST", path: org + "/projects", as: w.root, body: `{"name":"n","teamId":"team_x"}`})
	w.refused(domain.CodeInvalidID, request{method: "PATCH", path: org + "/agents/x", as: w.root, body: `{"name":"n"}`})
}

// TestOrgs verifies that only administrators of the first organization make
// and see others, and that a repeated creation means the same one.
func TestOrgs(t *testing.T) {
	w := newWorld(t)
	body := `{"name":"Third"}`
	first := data[wire.DirectoryItem](w, w.want(201, request{method: "POST", path: "/admin/orgs", as: w.root, body: body, header: idem("k")}))
	again := data[wire.DirectoryItem](w, w.want(201, request{method: "POST", path: "/admin/orgs", as: w.root, body: body, header: idem("k")}))
	if _, err := domain.ParseOrgID(first.ID); err != nil || first != again {
		t.Errorf("got %+v, %+v, %v", first, again, err)
	}
	other := data[wire.DirectoryItem](w, w.want(201, request{method: "POST", path: "/admin/orgs", as: w.root, body: body}))
	if other.ID == first.ID {
		t.Error("two organizations have one id")
	}
	rows := data[[]wire.DirectoryItem](w, w.want(200, request{method: "GET", path: "/admin/orgs", as: w.root}))
	if len(rows) != 4 {
		t.Errorf("listed %+v", rows)
	}
	local := w.newMember(w.other, "local", domain.Scope{Kind: domain.ScopeOrg, ID: string(w.other)}, domain.RoleAdmin)
	for _, r := range []request{
		{method: "POST", path: "/admin/orgs", body: body},
		{method: "GET", path: "/admin/orgs"},
		{method: "GET", path: "/admin/orgs/" + string(w.org) + "/teams"},
		{method: "PATCH", path: "/admin/orgs/" + first.ID, body: body},
	} {
		r.as = local
		w.refused(domain.CodeForbidden, r)
	}
	w.want(200, request{method: "GET", path: "/admin/orgs/" + string(w.other) + "/teams", as: local})
	w.want(200, request{method: "PATCH", path: "/admin/orgs/" + string(w.other), as: w.root, body: `{"archived":true}`})
	w.refused(domain.CodeNotFound, request{method: "GET", path: "/admin/orgs/" + newULID("org_") + "/teams", as: w.root})
}

// TestMemberships verifies grants, revocations and lists, by administrators
// and by managers.
func TestMemberships(t *testing.T) {
	w := newWorld(t)
	manager := w.newMember(w.org, "manager", w.project, domain.RoleManager)
	agents := "/admin/orgs/" + string(w.org) + "/agents/"
	of := func(scope domain.Scope) string {
		return agents + string(w.stray().id) + "/memberships/" + scope.String()
	}
	org := domain.Scope{Kind: domain.ScopeOrg, ID: string(w.org)}
	project := of(w.project)
	m := data[wire.Membership](w, w.want(200, request{method: "PUT", path: project, as: manager, body: `{"role":"reader"}`}))
	if m.Role != "reader" || m.GrantedBy != string(manager.id) || m.ScopeID != w.project.ID || m.GrantedAt != wire.NewTime(w.clock.now()) {
		t.Errorf("got %+v", m)
	}
	w.want(200, request{method: "PUT", path: project, as: manager, body: `{"role":"reader"}`})
	for _, r := range []request{
		{method: "PUT", path: of(w.team), as: manager, body: `{"role":"viewer"}`},
		{method: "PUT", path: of(org), as: manager, body: `{"role":"admin"}`},
		{method: "DELETE", path: of(org) + "?role=admin", as: manager},
		{method: "PUT", path: project, as: w.writer, body: `{"role":"viewer"}`},
	} {
		w.refused(domain.CodeForbidden, r)
	}
	w.want(200, request{method: "PUT", path: of(org), as: w.root, body: `{"role":"auditor"}`})
	w.want(200, request{method: "PUT", path: of(org), as: w.root, body: `{"role":"viewer"}`})
	list := agents + string(w.stray().id) + "/memberships"
	all := data[[]wire.Membership](w, w.want(200, request{method: "GET", path: list, as: w.root}))
	seen := data[[]wire.Membership](w, w.want(200, request{method: "GET", path: list, as: manager}))
	if len(all) != 3 || len(seen) != 1 || seen[0].Scope != "project" {
		t.Errorf("got %+v and %+v", all, seen)
	}
	// To a manager neither the rows nor a cursor tell of what it may not see.
	rows, next := page[[]wire.Membership](w, w.want(200, request{method: "GET", path: list + "?limit=1", as: manager}))
	if len(rows) != 1 || rows[0].Scope != "project" || next != "" {
		t.Errorf("the manager sees %+v and the cursor %q", rows, next)
	}
	var paged []wire.Membership
	for path := list + "?limit=1"; path != ""; {
		rows, next := page[[]wire.Membership](w, w.want(200, request{method: "GET", path: path, as: w.root}))
		paged = append(paged, rows...)
		path = ""
		if next != "" {
			path = list + "?limit=1&cursor=" + next
		}
	}
	if diff := cmp.Diff(all, paged); diff != "" {
		t.Error(diff)
	}
	w.refused(domain.CodeForbidden, request{method: "GET", path: list, as: w.writer})
	w.refused(domain.CodeNotFound, request{method: "GET", path: agents + newULID("agt_") + "/memberships", as: w.root})

	for path, code := range map[string]domain.Code{
		of(w.stray().scope()): domain.CodeInvalidRequest, of(domain.Scope{Kind: "galaxy", ID: "x"}): domain.CodeInvalidID,
		of(domain.Scope{Kind: domain.ScopeOrg, ID: string(w.other)}): domain.CodeNotFound, of(domain.Scope{Kind: domain.ScopeTeam, ID: "none"}): domain.CodeNotFound,
	} {
		w.refused(code, request{method: "PUT", path: path, as: w.root, body: `{"role":"viewer"}`})
	}
	for _, body := range []string{`{"role":"owner"}`, `{}`, `{"role":"admin"}`} {
		w.refused(domain.CodeInvalidRequest, request{method: "PUT", path: project, as: w.root, body: body})
	}

	gone := data[wire.RevokedMembership](w, w.want(200, request{method: "DELETE", path: of(org), as: w.root}))
	if gone.Role != "viewer" {
		t.Errorf("got %+v", gone)
	}
	w.refused(domain.CodeNotFound, request{method: "DELETE", path: of(org), as: w.root})
	w.refused(domain.CodeNotFound, request{method: "DELETE", path: of(org), as: w.root, body: `{"role":"admin"}`})
	w.want(200, request{method: "DELETE", path: of(org), as: w.root, body: `{"role":"auditor"}`})
	w.want(200, request{method: "DELETE", path: project + "?role=reader", as: manager})
	w.refused(domain.CodeInvalidRequest, request{method: "DELETE", path: project + "?role=reader", as: manager, body: `{"role":"reader"}`})
	w.refused(domain.CodeInvalidQuery, request{method: "DELETE", path: project + "?role=owner", as: manager})
}

// stray is an agent of the organization without any membership of its own.
func (w *world) stray() member {
	w.Helper()
	if w.lone.id == "" {
		w.lone = w.newMember(w.org, "stray", domain.Scope{}, "")
	}
	return w.lone
}

// TestKeys verifies that a key works once issued, is shown once, and stops
// working with the next request after its revocation.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	keys := "/admin/orgs/" + string(w.org) + "/agents/" + string(w.writer.id) + "/keys"
	issue := request{method: "POST", path: keys, as: w.root, body: `{"expiresAt":"2027-01-01T00:00:00Z","note":"ci"}`, header: idem("k")}
	issued := data[wire.IssuedKey](w, w.want(201, issue))
	p := w.refused(domain.CodeKeyAlreadyIssued, issue)
	if !strings.Contains(p.Detail, issued.ID) || strings.Contains(p.Detail, string(issued.APIKey)) {
		t.Errorf("got %+v", p)
	}
	who := request{method: "GET", path: "/agent/identity/whoami", as: member{token: string(issued.APIKey)}}
	w.want(200, who)
	rows := data[[]wire.APIKey](w, w.want(200, request{method: "GET", path: keys, as: w.root}))
	if len(rows) != 2 || rows[1].ID != issued.ID || rows[1].Note != "ci" || rows[1].ExpiresAt.String() != "2027-01-01T00:00:00.000Z" || rows[1].RevokedAt != nil || rows[0].ExpiresAt != nil ||
		rows[1].LookupID != string(issued.APIKey)[4:16] {
		t.Errorf("got %+v", rows)
	}
	rest, next := page[[]wire.APIKey](w, w.want(200, request{method: "GET", path: keys + "?limit=1", as: w.root}))
	if len(rest) != 1 || next == "" {
		t.Errorf("got %+v, %q", rest, next)
	}
	revoked := data[wire.APIKey](w, w.want(200, request{method: "DELETE", path: keys + "/" + issued.ID, as: w.root}))
	if revoked.RevokedAt == nil || revoked.ID != issued.ID {
		t.Errorf("got %+v", revoked)
	}
	w.refused(domain.CodeUnauthenticated, who)
	w.want(200, request{method: "DELETE", path: keys + "/" + issued.ID, as: w.root})
	w.refused(domain.CodeNotFound, request{method: "DELETE", path: keys + "/" + newULID("key_"), as: w.root})
	w.refused(domain.CodeInvalidID, request{method: "DELETE", path: keys + "/" + string(issued.APIKey), as: w.root})
	now := w.clock.now()
	for body, code := range map[string]domain.Code{
		`{"expiresAt":"` + wire.NewTime(now).String() + `"}`:                                         domain.CodeInvalidRequest,
		`{"expiresAt":"` + wire.NewTime(now.AddDate(10, 0, 0).Add(time.Millisecond)).String() + `"}`: domain.CodeInvalidRequest,
		`{"note":"` + strings.Repeat("x", 257) + `"}`:                                                domain.CodeTooLong, `{"notes":"x"}`: domain.CodeInvalidRequest,
	} {
		w.refused(code, request{method: "POST", path: keys, as: w.root, body: body})
	}
	w.want(http.StatusCreated, request{method: "POST", path: keys, as: w.root, body: `{"expiresAt":"` + wire.NewTime(now.AddDate(10, 0, 0)).String() + `"}`})
	w.refused(domain.CodeNotFound, request{method: "POST", path: "/admin/orgs/" + string(w.org) + "/agents/" + newULID("agt_") + "/keys", as: w.root, body: `{}`})
	w.refused(domain.CodeForbidden, request{method: "POST", path: keys, as: w.writer, body: `{}`})
}
