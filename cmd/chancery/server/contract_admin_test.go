package server_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var apiKey = regexp.MustCompile(`^chy_([0-9A-Za-z]{12})_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$`)

type directoryRow struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	CreatedAt  string  `json:"createdAt"`
	ArchivedAt *string `json:"archivedAt"`
	TeamID     string  `json:"teamId"`
}

func (w *world) rows(t *testing.T, c caller, target string, pairs ...string) map[string]directoryRow {
	t.Helper()
	all := map[string]directoryRow{}
	for _, page := range c.pages(t, target, pairs...) {
		var rows []directoryRow
		if err := json.Unmarshal(page.data, &rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			instant(t, row.CreatedAt)
			if _, twice := all[row.ID]; twice {
				t.Errorf("%s is listed twice", row.ID)
			}
			all[row.ID] = row
		}
	}
	return all
}

// TestContractDirectory: organizations, teams, projects and agents are made,
// listed, renamed, archived and restored by the same rules.
func TestContractDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for kind, tt := range map[string]struct{ prefix, collection string }{
		"organizations": {"org_", "/admin/orgs"}, "teams": {"team_", w.inOrg("teams")},
		"projects": {"proj_", w.inOrg("projects")}, "agents": {"agt_", w.inOrg("agents")},
	} {
		t.Run(kind, func(t *testing.T) {
			id := w.add(t, tt.collection, obj{"name": "One ä"})
			if !regexp.MustCompile(`^` + tt.prefix + `[0-7][0-9A-HJKMNP-TV-Z]{25}$`).MatchString(id) {
				t.Errorf("id %q", id)
			}
			item := tt.collection + "/" + id
			row := func() directoryRow { return w.rows(t, w.admin, tt.collection)[id] }
			if got := row(); got.Name != "One ä" || got.ArchivedAt != nil {
				t.Errorf("row %+v", got)
			}
			before := w.head(t)
			w.admin.do(t, http.MethodPatch, item, obj{"name": "Two"}).ok(t, 200)
			w.admin.do(t, http.MethodPatch, item, obj{"archived": true}).ok(t, 200)
			got := row()
			if got.Name != "Two" || got.ArchivedAt == nil {
				t.Fatalf("row %+v", got)
			}
			instant(t, *got.ArchivedAt)
			w.admin.do(t, http.MethodPatch, item, obj{"archived": false}).ok(t, 200)
			if got := row(); got.ArchivedAt != nil {
				t.Errorf("row %+v", got)
			}
			if after := w.head(t); after != before+3 {
				t.Errorf("three changes moved the log from %d to %d", before, after)
			}
			w.unchanged(t, func() {
				w.admin.do(t, http.MethodPatch, item, obj{"name": "Two"}).ok(t, 200).position(t)
				w.admin.do(t, http.MethodPatch, item, obj{"archived": false}).ok(t, 200)
				for _, bad := range []any{
					obj{"name": "x", "archived": true},
					obj{"name": ""},
					obj{"name": 1},
					obj{"archived": "true"},
					obj{"archived": nil},
					obj{"Name": "x"},
					obj{"name": "a\x00b"},
					obj{"name": strings.Repeat("n", 2000)},
					raw(`[]`), raw(`{"name":"a","name":"b"}`),
				} {
					if r := w.admin.do(t, http.MethodPatch, item, bad); r.status != 400 {
						t.Errorf("PATCH %.60v: %d", bad, r.status)
					}
				}
				w.admin.do(t, http.MethodPatch, item, obj{}).refused(t, 400, "empty_patch", "invalid_request")
				for _, bad := range []any{obj{}, obj{"name": ""}, obj{"name": nil}, obj{"name": []string{}}, obj{"name": "x", "id": "y"}, obj{"name": "a\nb"}, raw(``), raw(`null`)} {
					if r := w.admin.do(t, http.MethodPost, tt.collection, bad); r.status != 400 {
						t.Errorf("POST %.60v: %d", bad, r.status)
					}
				}
				w.admin.do(t, http.MethodPatch, tt.collection+"/"+tt.prefix+ulidOfNobody, obj{"name": "x"}).code(t, "not_found")
				w.admin.do(t, http.MethodPatch, tt.collection+"/a.b", obj{"name": "x"}).code(t, "invalid_id")
				for _, q := range []string{"?limit=0", "?limit=1001", "?x=1", "?limit=1&limit=1"} {
					w.admin.do(t, http.MethodGet, tt.collection+q, nil).code(t, "invalid_query")
				}
				w.admin.do(t, http.MethodGet, tt.collection+"?cursor=x", nil).code(t, "invalid_cursor")
			})
			w.add(t, tt.collection, obj{"name": "One ä"}) // names need not differ
			if diff := cmp.Diff(w.rows(t, w.admin, tt.collection), w.rows(t, w.admin, tt.collection, "limit", "1")); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a project says its team", func(t *testing.T) {
		rows := w.rows(t, w.admin, w.inOrg("projects"))
		if got := rows[w.projA.id].TeamID; got != w.teamA.id {
			t.Errorf("team %q", got)
		}
		w.unchanged(t, func() {
			w.admin.do(t, http.MethodPost, w.inOrg("projects"), obj{"name": "x", "teamId": "team_" + ulidOfNobody}).code(t, "not_found")
			w.admin.do(t, http.MethodPost, w.inOrg("projects"), obj{"name": "x", "teamId": "a.b"}).refused(t, 400, "invalid_id", "invalid_request")
		})
	})
	t.Run("an unknown organization", func(t *testing.T) {
		for _, below := range []string{"teams", "projects", "agents"} {
			w.admin.do(t, http.MethodGet, "/admin/orgs/org_"+ulidOfNobody+"/"+below, nil).code(t, "not_found")
			w.admin.do(t, http.MethodPost, "/admin/orgs/org_"+ulidOfNobody+"/"+below, obj{"name": "x"}).code(t, "not_found")
		}
	})
}

// TestContractKeys: an API key is shown once, works until it expires or is
// revoked, and is listed without its secret.
func TestContractKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := w.inOrg("agents", w.ada.id, "keys")
	t.Run("issue and list", func(t *testing.T) {
		expires := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")
		r := w.admin.do(t, http.MethodPost, keys, obj{"note": "for the build", "expiresAt": expires}).ok(t, 201)
		key, id := stringOf(t, r, "apiKey"), stringOf(t, r, "id")
		parts := apiKey.FindStringSubmatch(key)
		if parts == nil || !strings.HasPrefix(id, "key_") || strings.Contains(id, parts[1]) {
			t.Fatalf("key of %d characters with id %s", len(key), id)
		}
		list := w.admin.do(t, http.MethodGet, keys, nil).ok(t, 200)
		var rows []json.RawMessage
		if err := json.Unmarshal(list.data, &rows); err != nil || len(rows) != 2 {
			t.Fatalf("%v: %s", err, list.data)
		}
		found := false
		for _, row := range rows {
			got := members(t, row, "id", "note?", "createdAt", "expiresAt?", "revokedAt?", "lookupId")
			if string(got["id"]) == `"`+id+`"` {
				found = true
				if string(got["note"]) != `"for the build"` || string(got["expiresAt"]) != `"`+expires+`"` || string(got["lookupId"]) != `"`+parts[1]+`"` {
					t.Errorf("row %s", row)
				}
			}
		}
		if !found {
			t.Error("the new key is not listed")
		}
		if strings.Contains(string(list.raw), key[17:]) {
			t.Error("a list shows the secret of a key")
		}
		(caller{w.URL, key}).do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200)
	})
	w.unchanging(t, "refused", func(t *testing.T) {
		now := time.Now().UTC()
		for _, at := range []any{
			now.Add(-time.Second).Format(time.RFC3339Nano), "2001-01-01T00:00:00.000Z", now.AddDate(10, 0, 2).Format(time.RFC3339), "tomorrow", "", 1, "2030-02-30T00:00:00Z",
		} {
			if r := w.admin.do(t, http.MethodPost, keys, obj{"expiresAt": at}); r.status != 400 {
				t.Errorf("expiresAt %v: %d", at, r.status)
			}
		}
		w.admin.do(t, http.MethodPost, keys, obj{"name": "x"}).code(t, "invalid_request", "invalid_json")
		w.admin.do(t, http.MethodPost, w.inOrg("agents", "agt_"+ulidOfNobody, "keys"), obj{}).code(t, "not_found")
		w.admin.do(t, http.MethodDelete, keys+"/key_"+ulidOfNobody, nil).code(t, "not_found")
		w.admin.do(t, http.MethodDelete, w.inOrg("agents", w.bob.id, "keys", w.ada.keyID), nil).code(t, "not_found")
		w.ada.do(t, http.MethodPost, keys, obj{}).code(t, "forbidden")
		w.ada.do(t, http.MethodDelete, keys+"/"+w.ada.keyID, nil).code(t, "forbidden")
	})
	t.Run("expires", func(t *testing.T) {
		_, c := w.newKey(t, w.ada.id, obj{"expiresAt": time.Now().Add(1500 * time.Millisecond).UTC().Format("2006-01-02T15:04:05.000Z")})
		deadline := time.Now().Add(20 * time.Second)
		for {
			r := c.do(t, http.MethodGet, "/agent/identity/whoami", nil)
			if r.status == 401 {
				r.code(t, "unauthenticated")
				return
			}
			if r.ok(t, 200); time.Now().After(deadline) {
				t.Fatal("the key does not expire")
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	t.Run("revocation outlives a restart", func(t *testing.T) {
		id, c := w.newKey(t, w.ada.id, obj{})
		w.admin.do(t, http.MethodDelete, keys+"/"+id, nil).ok(t, 200)
		c.do(t, http.MethodGet, "/agent/identity/whoami", nil).code(t, "unauthenticated")
		w.Restart(t)
		c.url, w.ada.url, w.admin.url = w.URL, w.URL, w.URL
		c.do(t, http.MethodGet, "/agent/identity/whoami", nil).code(t, "unauthenticated")
		w.ada.do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200)
	})
	t.Run("the first key", func(t *testing.T) {
		info, err := os.Stat(filepath.Join(w.Data, "admin.key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
		content := string(readFile(t, filepath.Join(w.Data, "admin.key")))
		if !apiKey.MatchString(strings.TrimSuffix(content, "\n")) {
			t.Error("admin.key does not hold one key alone on one line")
		}
	})
}

// TestContractMemberships: who may grant what, and where.
func TestContractMemberships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := w.newAgent(t, "second admin")
	w.grant(t, root, w.org, "admin")
	boss, head, subject := w.newAgent(t, "boss"), w.newAgent(t, "head"), w.newAgent(t, "subject")
	w.grant(t, boss, w.teamA, "manager")
	w.grant(t, head, w.org, "manager")
	put := func(c caller, p place, role any) reply {
		return c.do(t, http.MethodPut, w.membership(subject, p), obj{"role": role})
	}
	t.Run("a manager grants up to manager in the scope, nowhere else", func(t *testing.T) {
		for _, role := range []string{"viewer", "reader", "writer", "manager"} {
			granted(t, put(boss.caller, w.teamA, role))
			granted(t, put(head.caller, w.org, role))
		}
		w.unchanged(t, func() {
			granted(t, put(boss.caller, w.teamA, "manager")) // already so
			for _, p := range []place{w.teamB, w.projA, w.projB, w.org, {"team", "team_" + ulidOfNobody}} {
				put(boss.caller, p, "viewer").code(t, "forbidden")
				boss.do(t, http.MethodDelete, w.membership(subject, p), nil).code(t, "forbidden")
			}
			put(head.caller, w.org, "admin").code(t, "forbidden")
			put(head.caller, w.org, "auditor").code(t, "forbidden")
			put(w.ada.caller, w.teamA, "viewer").code(t, "forbidden")
			for _, c := range []caller{boss.caller, head.caller, w.ada.caller} {
				for _, below := range []string{"teams", "projects", "agents"} {
					c.do(t, http.MethodPost, w.inOrg(below), obj{"name": "x"}).code(t, "forbidden")
				}
				c.do(t, http.MethodPost, "/admin/orgs", obj{"name": "x"}).code(t, "forbidden")
				c.do(t, http.MethodPatch, w.inOrg("teams", w.teamA.id), obj{"archived": true}).code(t, "forbidden")
				c.do(t, http.MethodPost, w.inOrg("agents", subject.id, "keys"), obj{}).code(t, "forbidden")
			}
		})
		boss.do(t, http.MethodDelete, w.membership(subject, w.teamA), nil).ok(t, 200)
		subject.do(t, http.MethodGet, w.teamA.path(), nil).code(t, "forbidden")
	})
	w.unchanging(t, "what can't be granted", func(t *testing.T) {
		for _, role := range []any{"auditor", "admin", "owner", "", "Reader", nil, 1, []string{"reader"}} {
			if r := put(w.admin, w.teamA, role); r.status != 400 {
				t.Errorf("role %v on a team: %d", role, r.status)
			}
		}
		for _, p := range []place{subject.own(), w.ada.own(), {"planet", "x"}, {"team", "a.b"}, {"team", "%2a"}} {
			if r := put(w.admin, p, "reader"); r.status != 400 {
				t.Errorf("a membership of %s: %d", p.scope, r.status)
			}
		}
		for _, p := range []place{{"team", "team_" + ulidOfNobody}, {"project", "proj_" + ulidOfNobody}, {"org", "org_" + ulidOfNobody}, {"team", w.projA.id}} {
			put(w.admin, p, "reader").code(t, "not_found")
		}
		nobody := member{id: "agt_" + ulidOfNobody}
		w.admin.do(t, http.MethodPut, w.membership(nobody, w.teamA), obj{"role": "reader"}).code(t, "not_found")
		w.admin.do(t, http.MethodPut, w.membership(subject, w.teamA), obj{"role": "reader", "x": 1}).code(t, "invalid_request", "invalid_json")
	})
	t.Run("admin and auditor lie beside the ranked role", func(t *testing.T) {
		m := w.newAgent(t, "m")
		w.grant(t, m, w.org, "writer")
		w.grant(t, m, w.org, "admin")
		m.create(t, w.org, "by-m")
		m.do(t, http.MethodGet, w.inOrg("teams"), nil).ok(t, 200)
		w.admin.do(t, http.MethodDelete, w.membership(m, w.org), obj{"role": "admin"}).ok(t, 200)
		m.do(t, http.MethodGet, w.inOrg("teams"), nil).code(t, "forbidden")
		m.rename(t, w.org, "by-m", "still").ok(t, 200)
	})
	t.Run("listed", func(t *testing.T) {
		var rows []struct {
			Scope   string `json:"scope"`
			ScopeID string `json:"scopeId"`
			Role    string `json:"role"`
		}
		r := w.admin.do(t, http.MethodGet, w.inOrg("agents", w.bob.id, "memberships"), nil).ok(t, 200)
		if err := json.Unmarshal(r.data, &rows); err != nil || len(rows) != 2 {
			t.Fatalf("%v: %s", err, r.data)
		}
		for _, row := range rows {
			if row.Role != "writer" || (row.ScopeID != w.teamB.id && row.ScopeID != w.projB.id) {
				t.Errorf("row %+v", row)
			}
		}
	})
	t.Run("organizations lie apart", func(t *testing.T) {
		org2 := w.add(t, "/admin/orgs", obj{"name": "Two"})
		in2 := func(below string) string { return "/admin/orgs/" + org2 + "/" + below }
		team2 := place{"team", w.add(t, in2("teams"), obj{"name": "T2"})}
		admin2 := w.add(t, in2("agents"), obj{"name": "admin2"})
		granted(t, w.admin.do(t, http.MethodPut, in2("agents/"+admin2+"/memberships/org/"+org2), obj{"role": "admin"}))
		c := caller{w.URL, stringOf(t, w.admin.do(t, http.MethodPost, in2("agents/"+admin2+"/keys"), obj{}).ok(t, 201), "apiKey")}
		w.add(t, in2("teams"), obj{"name": "by root"})
		if rows := w.rows(t, c, in2("teams")); len(rows) != 2 {
			t.Errorf("teams %+v", rows)
		}
		w.unchanged(t, func() {
			c.do(t, http.MethodPost, "/admin/orgs", obj{"name": "x"}).code(t, "forbidden")
			for _, other := range []string{w.org.id, "org_" + ulidOfNobody} {
				c.do(t, http.MethodGet, "/admin/orgs/"+other+"/teams", nil).code(t, "forbidden")
				c.do(t, http.MethodPost, "/admin/orgs/"+other+"/teams", obj{"name": "x"}).code(t, "forbidden")
				c.do(t, http.MethodPatch, "/admin/orgs/"+other, obj{"name": "x"}).code(t, "forbidden")
			}
			// Nothing of one organization is found below another.
			w.admin.do(t, http.MethodPost, in2("agents/"+w.ada.id+"/keys"), obj{}).code(t, "not_found")
			w.admin.do(t, http.MethodPatch, in2("teams/"+w.teamA.id), obj{"name": "x"}).code(t, "not_found")
			w.admin.do(t, http.MethodPut, in2("agents/"+admin2+"/memberships/team/"+w.teamA.id), obj{"role": "reader"}).code(t, "not_found")
			put(w.admin, team2, "reader").code(t, "not_found")
			w.admin.do(t, http.MethodPost, in2("projects"), obj{"name": "x", "teamId": w.teamA.id}).code(t, "not_found")
		})
	})
}
