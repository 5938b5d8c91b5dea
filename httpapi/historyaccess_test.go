package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// rowNames names each row of a merged history by its log and place.
func rowNames(w *world, rows []wire.HistoryRow) []string {
	names := []string{}
	for _, r := range rows {
		switch {
		case r.Event != nil && r.Access == nil && r.Event.Kind == wire.KindEvent:
			names = append(names, fmt.Sprintf("v%d", r.Event.Version))
		case r.Access != nil && r.Event == nil && r.Access.Kind == wire.KindAccess && r.Access.SecretID == "db":
			names = append(names, r.Access.ID)
		default:
			w.Errorf("got %+v", r)
		}
	}
	return names
}

// TestAuditedHistory verifies that a history which includes the access log
// shows every row of both logs once and in order, in pages of any size, while
// each page that is read adds a record of its own.
func TestAuditedHistory(t *testing.T) {
	w := withSecret(t)
	path := w.path(w.project, "db") + "/history?include=access"
	var want []string // oldest first
	for i := range 2 {
		want = append(want, fmt.Sprintf("v%d", i+1))
	}
	records := 0
	for i := range 18 {
		w.clock.advance(time.Duration(i%3) * time.Second)
		if i%4 == 3 {
			got := w.want(200, request{
				method: "PUT", path: w.path(w.project, "db") + "/fields/user", as: w.writer, body: fmt.Sprintf(`{"sensitivity":"plaintext","value":"c%d"}`, i),
			})
			want = append(want, strings.Trim(got.Header.Get("Etag"), `"`))
			continue
		}
		if i%4 == 1 { // of another secret
			w.want(200, request{method: "GET", path: w.path(w.project), as: w.writer})
			records++
		}
		w.want(200, request{method: "GET", path: w.path(w.project, "db"), as: w.writer})
		want = append(want, fmt.Sprintf("%d.%d", records/2+1, records%2))
		records++
	}
	// Equal times: events first, so sort what happened at one moment so.
	whole := rowNames(w, data[[]wire.HistoryRow](w, w.want(200, request{method: "GET", path: path + "&order=asc", as: w.auditor})))
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(whole))); diff != "" {
		t.Fatal(diff)
	}
	for _, examine := range []int{0, 5} {
		w.recorder.examine = examine
		for _, order := range []string{"asc", "desc"} {
			for _, limit := range []int{2, 7} {
				var got []string
				for cursor, more := "", true; more; {
					rows, next := page[[]wire.HistoryRow](w, w.want(200, request{
						method: "GET", path: fmt.Sprintf("%s&order=%s&limit=%d%s", path, order, limit, cursor), as: w.auditor,
					}))
					if len(rows) > limit {
						t.Errorf("a page of %d has %d rows", limit, len(rows))
					}
					rows = slices.DeleteFunc(rows, func(r wire.HistoryRow) bool { return r.Access != nil && r.Access.Action == "audit" })
					got = append(got, rowNames(w, rows)...)
					cursor, more = "&cursor="+next, next != "" && len(got) < len(whole)
				}
				if order == "desc" {
					slices.Reverse(got)
				}
				if diff := cmp.Diff(whole, got); diff != "" {
					t.Errorf("%s by %d, examining %d: %s", order, limit, examine, diff)
				}
			}
		}
	}
	times := data[[]wire.HistoryRow](w, w.want(200, request{method: "GET", path: path, as: w.auditor}))
	if !slices.IsSortedFunc(times, func(a, b wire.HistoryRow) int { return timeOf(b).Compare(timeOf(a)) }) {
		t.Error("the rows are not sorted by time")
	}
}

func timeOf(r wire.HistoryRow) time.Time {
	if r.Event != nil {
		return r.Event.Time.Time
	}
	return r.Access.Time.Time
}

// TestMerge verifies that pages of a merge, whatever the times in either log
// are, give every row of both once, each log's in its own order.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := time.UnixMilli(0)
		times := rapid.SliceOfN(rapid.IntRange(0, 9), 0, 12)
		var events []domain.HistoryEntry
		for i, ms := range slices.Sorted(slices.Values(times.Draw(t, "events"))) {
			events = append(events, domain.HistoryEntry{Record: domain.Record{Version: uint64(i + 1)}, At: base.Add(time.Duration(ms))})
		}
		var access []domain.AccessEntry
		for i, ms := range times.Draw(t, "access") {
			access = append(access, domain.AccessEntry{
				Access: domain.Access{Time: base.Add(time.Duration(ms))}, Place: domain.AccessPlace{Position: uint64(i/3 + 1), Index: uint16(i % 3)},
			})
		}
		ascending, limit := rapid.Bool().Draw(t, "ascending"), rapid.IntRange(1, 7).Draw(t, "limit")
		gotEvents, gotAccess := httpapi.MergeAll(events, access, ascending, limit, rapid.IntRange(1, 7).Draw(t, "most"))
		if !ascending {
			slices.Reverse(gotEvents)
			slices.Reverse(gotAccess)
		}
		if diff := cmp.Diff(len(events), len(gotEvents)); diff != "" || !slices.IsSorted(gotEvents) {
			t.Fatalf("events %v", gotEvents)
		}
		if len(access) != len(gotAccess) {
			t.Fatalf("access %v", gotAccess)
		}
		for i, e := range access {
			if gotAccess[i] != e.Place {
				t.Fatalf("access %v", gotAccess)
			}
		}
	})
}

// TestHistoryStaysAsItWas verifies that a history without include has neither
// kinds nor proofs, and that no cursor of one kind is good for the other.
func TestHistoryStaysAsItWas(t *testing.T) {
	w := withSecret(t)
	path := w.path(w.project, "db") + "/history"
	got := w.want(200, request{method: "GET", path: path + "?limit=1", as: w.viewer})
	for _, member := range []string{"kind", "leaf", "index", "proof"} {
		if strings.Contains(string(got.body), `"`+member+`":`) && member != "kind" {
			t.Errorf("there is a %s: %s", member, got.body)
		}
	}
	if strings.Contains(string(got.body), `"kind":"event"`) {
		t.Errorf("got %s", got.body)
	}
	rows, plain := page[[]wire.HistoryEntry](w, got)
	_, audited := page[[]wire.HistoryRow](w, w.want(200, request{method: "GET", path: path + "?limit=1&include=access", as: w.auditor}))
	if len(rows) != 1 || plain == "" || audited == "" {
		t.Fatalf("got %+v", rows)
	}
	w.refused(domain.CodeInvalidCursor, request{method: "GET", path: path + "?include=access&cursor=" + plain, as: w.auditor})
	w.refused(domain.CodeInvalidCursor, request{method: "GET", path: path + "?cursor=" + audited, as: w.auditor})
	for _, query := range []string{"?include=events", "?include=", "?proof=0", "?proof=true", "?proof="} {
		w.refused(domain.CodeInvalidQuery, request{method: "GET", path: path + query, as: w.auditor})
	}
	w.refused(domain.CodeSecretNotFound, request{method: "GET", path: w.path(w.project, "none") + "/history?include=access", as: w.auditor})
	w.recorder.take()
	w.refused(domain.CodeForbidden, request{method: "GET", path: path + "?include=access", as: w.writer})
	if records := w.recorder.take(); len(records) != 1 || records[0].Action != domain.AccessAudit || records[0].Rule != domain.RuleNotAuditor || records[0].Secret != "db" {
		t.Errorf("recorded %+v", records)
	}
}

// TestProvedHistory verifies that an entry carries its leaf and, as far as the
// newest checkpoint goes, its proof.
func TestProvedHistory(t *testing.T) {
	w := withSecret(t)
	path := w.path(w.project, "db") + "/history?proof=1&limit=1000"
	plain := data[[]wire.HistoryEntry](w, w.want(200, request{method: "GET", path: w.path(w.project, "db") + "/history", as: w.viewer}))
	w.proofs.signed = plain[1].Position // the newest entry is not signed yet
	rows := data[[]wire.HistoryEntry](w, w.want(200, request{method: "GET", path: path, as: w.viewer}))
	for i, r := range rows {
		if string(r.Leaf) != fmt.Sprintf(`{"leaf":%d}`, r.Position) || r.Index == nil || *r.Index != r.Position-1 || (r.Proof != "") != (i == 1) {
			t.Errorf("got %+v", r)
		}
		r.Leaf, r.Index, r.Proof = nil, nil, ""
		if diff := cmp.Diff(plain[i], r); diff != "" {
			t.Error(diff)
		}
	}
	merged := data[[]wire.HistoryRow](w, w.want(200, request{method: "GET", path: path + "&include=access&order=asc", as: w.auditor}))
	if merged[0].Event == nil || merged[0].Event.Proof == "" || merged[1].Event.Leaf == nil || merged[1].Event.Proof != "" {
		t.Errorf("got %+v", merged)
	}
	for i := range 110 {
		w.want(200, request{method: "PATCH", path: w.path(w.project, "db"), as: w.writer, body: fmt.Sprintf(`{"category":"c%d"}`, i)})
	}
	if rows, next := page[[]wire.HistoryEntry](w, w.want(200, request{method: "GET", path: path, as: w.viewer})); len(rows) != 100 || next == "" {
		t.Errorf("a page with proofs has %d rows", len(rows))
	}
}
