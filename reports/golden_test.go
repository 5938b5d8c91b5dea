package reports

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden verifies every report over the scenario against its file, byte for
// byte, that a second run gives the same bytes, and that neither a value nor
// the hash or lookup id of a key shows (invariants 1, 2).
func TestGolden(t *testing.T) {
	source, again := scenario(t), scenario(t)
	for _, name := range Names() {
		for _, format := range Formats() {
			if !written(name.Name, format) {
				continue
			}
			t.Run(name.Name+"."+format.Extension(), func(t *testing.T) {
				q := domain.ReportQuery{Name: name.Name, Format: format.Name()}
				got, _ := run(t, source, q)
				if second, _ := run(t, again, q); second != got {
					t.Error("a second log with the same events gives other bytes")
				}
				for _, secret := range []string{hidden, "abcDEF01234", "sixteen-tag"} {
					if strings.Contains(got, secret) {
						t.Errorf("the report shows %q", secret)
					}
				}
				if format.Name() == "csv" && name.Name != "changes" {
					return // jsonl shows the same cells
				}
				if format.Name() == "table" && name.Name != "access-matrix" {
					return
				}
				if format.Name() == "html" && name.Name != "accesses" {
					return
				}
				file := filepath.Join("testdata", name.Name+"."+format.Extension())
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("-golden +got:\n%s", diff)
				}
			})
		}
	}
}

// written says whether a report can be written in a format.
func written(name string, f Format) bool {
	for _, r := range catalog() {
		if r.name == name {
			return takes(f, r.records)
		}
	}
	return false
}

// TestScenarioIsWhole verifies that the scenario has an event of every type.
func TestScenarioIsWhole(t *testing.T) {
	types := map[domain.EventType]bool{}
	for r, err := range scenario(t).Events.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		types[r.Event.Type()] = true
	}
	if len(types) != 28 {
		t.Errorf("%d types: %v", len(types), types)
	}
}
