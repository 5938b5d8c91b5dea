package server_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

type (
	origin struct {
		Scope   string `json:"scope"`
		ScopeID string `json:"scopeId"`
		Name    string `json:"name"`
	}
	resolution struct {
		Aggregate    aggregate           `json:"aggregate"`
		Envelopes    map[string]envelope `json:"envelopes"`
		ResolvedFrom origin              `json:"resolvedFrom"`
		Shadowed     []origin            `json:"shadowed"`
	}
)

func (c caller) resolve(t testing.TB, secret string) reply {
	t.Helper()
	return c.do(t, http.MethodGet, "/agent/secrets/resolve/"+secret, nil)
}

func (c caller) resolved(t testing.TB, secret string) resolution {
	t.Helper()
	r := c.resolve(t, secret).ok(t, 200)
	members(t, r.data, "aggregate", "envelopes", "resolvedFrom", "shadowed")
	return into[resolution](t, r)
}

// effective is the effective set: secret id to where it resolves from. The
// contract leaves the rest of a row open.
func (c caller) effective(t testing.TB, pairs ...string) map[string]string {
	t.Helper()
	set := map[string]string{}
	last := ""
	for _, page := range c.pages(t, "/agent/secrets/resolve", pairs...) {
		var rows []struct {
			SecretID  string `json:"secretId"`
			Aggregate struct {
				SecretID string `json:"secretId"`
			} `json:"aggregate"`
			ResolvedFrom origin `json:"resolvedFrom"`
		}
		if err := json.Unmarshal(page.data, &rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			id := cmp.Or(row.SecretID, row.Aggregate.SecretID)
			if id <= last {
				t.Errorf("row %q comes after %q", id, last)
			}
			set[id], last = row.ResolvedFrom.Scope+" "+row.ResolvedFrom.ScopeID, id
		}
	}
	return set
}

// TestContractResolve: agent over project over team over org, as a whole
// secret, naming what it shadows.
func TestContractResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keeper := w.newAgent(t, "keeper") // writes for the organization
	w.grant(t, keeper, w.org, "writer")
	orgName := w.ada.scopes(t)[3].Name

	levels := []struct {
		who  member
		at   place
		name string
	}{{keeper, w.org, orgName}, {w.alan, w.teamA, "Team A"}, {w.alan, w.projA, "Project A"}, {w.ada, w.ada.own(), "ada"}}
	var below []origin // what was made before, most specific first
	for i, level := range levels {
		w.ada.resolve(t, "other").code(t, "secret_not_found")
		sealed := level.who.seal(t, level.at, "s", "e"+level.at.scope, level.name)
		level.who.create(t, level.at, "s", keyed("p"+level.at.scope, plain(level.name)), keyed("e"+level.at.scope, encrypted(sealed)))
		got := w.ada.resolved(t, "s")
		self := origin{level.at.scope, level.at.id, level.name}
		if diff := gocmp.Diff(self, got.ResolvedFrom); diff != "" {
			t.Errorf("level %d: %s", i, diff)
		}
		if len(below) != len(got.Shadowed) || got.Shadowed == nil {
			t.Fatalf("level %d shadows %+v", i, got.Shadowed)
		}
		if diff := gocmp.Diff(append([]origin{}, below...), got.Shadowed); diff != "" {
			t.Errorf("level %d: %s", i, diff)
		}
		// A whole secret shadows: no field of another level shows through.
		if diff := gocmp.Diff(map[string]envelope{"e" + level.at.scope: sealed}, got.Envelopes); diff != "" {
			t.Errorf("level %d: %s", i, diff)
		}
		if len(got.Aggregate.Fields) != 2 || got.Aggregate.ScopeID != level.at.id {
			t.Errorf("level %d: %+v", i, got.Aggregate)
		}
		if opened := w.ada.unseal(t, level.at, "s", "e"+level.at.scope, sealed); opened != level.name {
			t.Errorf("level %d opened %q", i, opened)
		}
		if from := w.ada.effective(t)["s"]; from != level.at.scope+" "+level.at.id {
			t.Errorf("level %d is effective from %s", i, from)
		}
		below = append([]origin{self}, below...)
	}
	t.Run("each agent by its own scopes", func(t *testing.T) {
		if got := w.alan.resolved(t, "s"); got.ResolvedFrom.Scope != "project" || len(got.Shadowed) != 2 {
			t.Errorf("alan: %+v shadows %+v", got.ResolvedFrom, got.Shadowed)
		}
		if got := w.bob.resolved(t, "s"); got.ResolvedFrom.Scope != "org" || len(got.Shadowed) != 0 {
			t.Errorf("bob: %+v shadows %+v", got.ResolvedFrom, got.Shadowed)
		}
	})
	t.Run("what is deleted shadows no more", func(t *testing.T) {
		w.ada.do(t, http.MethodDelete, w.ada.own().path("s"), nil).ok(t, 200)
		if got := w.ada.resolved(t, "s"); got.ResolvedFrom.Scope != "project" {
			t.Errorf("resolved from %+v", got.ResolvedFrom)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		w.ada.resolve(t, "a.b").code(t, "invalid_id")
		for _, q := range []string{"?version=1", "?at=2026-01-01T00:00:00.000Z", "?x=1"} {
			w.ada.do(t, http.MethodGet, "/agent/secrets/resolve/s"+q, nil).code(t, "invalid_query")
		}
	})
	t.Run("the effective set", func(t *testing.T) {
		keeper.create(t, w.org, "org-only")
		w.alan.create(t, w.teamA, "team-only")
		w.ada.create(t, w.ada.own(), "Own")
		w.bob.create(t, w.teamB, "foreign")
		w.bob.create(t, w.bob.own(), "Own")
		want := map[string]string{
			"s": "project " + w.projA.id, "org-only": "org " + w.org.id, "team-only": "team " + w.teamA.id, "Own": "agent " + w.ada.id,
		}
		for _, limit := range []string{"1", "3", "1000"} {
			if diff := gocmp.Diff(want, w.ada.effective(t, "limit", limit)); diff != "" {
				t.Errorf("limit %s: %s", limit, diff)
			}
		}
		w.ada.do(t, http.MethodGet, "/agent/secrets/resolve?limit=0", nil).code(t, "invalid_query")
	})
}

// TestContractResolveRights: a winner that may not be read is refused, never
// passed over; two at one level are refused, naming both.
func TestContractResolveRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keeper := w.newAgent(t, "keeper")
	w.grant(t, keeper, w.org, "writer")
	keeper.create(t, w.org, "s")
	keeper.create(t, w.org, "two")

	t.Run("a winner out of reach", func(t *testing.T) {
		w.alan.create(t, w.teamA, "s")
		viewer := w.newAgent(t, "viewer")
		w.grant(t, viewer, w.teamA, "viewer")
		viewer.resolve(t, "s").code(t, "forbidden")
		if from := viewer.effective(t)["s"]; from != "team "+w.teamA.id {
			t.Errorf("effective from %q", from)
		}
		w.alan.do(t, http.MethodDelete, w.teamA.path("s"), nil).ok(t, 200)
		if got := viewer.resolved(t, "s"); got.ResolvedFrom.Scope != "org" {
			t.Errorf("resolved from %+v", got.ResolvedFrom)
		}
	})
	t.Run("two at one level", func(t *testing.T) {
		both := w.newAgent(t, "both")
		w.grant(t, both, w.teamA, "reader")
		w.grant(t, both, w.teamB, "reader")
		w.ada.create(t, w.teamA, "two")
		if got := both.resolved(t, "two"); got.ResolvedFrom.ScopeID != w.teamA.id {
			t.Errorf("resolved from %+v", got.ResolvedFrom)
		}
		w.bob.create(t, w.teamB, "two")
		r := both.resolve(t, "two").code(t, "ambiguous_scope")
		for _, team := range []place{w.teamA, w.teamB} {
			if !bytes.Contains(r.raw, []byte(team.id)) {
				t.Errorf("the problem does not name %s: %s", team.id, r.raw)
			}
		}
		both.create(t, both.own(), "two") // above the tie
		if got := both.resolved(t, "two"); got.ResolvedFrom.Scope != "agent" || len(got.Shadowed) != 3 {
			t.Errorf("resolved from %+v, shadows %+v", got.ResolvedFrom, got.Shadowed)
		}
		if got := w.ada.resolved(t, "two"); got.ResolvedFrom.ScopeID != w.teamA.id {
			t.Errorf("ada resolves from %+v", got.ResolvedFrom)
		}
	})
	t.Run("a project stands for its team", func(t *testing.T) {
		guest := w.newAgent(t, "guest")
		w.grant(t, guest, w.projA, "writer")
		w.ada.create(t, w.teamA, "of-team")
		if got := guest.resolved(t, "of-team"); got.ResolvedFrom.ScopeID != w.teamA.id {
			t.Errorf("resolved from %+v", got.ResolvedFrom)
		}
		guest.do(t, http.MethodPut, w.teamA.path("more"), newSecret("n")).code(t, "forbidden")
	})
}
