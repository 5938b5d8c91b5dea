package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// roleCalls are the calls on a scope by the role they need, each told by one
// letter in the tables below: v what a viewer may, r what a reader may too,
// w what a writer may too, m what a manager may too.
const roleCalls = "vrwm"

// may tries every call of each role on a scope and says which are allowed. It
// fails if calls that need one role are not treated alike.
func (w *world) may(t *testing.T, c caller, p place, secret string) string {
	t.Helper()
	type try struct {
		name string
		run  func() reply
	}
	get := func(target string) func() reply {
		return func() reply { return c.do(t, http.MethodGet, target, nil) }
	}
	tries := map[rune][]try{
		'v': {
			{"list", get(p.path())},
			{"history", get(p.path(secret, "history"))},
			{"version", get(p.path(secret) + "?version=1")},
			{"at", get(p.path(secret) + "?at=2999-01-01T00:00:00.000Z")},
		},
		'r': {
			{"get", get(p.path(secret))},
			{"get field", get(p.field(secret, "f"))},
			{"release", func() reply { return c.release(t, p, secret, "f", "unknown") }},
		},
		'w': {
			{"create", func() reply { return c.do(t, http.MethodPut, p.path(secret), newSecret("differs")) }},
			{"patch", func() reply { return c.rename(t, p, secret, "x", ifMatch(`"v999"`)) }},
			{"set field", func() reply { return c.set(t, p, secret, "f", plain("x"), ifMatch(`"v999"`)) }},
			{"remove field", func() reply {
				return c.do(t, http.MethodDelete, p.field(secret, "f"), nil, ifMatch(`"v999"`))
			}},
			{"delete", func() reply { return c.do(t, http.MethodDelete, p.path(secret), nil, ifMatch(`"v999"`)) }},
			{"mint", func() reply { return c.tryMint(t, p, secret, "f") }},
		},
		'm': {{"grant", func() reply {
			return c.do(t, http.MethodPut, w.membership(w.watch, p), obj{"role": "viewer"}) // it is one
		}}},
	}
	if p.scope == "agent" {
		delete(tries, 'm') // has no memberships
	}
	allowed := ""
	for _, role := range roleCalls {
		verdicts := map[bool][]string{}
		for _, call := range tries[role] {
			r := call.run()
			verdicts[r.status != 403] = append(verdicts[r.status != 403], fmt.Sprintf("%s %d %s", call.name, r.status, r.problem.Code))
		}
		if len(verdicts) > 1 {
			t.Errorf("calls that need %c differ: %v", role, verdicts)
		}
		if len(verdicts[true]) > 0 {
			allowed += string(role)
		}
	}
	return allowed
}

// TestContractRoles: every role, by every relation of an agent to a scope.
func TestContractRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keeper := w.newAgent(t, "keeper")
	w.grant(t, keeper, w.org, "writer")
	free := w.newProject(t, "Free", place{})
	for _, p := range []place{w.org, w.teamA, w.projA, free, w.teamB, w.projB} {
		w.grant(t, w.watch, p, "viewer")
	}
	w.grant(t, keeper, free, "writer")
	keeper.create(t, w.org, "s", keyed("f", plain("x")))
	keeper.create(t, free, "s", keyed("f", plain("x")))
	for _, p := range []place{w.teamA, w.projA, w.ada.own()} {
		w.ada.create(t, p, "s", keyed("f", plain("x")))
	}
	for _, p := range []place{w.teamB, w.projB} {
		w.bob.create(t, p, "s", keyed("f", plain("x")))
	}
	places := map[string]place{"org": w.org, "teamA": w.teamA, "projA": w.projA, "free": free, "teamB": w.teamB, "projB": w.projB, "other": w.ada.own()}

	// memberships | own | org | teamA | projA | free | teamB | projB | another agent
	const table = `
none                                   | vrw | vr   |      |      |      |    |    |
teamA viewer                           | vrw | vr   | v    |      |      |    |    |
teamA reader                           | vrw | vr   | vr   |      |      |    |    |
teamA writer                           | vrw | vr   | vrw  |      |      |    |    |
teamA manager                          | vrw | vr   | vrwm |      |      |    |    |
projA viewer                           | vrw | vr   | v    | v    |      |    |    |
projA reader                           | vrw | vr   | vr   | vr   |      |    |    |
projA writer                           | vrw | vr   | vr   | vrw  |      |    |    |
projA manager                          | vrw | vr   | vr   | vrwm |      |    |    |
projA manager, teamA viewer            | vrw | vr   | v    | vrwm |      |    |    |
projA viewer, teamA writer             | vrw | vr   | vrw  | v    |      |    |    |
free writer                            | vrw | vr   |      |      | vrw  |    |    |
org viewer                             | vrw | v    |      |      |      |    |    |
org viewer, teamA writer               | vrw | v    | vrw  |      |      |    |    |
org reader                             | vrw | vr   |      |      |      |    |    |
org writer                             | vrw | vrw  |      |      |      |    |    |
org manager                            | vrw | vrwm |      |      |      |    |    |
teamA writer, teamB reader             | vrw | vr   | vrw  |      |      | vr |    |
org auditor                            | v   | v    | v    | v    | v    | v  | v  | v
org auditor, teamA writer              | v   | v    | v    | v    | v    | v  | v  | v
org auditor, org writer                | v   | v    | v    | v    | v    | v  | v  | v
org admin                              | vrw | vrm  | m    | m    | m    | m  | m  |
org admin, org writer                  | vrw | vrwm | m    | m    | m    | m  | m  |
org admin, teamA reader                | vrw | vrm  | vrm  | m    | m    | m  | m  |
`
	for line := range strings.Lines(strings.TrimSpace(table)) {
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		t.Run(cells[0], func(t *testing.T) {
			m := w.newAgent(t, "subject")
			m.create(t, m.own(), "s", keyed("f", plain("x")))
			if cells[0] != "none" {
				for grant := range strings.SplitSeq(cells[0], ", ") {
					name, role, _ := strings.Cut(grant, " ")
					w.grant(t, m, places[name], role)
				}
			}
			w.unchanged(t, func() {
				want, got := map[string]string{}, map[string]string{}
				for i, name := range []string{"own", "org", "teamA", "projA", "free", "teamB", "projB", "other"} {
					p, known := places[name]
					if !known {
						p = m.own()
					}
					want[name], got[name] = cells[i+1], w.may(t, m.caller, p, "s")
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestContractRoleChanges: a change of rights holds from the next request on.
func TestContractRoleChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ada.create(t, w.teamA, "s", keyed("f", plain("x")))
	w.grant(t, w.watch, w.teamA, "viewer")
	m := w.newAgent(t, "m")
	for _, tt := range []struct{ role, may string }{{"writer", "vrw"}, {"viewer", "v"}, {"manager", "vrwm"}, {"reader", "vr"}, {"", ""}, {"writer", "vrw"}} {
		if tt.role == "" {
			w.admin.do(t, http.MethodDelete, w.membership(m, w.teamA), nil).ok(t, 200)
		} else {
			w.grant(t, m, w.teamA, tt.role)
		}
		if got := w.may(t, m.caller, w.teamA, "s"); got != tt.may {
			t.Errorf("as %q may %q, want %q", tt.role, got, tt.may)
		}
	}
	t.Run("an API key that is revoked", func(t *testing.T) {
		id, second := w.newKey(t, m.id, obj{})
		second.do(t, http.MethodGet, w.teamA.path(), nil).ok(t, 200)
		w.admin.do(t, http.MethodDelete, w.inOrg("agents", m.id, "keys", id), nil).ok(t, 200)
		second.do(t, http.MethodGet, w.teamA.path(), nil).code(t, "unauthenticated")
		m.do(t, http.MethodGet, w.teamA.path(), nil).ok(t, 200)
	})
	t.Run("an agent that is archived", func(t *testing.T) {
		w.archive(t, true, "agents", m.id)
		m.do(t, http.MethodGet, w.teamA.path(), nil).code(t, "unauthenticated")
		w.archive(t, false, "agents", m.id)
		m.do(t, http.MethodGet, w.teamA.path(), nil).ok(t, 200)
	})
}
