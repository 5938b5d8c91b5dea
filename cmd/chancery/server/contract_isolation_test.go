package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ulidOfNobody ends an id that was never given out.
const ulidOfNobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

// everyCall tries every agent call on one secret of a scope.
func everyCall(p place, secret string, e envelope) map[string]func(c caller, t testing.TB, with ...tweak) reply {
	type call = func(c caller, t testing.TB, with ...tweak) reply
	plainly := func(method, target string, body any) call {
		return func(c caller, t testing.TB, with ...tweak) reply {
			t.Helper()
			return c.do(t, method, target, body, with...)
		}
	}
	release := mintBody(p, secret, "f")
	release["dataKeyCiphertext"] = e.DataKey
	return map[string]call{
		"list":               plainly(http.MethodGet, p.path(), nil),
		"filtered list":      plainly(http.MethodGet, p.path()+"?q=s&category=login&tag=a&limit=5", nil),
		"get":                plainly(http.MethodGet, p.path(secret), nil),
		"as of version":      plainly(http.MethodGet, p.path(secret)+"?version=1", nil),
		"as of time":         plainly(http.MethodGet, p.path(secret)+"?at=2999-01-01T00:00:00.000Z", nil),
		"history":            plainly(http.MethodGet, p.path(secret, "history"), nil),
		"create":             plainly(http.MethodPut, p.path(secret), newSecret("n")),
		"create with key":    plainly(http.MethodPut, p.path(secret), newSecret("n", keyed("f", encrypted(e)))),
		"patch":              plainly(http.MethodPatch, p.path(secret), obj{"secretName": "n"}),
		"delete":             plainly(http.MethodDelete, p.path(secret), nil),
		"get field":          plainly(http.MethodGet, p.field(secret, "f"), nil),
		"set plaintext":      plainly(http.MethodPut, p.field(secret, "f"), plain("x")),
		"set encrypted":      plainly(http.MethodPut, p.field(secret, "f"), encrypted(e)),
		"remove field":       plainly(http.MethodDelete, p.field(secret, "f"), nil),
		"mint":               plainly(http.MethodPost, "/agent/secrets/generate-data-key", mintBody(p, secret, "f")),
		"release":            plainly(http.MethodPost, "/agent/secrets/decrypt-data-key", release),
		"release of nothing": plainly(http.MethodPost, "/agent/secrets/decrypt-data-key", obj{"scope": p.scope, "scopeId": p.id, "secretId": secret, "fieldKey": "f", "dataKeyCiphertext": "x"}),
	}
}

// TestContractIsolation: agents of different teams can't see, list, mint for
// or guess at each other's secrets, and learn nothing from being refused.
func TestContractIsolation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org2 := place{"org", w.add(t, "/admin/orgs", obj{"name": "Elsewhere"})}
	team2 := place{"team", w.add(t, "/admin/orgs/"+org2.id+"/teams", obj{"name": "Far"})}
	envelopes := map[place]envelope{}
	for _, p := range []place{w.teamA, w.projA, w.ada.own()} {
		envelopes[p] = w.ada.seal(t, p, "s", "f", "x")
		w.ada.do(t, http.MethodPut, p.path("s"), newSecret("n", keyed("f", encrypted(envelopes[p])))).ok(t, 201)
	}

	foreign := map[string][]place{
		"team":         {w.teamA, {"team", "team_" + ulidOfNobody}, {"team", "nobody"}, {"team", strings.Repeat("x", 128)}, team2},
		"project":      {w.projA, {"project", "proj_" + ulidOfNobody}, {"project", "0"}},
		"agent":        {w.ada.own(), {"agent", "agt_" + ulidOfNobody}, {"agent", w.teamA.id}},
		"organization": {org2, {"org", "org_" + ulidOfNobody}, {"org", w.teamB.id}},
	}
	sealed := envelopes[w.teamA]
	for kind, places := range foreign {
		t.Run(kind, func(t *testing.T) {
			w.unchanged(t, func() {
				answers := map[string]map[string]string{}
				for _, p := range places {
					for _, secret := range []string{"s", "nosuch"} {
						answers[p.id+" "+secret] = map[string]string{}
						for name, call := range everyCall(p, secret, sealed) {
							r := call(w.bob.caller, t, header("X-Request-Id", "one"))
							r.code(t, "forbidden")
							answers[p.id+" "+secret][name] = form(r)
						}
					}
				}
				want := answers[places[0].id+" s"]
				for where, got := range answers {
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s is told apart:\n%s", where, diff)
					}
				}
			})
		})
	}
	t.Run("no list shows them", func(t *testing.T) {
		var seen []string
		for _, s := range w.bob.scopes(t) {
			seen = append(seen, s.ScopeID)
			if rows := w.bob.ids(t, place{s.Scope, s.ScopeID}.path()); len(rows) != 0 {
				t.Errorf("%s shows %q", s.Scope, rows)
			}
		}
		if diff := cmp.Diff([]string{w.bob.id, w.projB.id, w.teamB.id, w.org.id}, seen); diff != "" {
			t.Error(diff)
		}
		if got := w.bob.effective(t); len(got) != 0 {
			t.Errorf("effective %v", got)
		}
		w.bob.resolve(t, "s").code(t, "secret_not_found")
	})
	t.Run("a foreign data key opens nowhere", func(t *testing.T) {
		w.bob.create(t, w.teamB, "s")
		w.unchanged(t, func() {
			garbage := w.bob.do(t, http.MethodPost, "/agent/secrets/decrypt-data-key",
				obj{"scope": "team", "scopeId": w.teamB.id, "secretId": "s", "fieldKey": "f", "dataKeyCiphertext": "x"}, header("X-Request-Id", "one"))
			garbage.code(t, "data_key_mismatch")
			for p, e := range envelopes {
				body := mintBody(w.teamB, "s", "f")
				body["dataKeyCiphertext"] = e.DataKey
				r := w.bob.do(t, http.MethodPost, "/agent/secrets/decrypt-data-key", body, header("X-Request-Id", "one"))
				if form(r) != form(garbage) {
					t.Errorf("a key of %s: %s, garbage: %s", p.scope, form(r), form(garbage))
				}
				w.bob.set(t, w.teamB, "s", "f", encrypted(e)).code(t, "data_key_mismatch")
				w.bob.do(t, http.MethodPut, w.teamB.path("new"), newSecret("n", keyed("f", encrypted(e)))).code(t, "data_key_mismatch")
			}
		})
	})
	t.Run("the organization's secret is read by both and written by neither", func(t *testing.T) {
		keeper := w.newAgent(t, "keeper")
		w.grant(t, keeper, w.org, "writer")
		sealed := keeper.seal(t, w.org, "shared", "f", "for all")
		keeper.do(t, http.MethodPut, w.org.path("shared"), newSecret("n", keyed("f", encrypted(sealed)))).ok(t, 201)
		for _, m := range []member{w.ada, w.bob} {
			if got := m.unseal(t, w.org, "shared", "f", m.get(t, w.org, "shared").Envelopes["f"]); got != "for all" {
				t.Errorf("%s opened %q", m.name, got)
			}
			if got := w.may(t, m.caller, w.org, "shared"); got != "vr" {
				t.Errorf("%s may %q", m.name, got)
			}
		}
	})
	t.Run("the administrator has no secrets by that", func(t *testing.T) {
		for p, e := range envelopes {
			for name, call := range everyCall(p, "s", e) {
				if r := call(w.admin, t); r.status != 403 {
					t.Errorf("%s in %s: %d", name, p.scope, r.status)
				}
			}
		}
	})
}

// form is all of an answer but what must differ.
func form(r reply) string {
	h := r.header.Clone()
	h.Del("Date")
	var b strings.Builder
	fmt.Fprintln(&b, r.status)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintln(&b, name, h[name])
	}
	b.Write(r.raw)
	return b.String()
}

// TestContractArchived: in an archived scope everything but lists, history,
// as-of and DELETE is refused, to everybody.
func TestContractArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := []string{"list", "filtered list", "as of version", "as of time", "history"}
	for _, tt := range []struct {
		p    place
		path []string
	}{{w.teamA, []string{"teams", w.teamA.id}}, {w.projA, []string{"projects", w.projA.id}}} {
		t.Run(tt.p.scope, func(t *testing.T) {
			sealed := w.ada.seal(t, tt.p, "s", "f", "x")
			w.ada.do(t, http.MethodPut, tt.p.path("s"), newSecret("n", keyed("f", encrypted(sealed)))).ok(t, 201)
			w.ada.create(t, tt.p, "t")
			w.archive(t, true, tt.path...)
			w.unchanged(t, func() {
				for name, call := range everyCall(tt.p, "s", sealed) {
					if name == "delete" || name == "remove field" { // whether the second is a DELETE the contract leaves open
						continue
					}
					want := 403
					if slices.Contains(open, name) {
						want = 200
					}
					if r := call(w.ada.caller, t); r.status != want {
						t.Errorf("%s: %d %s, want %d", name, r.status, r.problem.Code, want)
					}
				}
				w.ada.resolve(t, "s").code(t, "forbidden")
			})
			before := w.head(t)
			w.ada.do(t, http.MethodDelete, tt.p.path("t"), nil).ok(t, 200)
			w.archive(t, false, tt.path...)
			if got := w.ada.unseal(t, tt.p, "s", "f", w.ada.get(t, tt.p, "s").Envelopes["f"]); got != "x" {
				t.Errorf("opened %q", got)
			}
			w.ada.do(t, http.MethodDelete, tt.p.path("s"), nil).ok(t, 200)
			// Two deletions, their two key.destroyed, which come a moment later,
			// and the restoring: then the log stands still.
			eventually(t, "the destructions are recorded", func() bool { return w.head(t) >= before+5 })
		})
	}
	t.Run("agent", func(t *testing.T) {
		m, auditor := w.newAgent(t, "m"), w.newAgent(t, "auditor")
		w.grant(t, auditor, w.org, "auditor")
		m.create(t, m.own(), "s")
		sealed := m.seal(t, m.own(), "s", "f", "x")
		w.archive(t, true, "agents", m.id)
		for name, call := range everyCall(m.own(), "s", sealed) {
			call(m.caller, t).code(t, "unauthenticated")
			want := 403
			if slices.Contains(open, name) {
				want = 200
			}
			if r := call(auditor.caller, t); r.status != want {
				t.Errorf("%s by an auditor: %d %s, want %d", name, r.status, r.problem.Code, want)
			}
		}
	})
}
