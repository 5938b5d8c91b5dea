package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/reports"
)

const reportOrg = "org_01JD3Z8Q7G00000000000000A1"

// reportServer answers for one report and writes down what was asked.
func reportServer(t *testing.T, answers map[string]string) (addr string, asked *[]string) {
	t.Helper()
	asked = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path+"?"+r.URL.RawQuery)
		text, ok := answers[r.URL.Query().Get("format")]
		if !ok {
			answer(w, http.StatusBadRequest, wire.NewProblem(domain.Errorf(domain.CodeInvalidQuery, "there is no such format"), "req-1"))
			return
		}
		fmt.Fprint(w, strings.TrimSuffix(text, "…"))
		if strings.HasSuffix(text, "…") {
			if err := http.NewResponseController(w).Flush(); err != nil {
				panic(err)
			}
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, asked
}

func TestReportListsWhatThereIs(t *testing.T) {
	status, stdout, stderr := try(t.Context(), "http://127.0.0.1:1", "", "report")
	if status != exitOK || stderr != "" {
		t.Fatalf("%d %s", status, stderr)
	}
	for _, n := range reports.Names() {
		if !strings.Contains(stdout, n.Name+" ") || !strings.Contains(stdout, n.Title) {
			t.Errorf("%s is not listed:\n%s", n.Name, stdout)
		}
	}
}

func TestReportGoesToStandardOutput(t *testing.T) {
	addr, asked := reportServer(t, map[string]string{"table": "the report\n"})
	status, stdout, stderr := try(t.Context(), addr, "", "report", "changes", "--org", reportOrg, "--sample", "3", "--seed", "9",
		"--at", "2026-01-31T12:00:00Z", "--events-position", "7")
	if status != exitOK || stdout != "the report\n" || stderr != "" {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
	want := "/admin/orgs/" + reportOrg + "/reports/changes?at=2026-01-31T12%3A00%3A00.000Z&events=7&format=table&sample=3&seed=9"
	if len(*asked) != 1 || (*asked)[0] != want {
		t.Errorf("asked for %q, want %q", *asked, want)
	}
}

// A CSV holds no manifest: it goes beside the file, and both are about the same
// positions.
func TestReportPutsTheManifestBesideTheFile(t *testing.T) {
	addr, asked := reportServer(t, map[string]string{
		"csv": "a,b\r\n", "csv.manifest": `{"manifest":{"v":1,"events":{"from":1,"to":41},"access":{"from":2,"to":17}}}` + "\n",
	})
	out := filepath.Join(t.TempDir(), "changes.csv")
	status, stdout, stderr := try(t.Context(), addr, "", "report", "changes", "--org", reportOrg, "--format", "csv", "--out", out)
	if status != exitOK || stdout != "" || stderr != "" {
		t.Fatalf("%d %q %q", status, stdout, stderr)
	}
	for name, want := range map[string]string{out: "a,b\r\n", out + manifestFile: `"to":41`} {
		text, err := os.ReadFile(name)
		info, failed := os.Stat(name)
		if errors.Join(err, failed) != nil || !strings.Contains(string(text), want) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %q", name, err, text)
		}
	}
	if len(*asked) != 2 || !strings.Contains((*asked)[1], "access=17&events=41&format=csv") {
		t.Errorf("asked for %q", *asked)
	}
}

// An answer that breaks off leaves the file that was there, and nothing else.
func TestReportIsWholeOrNotThere(t *testing.T) {
	addr, _ := reportServer(t, map[string]string{"jsonl": "half…"})
	dir := t.TempDir()
	out := filepath.Join(dir, "report.jsonl")
	if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"jsonl", "unknown"} {
		status, _, stderr := try(t.Context(), addr, "", "report", "changes", "--org", reportOrg, "--format", format, "--out", out)
		text, err := os.ReadFile(out)
		if status == exitOK || err != nil || string(text) != "before" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: %d, %v, %q, %q", format, status, err, text, stderr)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v: %v", err, entries)
	}
}

func TestReportRefusesWhatItCannotRead(t *testing.T) {
	for _, args := range [][]string{
		{"report", "changes", "--at", "yesterday"},
		{"report", "changes", "--from", "x"},
		{"report", "changes", "--to", "x"},
		{"report", "changes", "--org", "home"},
		{"report", "changes", "more"},
		{"report", "changes", "--events-position", "-1"},
	} {
		if status, _, stderr := try(t.Context(), "http://127.0.0.1:1", "", args...); status != exitUsage {
			t.Errorf("%v: %d %s", args, status, stderr)
		}
	}
}

func TestProgressBar(t *testing.T) {
	for read, want := range map[uint64]string{
		0: "[" + strings.Repeat(".", 30) + "]", 50: "[" + strings.Repeat("#", 15) + strings.Repeat(".", 15) + "]",
		100: "[" + strings.Repeat("#", 30) + "]", 200: "[" + strings.Repeat("#", 30) + "]",
	} {
		if got := bar(read, 100); got != want {
			t.Errorf("%d: %s", read, got)
		}
	}
	// No terminal: silent at first, then a line, and the bytes pass.
	p := newProgress(&app{stderr: io.Discard})
	text, err := io.ReadAll(p.reader(strings.NewReader("bytes")))
	if p.on || err != nil || string(text) != "bytes" {
		t.Errorf("%v %q", err, text)
	}
	var lines strings.Builder
	p = newProgress(&app{stderr: &lines})
	p.read(1, 10)
	p.begun = p.begun.Add(-progressLines)
	p.read(5, 10)
	p.read(6, 10)
	p.end()
	if want := bar(5, 10) + " 5 of 10 records\n"; lines.String() != want {
		t.Errorf("%q, want %q", lines.String(), want)
	}
}
