package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// world is a node with two teams that share nothing but their organization.
//
//	org ─┬─ teamA ── projA      ada and alan write in teamA and projA
//	     └─ teamB ── projB      bob writes in teamB and projB
type world struct {
	*testServer
	admin          caller
	org            place
	teamA, teamB   place
	projA, projB   place
	ada, alan, bob member
	watch          member // owns the sentinel, see head
	auditor        member // of the organization
	made           *atomic.Int64
}

// member is an agent with one key.
type member struct {
	caller
	id, name, keyID string
}

// own is the agent's own scope.
func (m member) own() place { return place{"agent", m.id} }

// sentinel is a secret that never changes.
const sentinel = "sentinel"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{testServer: startServer(t), made: &atomic.Int64{}}
	w.admin = caller{w.URL, w.AdminKey}
	who := into[identity](t, w.admin.do(t, http.MethodGet, "/agent/identity/whoami", nil).ok(t, 200))
	w.org = place{"org", who.OrgID}
	w.teamA, w.teamB = w.newTeam(t, "Team A"), w.newTeam(t, "Team B")
	w.projA, w.projB = w.newProject(t, "Project A", w.teamA), w.newProject(t, "Project B", w.teamB)
	w.ada, w.alan, w.bob = w.newAgent(t, "ada"), w.newAgent(t, "alan"), w.newAgent(t, "bob")
	for _, m := range []member{w.ada, w.alan} {
		w.grant(t, m, w.teamA, "writer")
		w.grant(t, m, w.projA, "writer")
	}
	w.grant(t, w.bob, w.teamB, "writer")
	w.grant(t, w.bob, w.projB, "writer")
	w.watch = w.newAgent(t, "watch")
	w.watch.create(t, w.watch.own(), sentinel)
	w.auditor = w.newAgent(t, "auditor")
	w.grant(t, w.auditor, w.org, "auditor")
	return w
}

type identity struct {
	AgentID     string   `json:"agentId"`
	OrgID       string   `json:"orgId"`
	TenantID    string   `json:"tenantId"`
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

// inOrg is a path of the admin API below the first organization.
func (w *world) inOrg(elements ...string) string {
	return "/admin/orgs/" + w.org.id + "/" + strings.Join(elements, "/")
}

// id is a secret id that this world has not seen.
func (w *world) id() string { return fmt.Sprintf("s%d", w.made.Add(1)) }

// add creates something with the admin API and returns its id.
func (w *world) add(t testing.TB, target string, body obj) string {
	t.Helper()
	return stringOf(t, w.admin.do(t, http.MethodPost, target, body).ok(t, 201), "id")
}

// stringOf is one string member of data.
func stringOf(t testing.TB, r reply, name string) string {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal(r.data, &data); err != nil {
		t.Fatal(err)
	}
	s, ok := data[name].(string)
	if !ok || s == "" {
		t.Fatalf("data.%s is not a string: %s", name, r.data)
	}
	return s
}

func (w *world) newTeam(t testing.TB, name string) place {
	t.Helper()
	return place{"team", w.add(t, w.inOrg("teams"), obj{"name": name})}
}

// newProject makes a project; one in no team if team is the zero place.
func (w *world) newProject(t testing.TB, name string, team place) place {
	t.Helper()
	body := obj{"name": name}
	if team.id != "" {
		body["teamId"] = team.id
	}
	return place{"project", w.add(t, w.inOrg("projects"), body)}
}

func (w *world) newAgent(t testing.TB, name string) member {
	t.Helper()
	m := member{id: w.add(t, w.inOrg("agents"), obj{"name": name}), name: name}
	m.keyID, m.caller = w.newKey(t, m.id, obj{})
	return m
}

func (w *world) newKey(t testing.TB, agent string, body obj) (string, caller) {
	t.Helper()
	r := w.admin.do(t, http.MethodPost, w.inOrg("agents", agent, "keys"), body).ok(t, 201)
	return stringOf(t, r, "id"), caller{w.URL, stringOf(t, r, "apiKey")}
}

func (w *world) membership(m member, p place) string {
	return w.inOrg("agents", m.id, "memberships", p.scope, p.id)
}

func (w *world) grant(t testing.TB, m member, p place, role string) {
	t.Helper()
	granted(t, w.admin.do(t, http.MethodPut, w.membership(m, p), obj{"role": role}))
}

// granted demands a success of a grant. The contract does not say whether a
// first grant is 200 or 201: both are one.
func granted(t testing.TB, r reply) {
	t.Helper()
	if r.status != 200 && r.status != 201 {
		t.Fatalf("status %d of a grant\n%.300s", r.status, r.raw)
	}
}

func (w *world) archive(t testing.TB, archived bool, elements ...string) {
	t.Helper()
	w.admin.do(t, http.MethodPatch, w.inOrg(elements...), obj{"archived": archived}).ok(t, 200)
}

// head is the log's position, which a write that changes nothing answers with.
func (w *world) head(t testing.TB) uint64 {
	t.Helper()
	return w.watch.rename(t, w.watch.own(), sentinel, "Name of "+sentinel).ok(t, 200).etag(t, 1).position(t)
}

// unchanged demands that f appends nothing. What the node itself appends a
// moment after it answered a DELETE may come in between: the end of the
// secret's keys.
func (w *world) unchanged(t testing.TB, f func()) {
	t.Helper()
	before := w.head(t)
	f()
	after := w.head(t)
	if after == before {
		return
	}
	ends := w.destructionsUpTo(t, after)
	for position := before + 1; position <= after; position++ {
		if !slices.Contains(ends, position) {
			t.Errorf("the log went on from %d to %d", before, after)
			return
		}
	}
}

// destructionsUpTo waits until the report of destructions covers a position,
// and gives where in the log the ends of keys are recorded.
func (w *world) destructionsUpTo(t testing.TB, position uint64) (at []uint64) {
	t.Helper()
	eventually(t, fmt.Sprint("a report that covers event ", position), func() bool {
		r := w.auditor.send(t, http.MethodGet, w.inOrg("reports", "destructions"), nil).ok(t, 200)
		covered := uint64(0)
		at = nil
		for line := range bytes.Lines(r.raw) {
			var row struct {
				DestroyedPosition uint64
				Manifest          struct{ Events struct{ To uint64 } }
			}
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			at = append(at, row.DestroyedPosition)
			covered = max(covered, row.Manifest.Events.To)
		}
		return covered >= position
	})
	return at
}

// unchanging is a subtest that must append nothing.
func (w *world) unchanging(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { w.unchanged(t, func() { f(t) }) })
}
