package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func (w *world) report(rest string) string { return "/admin/orgs/" + string(w.org) + "/reports" + rest }

// TestReports verifies that a report is asked for as it was meant, and recorded
// before its first byte.
func TestReports(t *testing.T) {
	w := newWorld(t)
	names := data[[]wire.ReportName](w, w.want(200, request{method: "GET", path: w.report(""), as: w.auditor}))
	if diff := cmp.Diff(w.reports.Names(), names); diff != "" {
		t.Error(diff)
	}
	w.recorder.take()
	early := false
	w.reports.written = func() { early = early || len(w.recorder.snapshot()) == 0 }
	query := "?format=csv&events=7&access=9&from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&at=2026-01-15T00:00:00Z&sample=5&seed=0"
	got := w.want(200, request{method: "GET", path: w.report("/changes" + query), as: w.auditor})
	if len(got.body) != 3*1001 || got.Header.Get("Content-Type") != "text/csv; charset=utf-8" || got.Header.Get("Content-Disposition") != "attachment; filename=changes.csv" || early {
		t.Errorf("got %d bytes, %v", len(got.body), got.Header)
	}
	day := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 0, 0, 0, 0, time.UTC) }
	want := domain.ReportQuery{Org: w.org, Name: "changes", Format: "csv", Events: 7, Access: 9, From: day(1, 1), To: day(2, 1), At: day(1, 15), Sample: 5}
	if diff := cmp.Diff(want, w.reports.asked); diff != "" {
		t.Error(diff)
	}
	records := w.recorder.take()
	if len(records) != 1 || records[0].Action != domain.AccessReport || !strings.HasPrefix(records[0].Detail, "changes csv access=9&at=") || !strings.Contains(records[0].Detail, "&format=csv&") {
		t.Errorf("recorded %+v", records)
	}
	w.want(200, request{method: "GET", path: w.report("/changes"), as: w.auditor})
	if diff := cmp.Diff(domain.ReportQuery{Org: w.org, Name: "changes", Format: "jsonl"}, w.reports.asked); diff != "" {
		t.Error(diff)
	}
	w.refused(domain.CodeNotFound, request{method: "GET", path: w.report("/nonsense"), as: w.auditor})
	for _, name := range []string{"Changes", "a.b", "-a", strings.Repeat("a", 65)} {
		w.refused(domain.CodeInvalidID, request{method: "GET", path: w.report("/" + name), as: w.auditor})
	}
	for _, query := range []string{"events=0", "events=01", "access=-1", "format=CSV", "format=", "at=now", "sample=5", "seed=5", "sample=0&seed=1", "sample=100001&seed=1", "sample=1&seed=18446744073709551616"} {
		w.refused(domain.CodeInvalidQuery, request{method: "GET", path: w.report("/changes?" + query), as: w.auditor})
	}
}

// TestReportThatFails verifies that a report which fails before its first byte
// is a failure, that one which fails behind it never ends as if it were whole,
// and that an empty one is a success.
func TestReportThatFails(t *testing.T) {
	w := newWorld(t)
	w.reports.becomes(0, nil)
	if got := w.want(200, request{method: "GET", path: w.report("/changes"), as: w.auditor}); len(got.body) != 0 {
		t.Errorf("got %q", got.body)
	}
	w.reports.becomes(0, errors.New(canary))
	r := request{method: "GET", path: w.report("/changes"), as: w.auditor}
	if p := w.refused(domain.CodeInternal, r); strings.Contains(p.Detail, canary) {
		t.Error("the error is shown")
	}
	if got := w.send(r); got.Header.Get("Content-Disposition") != "" {
		t.Errorf("headers %v", got.Header)
	}
	for _, rows := range []int{1, 100} { // within the server's buffer, and beyond it
		w.reports.becomes(rows, errors.New(canary))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.auditor.token)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil {
			t.Errorf("half a report of %d rows was taken for a whole one", rows)
		}
	}
	if !strings.Contains(w.log.String(), "a stream was cut off") {
		t.Error("the log does not tell")
	}
	w.reports.becomes(100, nil)
	if got := w.want(200, r); len(got.body) != 100*1001 {
		t.Errorf("got %d bytes", len(got.body))
	}
	metrics := string(w.want(200, request{method: "GET", path: "/metrics"}).body)
	if !strings.Contains(metrics, `chancery_http_requests_total{code="internal",method="GET",route="/admin/orgs/{orgId}/reports/{name}",status="200"} 2`) {
		t.Error("broken streams are not counted")
	}
}

// TestReportOfAnImpatientReader verifies that a reader who leaves ends the
// making of a report.
func TestReportOfAnImpatientReader(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.reports.rows = 1 << 40
	w.reports.written = cancel
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+w.report("/changes"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.auditor.token)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Error("the endless report ended")
		}
	}
	// The server closes only when no request runs: the cleanup would hang.
}
