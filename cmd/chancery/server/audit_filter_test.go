package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAuditFilters: every filter, alone and with others, in both orders and
// with pages of any size, gives what a naive filter over all rows gives.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	w := newAuditWorld(t, nil)
	other := w.newTeam(t, "Other")
	alan := w.newAgent(t, "alan")
	w.grant(t, alan, w.team, "reader")
	w.grant(t, w.writer, other, "writer")
	for _, p := range []place{w.team, other, w.writer.own()} {
		for _, secret := range []string{"a", "b"} {
			w.writer.create(t, p, secret, keyed("f", plain("x")), keyed("g", plain("y")))
		}
	}
	for i := range 6 {
		for _, c := range []member{w.writer, alan} {
			for _, p := range []place{w.team, other, w.writer.own()} {
				for _, target := range []string{p.path("a"), p.field("b", "f"), p.path("b", "history"), p.path()} {
					c.send(t, http.MethodGet, target, nil, traced(fmt.Sprint("filter-", i)))
				}
			}
		}
		w.writer.mint(t, w.team, "a", "h")
		w.admin.do(t, http.MethodGet, w.inOrg("agents"), nil).ok(t, 200)
	}
	time.Sleep(2 * time.Millisecond)
	end := time.Now().UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")
	time.Sleep(2 * time.Millisecond)
	all := w.access(t, "to", end, "limit", "1000")
	if len(all) < 100 {
		t.Fatalf("%d rows are too few", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b accessRow) int { return newer(b, a) }) {
		t.Error("not newest first")
	}
	middle, later := all[len(all)/2].Time, all[len(all)/4].Time
	filters := []struct {
		pairs []string
		keep  func(accessRow) bool
	}{
		{[]string{"actor", w.writer.id}, func(r accessRow) bool { return r.actor() == w.writer.id }},
		{[]string{"scope", "team", "scopeId", w.team.id}, func(r accessRow) bool { return r.Scope == "team" && r.ScopeID == w.team.id }},
		{[]string{"scope", "team", "scopeId", other.id, "secret", "b"}, func(r accessRow) bool { return r.ScopeID == other.id && r.SecretID == "b" }},
		{[]string{"type", "read"}, func(r accessRow) bool { return r.Action == "read" }},
		{[]string{"type", "mint"}, func(r accessRow) bool { return r.Action == "mint" }},
		{[]string{"type", "admin"}, func(r accessRow) bool { return r.Action == "admin" }},
		{[]string{"type", "start"}, func(r accessRow) bool { return r.Action == "start" }},
		{[]string{"type", "subscribe"}, func(r accessRow) bool { return r.Action == "subscribe" }},
		{[]string{"outcome", "denied"}, func(r accessRow) bool { return r.Outcome == "denied" }},
		{[]string{"outcome", "failed"}, func(r accessRow) bool { return r.Outcome == "failed" }},
		{[]string{"from", middle}, func(r accessRow) bool { return r.Time >= middle }},
		{[]string{"to", later}, func(r accessRow) bool { return r.Time < later }},
		{[]string{"from", middle, "to", later}, func(r accessRow) bool { return r.Time >= middle && r.Time < later }},
	}
	for i, f := range filters {
		for j, g := range append(filters[i+1:], filters[i]) {
			pairs, keep := slices.Clone(f.pairs), f.keep
			if j < len(filters)-i-1 {
				if overlap(f.pairs, g.pairs) {
					continue
				}
				pairs, keep = append(pairs, g.pairs...), func(r accessRow) bool { return f.keep(r) && g.keep(r) }
			}
			want := []string{}
			for _, r := range all {
				if keep(r) {
					want = append(want, r.ID)
				}
			}
			if !slices.Contains(pairs, "to") {
				pairs = append(pairs, "to", end)
			}
			for _, order := range []string{"desc", "asc"} {
				limit := fmt.Sprint([]int{7, 50, 200}[(i+j)%3])
				got := []string{}
				for _, r := range w.access(t, append(slices.Clone(pairs), "order", order, "limit", limit)...) {
					got = append(got, r.ID)
				}
				if order == "asc" {
					slices.Reverse(got)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%v %s limit %s: want (-), got (+):\n%.800s", pairs, order, limit, diff)
				}
			}
		}
	}
	for _, bad := range [][]string{{"scope", "team"}, {"scopeId", other.id}, {"secret", "a"}, {"type", "nothing"}, {"outcome", "ok"}, {"from", "yesterday"}, {"actor", ""}, {"until", end}, {"limit", "0"}, {"order", "up"}} {
		w.auditor.do(t, http.MethodGet, w.inOrg("access")+query(bad...), nil).refused(t, 400, "invalid_query", "invalid_id")
	}
	page := w.auditor.do(t, http.MethodGet, w.inOrg("access")+query("limit", "5"), nil).ok(t, 200)
	w.auditor.do(t, http.MethodGet, w.inOrg("access")+query("limit", "5", "type", "read", "cursor", page.next), nil).code(t, "invalid_cursor")
}

// newer compares places in the access log.
func newer(a, b accessRow) int {
	if a.Position != b.Position {
		return int(a.Position) - int(b.Position)
	}
	return a.Index - b.Index
}

// overlap says whether two filters give one parameter twice.
func overlap(a, b []string) bool {
	for i := 0; i < len(a); i += 2 {
		for j := 0; j < len(b); j += 2 {
			if a[i] == b[j] {
				return true
			}
		}
	}
	return false
}
