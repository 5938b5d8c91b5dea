package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// matrixRow is what the test takes from a row of the access matrix.
type matrixRow struct {
	Org        string   `json:"org"`
	Agent      string   `json:"agent"`
	Scope      string   `json:"scope"`
	ScopeID    string   `json:"scopeId"`
	Role       string   `json:"role"`
	Actions    []string `json:"actions"`
	Rule       string   `json:"rule"`
	Through    []string `json:"through"`
	UsableKeys int      `json:"usableKeys"`
}

// probes are the requests that tell what an agent may do on a place now, by
// the action that the matrix calls it. None of them changes anything.
func (w *auditWorld) probes(t *testing.T, c caller, p place) map[string]func() reply {
	const stale = `"v999"`
	get := func(target string) func() reply {
		return func() reply { return c.do(t, http.MethodGet, target, nil) }
	}
	probes := map[string]func() reply{
		"list": get(p.path()), "history": get(p.path("s", "history")), "read": get(p.field("s", "f")),
		"release": func() reply { return c.release(t, p, "s", "f", "unknown") },
		"write":   func() reply { return c.rename(t, p, "s", "x", ifMatch(stale)) },
		"remove":  func() reply { return c.do(t, http.MethodDelete, p.path("s"), nil, ifMatch(stale)) },
		"mint":    func() reply { return c.tryMint(t, p, "s", "f") },
	}
	if p.scope != "agent" {
		probes["manage"] = func() reply {
			return c.do(t, http.MethodPut, w.membership(w.watch, p), obj{"role": "viewer"}) // it is one
		}
	}
	if p.scope == "org" {
		probes["administer"] = get("/admin/orgs/" + p.id + "/teams")
		probes["audit"] = get("/admin/orgs/" + p.id + "/access?limit=1")
	}
	return probes
}

// moment is what the API allowed at one time.
type moment struct {
	step, at string
	position uint64
	allowed  map[string]string
}

// TestAuditMatrix: the access matrix as of any time agrees with what the API
// allowed at that time, asked of every agent, scope and action.
func TestAuditMatrix(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	org2 := place{"org", w.add(t, "/admin/orgs", obj{"name": "Elsewhere"})}
	far := place{"team", w.add(t, "/admin/orgs/"+org2.id+"/teams", obj{"name": "Far"})}
	proj, free, other := w.newProject(t, "Project", w.team), w.newProject(t, "Free", place{}), w.newTeam(t, "Other")
	w.watch, w.writer = w.newAgent(t, "watch"), w.newAgent(t, "keeper")
	places := map[string]place{"org": w.org, "team": w.team, "proj": proj, "free": free, "other": other, "org2": org2, "far": far, "keeper": w.writer.own()}
	for name, p := range places {
		if name != "org2" && name != "far" && name != "keeper" {
			w.grant(t, w.watch, p, "viewer")
			w.grant(t, w.writer, p, "writer")
		}
		if name != "org2" && name != "far" {
			w.writer.create(t, p, "s", keyed("f", plain("x")))
		}
	}
	a, b := w.newAgent(t, "a"), w.newAgent(t, "b")
	boss := w.adminMember(t)
	places["a"] = a.own()
	a.create(t, a.own(), "s", keyed("f", plain("x")))
	agents := map[string]member{"a": a, "b": b, "auditor": w.auditor, "boss": boss}
	revoke := func(m member, p place, role string) {
		w.admin.do(t, http.MethodDelete, w.membership(m, p)+"?role="+role, nil).ok(t, 200)
	}

	var moments []moment
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"nothing", func() {}},
		{"team reader", func() { w.grant(t, a, w.team, "reader") }},
		{"project manager", func() { w.grant(t, a, proj, "manager") }},
		{"team viewer", func() { w.grant(t, a, w.team, "viewer") }},
		{"team revoked", func() { revoke(a, w.team, "viewer") }},
		{"org viewer", func() { w.grant(t, a, w.org, "viewer") }},
		{"project archived", func() { w.archive(t, true, "projects", proj.id) }},
		{"other team writer", func() { w.grant(t, b, other, "writer") }},
		{"team archived", func() { w.archive(t, true, "teams", w.team.id) }},
		{"project restored", func() { w.archive(t, false, "projects", proj.id) }},
		{"team restored", func() { w.archive(t, false, "teams", w.team.id) }},
		{"b admin", func() { w.grant(t, b, w.org, "admin") }},
		{"b auditor too", func() { w.grant(t, b, w.org, "auditor") }},
		{"b no admin", func() { revoke(b, w.org, "admin") }},
		{"b no auditor", func() { revoke(b, w.org, "auditor") }},
		{"a auditor", func() { w.grant(t, a, w.org, "auditor") }},
		{"a no auditor", func() { revoke(a, w.org, "auditor") }},
		{"org viewer revoked", func() { revoke(a, w.org, "viewer") }},
		{"b archived", func() { w.archive(t, true, "agents", b.id) }},
		{"b restored", func() { w.archive(t, false, "agents", b.id) }},
		{"a's key revoked", func() {
			w.admin.do(t, http.MethodDelete, w.inOrg("agents", a.id, "keys", a.keyID), nil).ok(t, 200)
		}},
		{"far archived", func() { w.admin.do(t, http.MethodPatch, "/admin/orgs/"+org2.id, obj{"archived": true}).ok(t, 200) }},
		{"a renewed", func() { a.keyID, a.caller = w.newKey(t, a.id, obj{}); agents["a"] = a }},
		{"free manager", func() { w.grant(t, a, free, "manager") }},
	} {
		time.Sleep(2 * time.Millisecond) // a time of its own
		step.change()
		time.Sleep(2 * time.Millisecond)
		m := moment{step: step.name, at: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), allowed: map[string]string{}}
		m.position = w.writer.rename(t, w.writer.own(), "s", "Name of s").ok(t, 200).position(t)
		for name, c := range agents {
			for where, p := range places {
				var may []string
				for action, probe := range w.probes(t, c.caller, p) {
					if r := probe(); r.status != 403 && r.status != 401 {
						may = append(may, action)
					}
				}
				slices.Sort(may)
				m.allowed[name+" on "+where] = strings.Join(may, " ")
			}
		}
		moments = append(moments, m)
	}
	w.waitSigned(t, moments[len(moments)-1].position)
	for i, m := range moments {
		t.Run(m.step, func(t *testing.T) {
			for _, pairs := range [][]string{{"at", m.at}, {"events", fmt.Sprint(m.position), "at", m.at}}[:1+i%4/3] {
				got := map[string]string{}
				rows := slices.Concat(w.matrix(t, w.org, pairs...), w.matrix(t, org2, pairs...))
				for name, c := range agents {
					for where, p := range places {
						got[name+" on "+where] = allows(rows, c, p, map[string]string{far.id: org2.id}[p.id], w.org.id)
					}
				}
				if diff := cmp.Diff(m.allowed, got); diff != "" {
					t.Errorf("%v: the API allowed (-), the matrix says (+):\n%s", pairs, diff)
				}
			}
		})
	}
}

// allows is what the matrix says of an agent on a place, in the words of the
// probes: who administers an organization manages every scope of it but
// agents.
func allows(rows []matrixRow, m member, p place, org, own string) string {
	if org == "" {
		org = own
	}
	if p.scope == "org" {
		org = p.id
	}
	actions := map[string]bool{}
	for _, r := range rows {
		if r.Agent != m.id || r.UsableKeys == 0 {
			continue
		}
		if r.Scope == p.scope && r.ScopeID == p.id {
			for _, action := range r.Actions {
				actions[action] = true
			}
		}
		if slices.Contains(r.Actions, "administer") && r.ScopeID == org && p.scope != "agent" {
			actions["manage"] = true
		}
	}
	var may []string
	for action := range actions {
		may = append(may, action)
	}
	slices.Sort(may)
	return strings.Join(may, " ")
}

func (w *auditWorld) matrix(t *testing.T, org place, pairs ...string) (rows []matrixRow) {
	t.Helper()
	r := w.auditor.send(t, http.MethodGet, "/admin/orgs/"+org.id+"/reports/access-matrix"+query(pairs...), nil).ok(t, 200)
	for line := range bytes.Lines(r.raw) {
		if bytes.HasPrefix(line, []byte(`{"manifest"`)) {
			return rows
		}
		var row matrixRow
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		rows = append(rows, row)
	}
	t.Fatal("no manifest")
	return nil
}

// waitSigned waits until the newest checkpoint covers an event.
func (w *auditWorld) waitSigned(t *testing.T, position uint64) {
	t.Helper()
	eventually(t, fmt.Sprint("a checkpoint over event ", position), func() bool {
		r := w.auditor.send(t, http.MethodGet, "/log/events/checkpoint", nil)
		lines := strings.Split(string(r.raw), "\n")
		var size uint64
		if r.status == 200 && len(lines) > 1 {
			_, _ = fmt.Sscan(lines[1], &size)
		}
		return size >= position
	})
}
