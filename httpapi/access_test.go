package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/httpapi/openapitest"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func (w *world) accessPath(query string) string {
	return "/admin/orgs/" + string(w.org) + "/access" + query
}

func (w *world) records(query string) []wire.AccessRecord {
	w.Helper()
	return data[[]wire.AccessRecord](w, w.want(200, request{method: "GET", path: w.accessPath(query), as: w.auditor}))
}

// TestListAccess verifies that an auditor finds each record with everything
// that it holds, by each filter and their conjunction.
func TestListAccess(t *testing.T) {
	w := withSecret(t)
	start := w.clock.now()
	w.clock.advance(time.Second)
	got := w.want(200, request{
		method: "GET", path: w.path(w.project, "db") + "/fields/user", as: w.writer,
		header: map[string]string{"Chancery-Reason": "why", "Chancery-Run-Id": "run-1", "User-Agent": "robot", "Traceparent": "00-" + trace + "-00f067aa0ba902b7-01"},
	})
	w.clock.advance(time.Second)
	w.refused(domain.CodeForbidden, request{method: "GET", path: w.path(w.project, "db"), as: w.viewer})
	w.clock.advance(time.Second)
	w.want(200, request{method: "GET", path: w.path(w.project), as: w.viewer})

	rows := w.records("?outcome=allowed&type=read")
	if len(rows) != 1 {
		t.Fatalf("got %+v", rows)
	}
	want := wire.AccessRecord{
		ID: "1.0", Position: 1, Time: wire.NewTime(start.Add(time.Second)), Org: string(w.org), Action: "read", Outcome: "allowed",
		Actor: &wire.Actor{Kind: "agent", ID: string(w.writer.id), Name: "writer", KeyID: rows[0].Actor.KeyID},
		Scope: "project", ScopeID: w.project.ID, SecretID: "db", FieldKey: "user", Rule: "direct_membership", Method: "GET",
		Route: "/agent/secrets/{scope}/{scopeId}/{secretId}/fields/{fieldKey}", RequestID: got.Header.Get("X-Request-Id"), TraceID: trace,
		ClientIP: rows[0].ClientIP, UserAgent: "robot", Reason: "why", RunID: "run-1",
	}
	if diff := cmp.Diff(want, rows[0]); diff != "" || rows[0].ClientIP == "" || rows[0].Actor.KeyID == "" {
		t.Errorf("got %+v: %s", rows[0], diff)
	}
	scope := "scope=project&scopeId=" + w.project.ID
	for query, count := range map[string]int{
		"actor=" + string(w.writer.id): 1, "actor=" + string(w.viewer.id): 2, "outcome=denied": 1, "type=list": 1, scope: 3, scope + "&secret=db": 2,
		scope + "&secret=other": 0, scope + "&secret=db&outcome=denied&actor=" + string(w.viewer.id): 1, "outcome=failed": 0,
		"type=list&from=" + at(start.Add(3*time.Second)): 1, "from=" + at(start) + "&to=" + at(start.Add(3*time.Second)): 2, "to=" + at(start.Add(time.Second)): 0,
	} {
		if got := w.records("?" + query); len(got) != count {
			t.Errorf("%s: got %d records, want %d", query, len(got), count)
		}
	}
	w.recorder.take()
	w.records("?type=list&limit=1")
	if records := w.recorder.take(); len(records) != 1 || records[0].Action != "audit" || records[0].Target != w.org || records[0].Detail != "type=list" || records[0].Outcome != "allowed" {
		t.Errorf("the reading was recorded as %+v", records)
	}
}

// TestAccessPages verifies that pages of any size, the empty ones that a bound
// on the rows looked at makes included, give every record once, in order,
// while the reading itself adds some.
func TestAccessPages(t *testing.T) {
	w := withSecret(t)
	for i := range 6 {
		w.want(200, request{method: "GET", path: w.path(w.project, "db"), as: w.writer, header: map[string]string{"Chancery-Run-Id": fmt.Sprint(i)}})
		w.want(200, request{method: "GET", path: w.path(w.project), as: w.writer})
	}
	for _, order := range []string{"asc", "desc"} {
		for _, limit := range []int{1, 5, 1000} {
			w.recorder.examine = 3
			var runs []string
			for cursor, more := "", true; more; {
				rows, next := page[[]wire.AccessRecord](w, w.want(200, request{
					method: "GET", path: w.accessPath(fmt.Sprintf("?type=read&order=%s&limit=%d%s", order, limit, cursor)), as: w.auditor,
				}))
				for _, r := range rows {
					runs = append(runs, r.RunID)
				}
				cursor, more = "&cursor="+next, next != "" && len(runs) < 6
			}
			if order == "desc" {
				slices.Reverse(runs)
			}
			if got := strings.Join(runs, " "); got != "0 1 2 3 4 5" {
				t.Errorf("%s by %d: %s", order, limit, got)
			}
		}
	}
	_, cursor := page[[]wire.AccessRecord](w, w.want(200, request{method: "GET", path: w.accessPath("?limit=1"), as: w.auditor}))
	for _, query := range []string{"?type=read&cursor=", "?order=asc&cursor=", "?outcome=allowed&cursor=", "?limit=1&cursor=A"} {
		w.refused(domain.CodeInvalidCursor, request{method: "GET", path: w.accessPath(query + cursor), as: w.auditor})
	}
}

// TestAccessQueries verifies that a filter which means nothing is refused, and
// that the actions and outcomes of the document are those that are known.
func TestAccessQueries(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{
		"type=relase", "type=", "outcome=ok", "actor=", "actor=a.b", "scope=project", "scopeId=" + w.project.ID, "secret=db", "scope=galaxy&scopeId=x",
		"scope=project&scopeId=" + w.project.ID + "&secret=a*b", "from=yesterday", "to=2026-01-01", "order=up",
		"from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z",
	} {
		w.refused(domain.CodeInvalidQuery, request{method: "GET", path: w.accessPath("?" + query), as: w.auditor})
	}
	schemas := openapitest.Load(t).Components.Schemas
	for _, action := range texts(schemas["AccessAction"].Value.Enum) {
		w.want(200, request{method: "GET", path: w.accessPath("?type=" + action), as: w.auditor})
	}
	if diff := cmp.Diff(httpapi.AccessActions(), texts(schemas["AccessAction"].Value.Enum)); diff != "" {
		t.Error(diff)
	}
}

// TestWhoMayAudit verifies that an auditor sees its own organization alone,
// and the auditor of the whole server all of them, and with its own what
// concerns none.
func TestWhoMayAudit(t *testing.T) {
	w := withSecret(t)
	other := w.newMember(w.other, "other auditor", domain.Scope{Kind: domain.ScopeOrg, ID: string(w.other)}, domain.RoleAuditor)
	w.refused(domain.CodeUnauthenticated, request{method: "GET", path: "/agent/identity/whoami"})
	w.refused(domain.CodeForbidden, request{method: "GET", path: w.path(w.project), as: w.stranger})

	theirs := "/admin/orgs/" + string(w.other)
	w.refused(domain.CodeForbidden, request{method: "GET", path: w.accessPath(""), as: other})
	for _, as := range []member{other, w.auditor} {
		rows := data[[]wire.AccessRecord](w, w.want(200, request{method: "GET", path: theirs + "/access?type=list", as: as}))
		if len(rows) != 1 || rows[0].Actor.ID != string(w.stranger.id) || rows[0].Actor.Name != "stranger" || rows[0].Rule != "no_membership" {
			t.Errorf("got %+v", rows)
		}
	}
	if rows := w.records("?type=authenticate"); len(rows) != 1 || rows[0].Actor != nil || rows[0].Org != "" || rows[0].Outcome != "failed" || rows[0].Code != "unauthenticated" {
		t.Errorf("got %+v", rows)
	}
	if rows := data[[]wire.AccessRecord](w, w.want(200, request{method: "GET", path: theirs + "/access?type=authenticate", as: w.auditor})); len(rows) != 0 {
		t.Errorf("got %+v", rows)
	}
	for _, path := range []string{"/access", "/reports", "/reports/changes"} {
		w.refused(domain.CodeNotFound, request{method: "GET", path: "/admin/orgs/" + newULID("org_") + path, as: w.auditor})
		w.refused(domain.CodeForbidden, request{method: "GET", path: "/admin/orgs/" + newULID("org_") + path, as: other})
		w.refused(domain.CodeForbidden, request{method: "GET", path: "/admin/orgs/" + string(w.org) + path, as: w.root})
	}
	w.want(200, request{method: "GET", path: "/log/events/checkpoint", as: other})
	w.want(200, request{method: "GET", path: "/log/events/tile/0/000", as: other})
	w.refused(domain.CodeForbidden, request{method: "GET", path: "/log/events/tile/entries/000", as: other})
	w.refused(domain.CodeForbidden, request{method: "GET", path: "/log/events/tile/0/000", as: w.writer})
	w.refused(domain.CodeForbidden, request{method: "GET", path: "/log/key", as: w.root})
}

// TestDeniedWhereItIsDecided verifies that a change which only the executor
// refuses is recorded as denied, with a rule that denies.
func TestDeniedWhereItIsDecided(t *testing.T) {
	w := newWorld(t)
	gone := w.newMember(w.org, "gone", domain.Scope{}, "")
	w.decide(w.org, domain.SetArchived{Scope: gone.scope(), Archived: true})
	r := request{method: "POST", path: "/admin/orgs/" + string(w.org) + "/agents/" + string(gone.id) + "/keys", as: w.root, body: "{}"}
	w.refused(domain.CodeForbidden, r)
	if records := w.recorder.take(); len(records) != 1 || records[0].Outcome != domain.OutcomeDenied || records[0].Rule != domain.RuleScopeArchived || records[0].Code != domain.CodeForbidden {
		t.Errorf("recorded %+v", records)
	}
	w.store.fail = domain.Errorf(domain.CodeForbidden, "the scope is archived")
	change := request{method: "PUT", path: w.path(w.project, "db"), as: w.writer, body: createBody}
	w.refused(domain.CodeForbidden, change)
	if records := w.recorder.take(); len(records) != 1 || records[0].Outcome != domain.OutcomeDenied || records[0].Secret != "db" {
		t.Errorf("recorded %+v", records)
	}
	w.recorder.fail = true
	w.refused(domain.CodeUnavailable, change)
	w.refused(domain.CodeUnavailable, r)
}

// TestTargetAfterWaiting verifies that the record of a request that waited for
// a position names the organization that was acted on.
func TestTargetAfterWaiting(t *testing.T) {
	w := newWorld(t)
	w.store.meanwhile = func() {}
	w.want(200, request{
		method: "GET", path: "/admin/orgs/" + string(w.other) + "/teams", as: w.root, header: map[string]string{"Chancery-Min-Position": "999999"},
	})
	if records := w.recorder.take(); len(records) != 1 || records[0].Target != w.other || records[0].Org != w.org {
		t.Errorf("recorded %+v", records)
	}
}

// TestTraceParent verifies that only a valid traceparent names a trace (W3C
// Trace Context, section 3.2).
func TestTraceParent(t *testing.T) {
	good := "00-" + trace + "-00f067aa0ba902b7-01"
	for header, want := range map[string]string{
		good: trace, "01" + good[2:]: trace, "01" + good[2:] + "-more": trace, "fe" + good[2:]: trace, "cc" + good[2:] + "more": "",
		"": "", good + "-x": "", good + "0": "", "ff" + good[2:]: "", strings.ToUpper(good): "", good[:54]: "", " " + good: "",
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01": "", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01": "",
		strings.Replace(good, "-", "_", 1): "", "00-" + trace + "-00f067aa0ba902b7-0g": "", "0x" + good[2:]: "",
	} {
		if got := httpapi.TraceID(http.Header{"Traceparent": {header}}); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
	if got := httpapi.TraceID(http.Header{"Traceparent": {good, good}}); got != "" {
		t.Errorf("two headers: got %q", got)
	}
}
