package server_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestContractPositions: every write answers with its own position in the
// log, which its history entry has too, and with the version it made.
func TestContractPositions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	last := w.head(t)
	var positions []uint64
	for version, write := range []func() reply{
		func() reply { return w.ada.create(t, at, "s") },
		func() reply { return w.ada.set(t, at, "s", "p", plain("x")) },
		func() reply { return w.ada.set(t, at, "s", "e", encrypted(w.ada.seal(t, at, "s", "e", "x"))) },
		func() reply { return w.ada.rename(t, at, "s", "other") },
		func() reply { return w.ada.do(t, http.MethodPatch, at.path("s"), obj{"category": "other"}) },
		func() reply { return w.ada.do(t, http.MethodDelete, at.field("s", "p"), nil) },
		func() reply { return w.ada.do(t, http.MethodDelete, at.path("s"), nil) },
	} {
		r := write()
		if r.status >= 300 {
			t.Fatalf("write %d: %d %s", version+1, r.status, r.raw)
		}
		if version < 6 { // a deleted secret has a version too, but whether it has a tag is open
			r.etag(t, version+1)
		}
		if r.position(t) <= last {
			t.Errorf("write %d lies at %d, the one before at %d", version+1, r.position(t), last)
		}
		last = r.position(t)
		positions = append(positions, last)
		w.ada.do(t, http.MethodGet, at.path("s", "history"), nil, minPosition(last)).ok(t, 200)
	}
	var recorded []uint64
	for _, e := range w.ada.history(t, at, "s") {
		recorded = append(recorded, e.Position)
	}
	slices.Reverse(recorded)
	if diff := cmp.Diff(positions, recorded); diff != "" {
		t.Error(diff)
	}
	for name, r := range map[string]reply{
		"team": w.admin.do(t, http.MethodPost, w.inOrg("teams"), obj{"name": "n"}), "rename": w.admin.do(t, http.MethodPatch, w.inOrg("teams", at.id), obj{"name": "n"}),
		"grant": w.admin.do(t, http.MethodPut, w.membership(w.bob, at), obj{"role": "viewer"}), "key": w.admin.do(t, http.MethodPost, w.inOrg("agents", w.bob.id, "keys"), obj{}),
	} {
		if r.position(t) <= last {
			t.Errorf("%s lies at %d, a write before it at %d", name, r.position(t), last)
		}
	}
}

// TestContractRestart: a node that is stopped and started again has the same
// secrets, opens the same envelopes, and goes on where it was.
func TestContractRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.teamA
	sealed := w.ada.seal(t, at, "s", "e", "sealed before")
	w.ada.do(t, http.MethodPut, at.path("s"), newSecret("n", keyed("e", encrypted(sealed)), keyed("p", plain("clear before")))).ok(t, 201)
	w.ada.create(t, at, "gone")
	w.ada.do(t, http.MethodDelete, at.path("gone"), nil).ok(t, 200)
	before, history, scopes := w.ada.get(t, at, "s"), w.ada.history(t, at, "gone"), w.ada.scopes(t)
	w.Restart(t)
	w.ada.url, w.alan.url = w.URL, w.URL
	if diff := cmp.Diff(before, w.ada.get(t, at, "s")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(history, w.ada.history(t, at, "gone")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(scopes, w.ada.scopes(t)); diff != "" {
		t.Error(diff)
	}
	if got := w.alan.unseal(t, at, "s", "e", sealed); got != "sealed before" {
		t.Errorf("opened %q", got)
	}
	w.ada.set(t, at, "s", "e", encrypted(sealed)).ok(t, 200).etag(t, 1)
	w.ada.set(t, at, "s", "e", encrypted(w.ada.seal(t, at, "s", "e", "after"))).ok(t, 200).etag(t, 2)
	again := sealed
	again.IV = tobase64(make([]byte, 12))
	w.ada.set(t, at, "s", "e", encrypted(again)).code(t, "data_key_reused")
	w.ada.create(t, at, "gone").etag(t, 3)
}

// TestContractScopes: what an agent sees of its scopes and its roles there.
func TestContractScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	free := w.newProject(t, "Free", place{})
	for _, tt := range []struct {
		name   string
		grants []scopeRow // name stands for nothing
		want   []string   // without the agent itself
	}{
		{"nothing", nil, []string{"org reader"}},
		{"a project includes its team", []scopeRow{{"project", w.projA.id, "", "writer"}}, []string{"project writer", "team reader", "org reader"}},
		{"a viewer of a project", []scopeRow{{"project", w.projA.id, "", "viewer"}}, []string{"project viewer", "team viewer", "org reader"}},
		{"a project without a team", []scopeRow{{"project", free.id, "", "manager"}}, []string{"project manager", "org reader"}},
		{"a direct role counts", []scopeRow{{"project", w.projA.id, "", "writer"}, {"team", w.teamA.id, "", "viewer"}}, []string{"project writer", "team viewer", "org reader"}},
		{"a direct role on the organization", []scopeRow{{"org", w.org.id, "", "viewer"}}, []string{"org viewer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := w.newAgent(t, "m")
			for _, g := range tt.grants {
				w.grant(t, m, place{g.Scope, g.ScopeID}, g.Role)
			}
			var got []string
			for _, s := range m.scopes(t) {
				if s.Name == "" || s.ScopeID == "" {
					t.Errorf("row %+v", s)
				}
				got = append(got, s.Scope+" "+s.Role)
			}
			if diff := cmp.Diff(append([]string{"agent writer"}, tt.want...), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
