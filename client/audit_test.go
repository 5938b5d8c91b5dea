package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func raw(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

// TestAccess verifies that every filter is asked for under its name, on each
// page, and that the pages are followed to the end.
func TestAccess(t *testing.T) {
	row := `{"id":"7.%d","position":7,"index":%d,"time":"2026-05-01T12:00:00.000Z","action":"read","outcome":"allowed","actor":{"kind":"agent","id":"agt_1","name":"n","keyId":"key_1"}}`
	s := serve(t, data(200, `{"data":[`+fmt.Sprintf(row, 1, 1)+`],"page":{"nextCursor":"c1"}}`), data(200, `{"data":[`+fmt.Sprintf(row, 0, 0)+`]}`))
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rows, err := s.client().Admin().ListAccess(t.Context(), testOrg, client.AccessQuery{
		Actor: "agt_1", Scope: testScope, Secret: "stripe", Action: "read", Outcome: domain.OutcomeAllowed, From: from, To: from.Add(time.Hour), Ascending: true, PageSize: 1,
	})
	if err != nil || len(rows) != 2 || rows[0].ID != "7.1" || rows[1].Actor.Name != "n" {
		t.Fatalf("got %+v, %v", rows, err)
	}
	want := "/admin/orgs/" + string(testOrg) + "/access?actor=agt_1&from=2026-01-02T03%3A04%3A05.000Z&limit=1&order=asc&outcome=allowed&scope=project&scopeId=proj_X&secret=stripe&to=2026-01-02T04%3A04%3A05.000Z&type=read"
	seen := s.requests()
	if diff := cmp.Diff(want, seen[0].URI); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(strings.Replace(want, "&from", "&cursor=c1&from", 1), seen[1].URI); diff != "" {
		t.Error(diff)
	}
}

// TestAuditedHistory verifies that rows are told apart by their kind.
func TestAuditedHistory(t *testing.T) {
	s := serve(t, data(200, `{"data":[{"kind":"access","id":"1.0","position":1,"index":0,"time":"2026-05-01T12:00:00.000Z","action":"read","outcome":"denied"},
		{"kind":"event","position":9,"eventId":"x","type":"secret.created","time":"2026-05-01T12:00:00.000Z","version":1,"leaf":"e30=","index":0,"proof":"p"}]}`))
	var rows []client.HistoryRow
	for r, err := range s.client().AuditedHistory(t.Context(), testSecret, client.HistoryQuery{Proof: true}) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if len(rows) != 2 || rows[0].Event != nil || rows[0].Access.Outcome != "denied" || rows[1].Access != nil || string(rows[1].Event.Leaf) != "{}" || *rows[1].Event.Index != 0 || rows[1].Event.Proof != "p" {
		t.Errorf("got %+v", rows)
	}
	if got := s.requests()[0].URI; got != "/agent/secrets/project/proj_X/stripe/history?include=access&proof=1" {
		t.Error(got)
	}
}

// TestReport verifies that a report is given as a stream, whatever its length,
// that one which breaks off is an error, and a refusal a problem.
func TestReport(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	s := serve(t, raw(long), problem(403, domain.CodeForbidden), func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, long)
		panic(http.ErrAbortHandler)
	}, data(200, `{"data":[{"name":"changes","title":"Changes"}]}`))
	admin := s.client().Admin()
	q := domain.ReportQuery{Org: testOrg, Name: "changes", Format: "csv", Events: 7, Access: 8, At: time.Unix(0, 0), Sample: 5}
	body, err := admin.Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil || string(got) != long {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := admin.Report(t.Context(), q); domain.CodeOf(err) != domain.CodeForbidden {
		t.Errorf("got %v", err)
	}
	if body, err = admin.Report(t.Context(), q); err == nil {
		_, err = io.ReadAll(body)
		_ = body.Close()
	}
	if err == nil {
		t.Error("half a report was taken for a whole one")
	}
	names, err := admin.Reports(t.Context(), testOrg)
	if diff := cmp.Diff([]client.ReportName{{Name: "changes", Title: "Changes"}}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
	want := "/admin/orgs/" + string(testOrg) + "/reports/changes?access=8&at=1970-01-01T00%3A00%3A00.000Z&events=7&format=csv&sample=5&seed=0"
	if got := s.requests()[0].URI; got != want {
		t.Errorf("got %s", got)
	}
	if _, err := admin.Report(t.Context(), domain.ReportQuery{Org: "x"}); domain.CodeOf(err) != domain.CodeInvalidID {
		t.Errorf("got %v", err)
	}
}

// TestLogFiles verifies that files of the log are given as they are, and that
// no other path is asked for.
func TestLogFiles(t *testing.T) {
	s := serve(t, raw("note"), raw("\x00\x01"), problem(404, domain.CodeNotFound), data(200, `{"data":[{"log":"events","origin":"o","name":"o","vkey":"o+1+A"}]}`))
	c := s.client()
	for path, want := range map[string]string{"checkpoint": "note"} {
		if got, err := c.LogFile(t.Context(), "events", path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if got, err := c.LogFile(t.Context(), "access", "tile/0/x001/067.p/12"); err != nil || string(got) != "\x00\x01" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.LogFile(t.Context(), "events", "tile/entries/000"); domain.CodeOf(err) != domain.CodeNotFound {
		t.Errorf("got %v", err)
	}
	if keys, err := c.LogKeys(t.Context()); err != nil || len(keys) != 1 || keys[0].VKey != "o+1+A" {
		t.Errorf("got %+v, %v", keys, err)
	}
	for _, path := range []string{"", "../key", "tile/0/000?x", "tile/0", "tile/0/../../key", "checkpoint/"} {
		if _, err := c.LogFile(t.Context(), "events", path); domain.CodeOf(err) != domain.CodeInvalidID {
			t.Errorf("%q: %v", path, err)
		}
	}
	if uri := s.requests()[1].URI; uri != "/log/access/tile/0/x001/067.p/12" {
		t.Error(uri)
	}
}
