package reports

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestCloudEventsAreValid has the public SDK read and validate every line, and
// verifies that no two share source and id.
func TestCloudEventsAreValid(t *testing.T) {
	source := scenario(t)
	for _, name := range []string{"changes", "accesses", "denials", "admin-actions", "audit-readers"} {
		text, m := run(t, source, domain.ReportQuery{Name: name, Format: "cloudevents"})
		ids := map[string]bool{}
		for line := range strings.Lines(text) {
			var e event.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, line)
			}
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, line)
			}
			if ids[e.ID()] || e.Source() != "chancery" || e.Time().IsZero() {
				t.Errorf("%s: %s", name, line)
			}
			ids[e.ID()] = true
		}
		if uint64(len(ids)) != m.Rows || m.Rows == 0 {
			t.Errorf("%s: %d events of %d rows", name, len(ids), m.Rows)
		}
	}
}

// TestCloudEventsAreTheRecords verifies that a row of an event is the leaf of
// the log's tree, byte for byte (invariant 10).
func TestCloudEventsAreTheRecords(t *testing.T) {
	source := scenario(t)
	text, _ := run(t, source, domain.ReportQuery{Name: "changes", Format: "cloudevents"})
	lines := strings.Split(text, "\n")
	for r, err := range source.Events.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if got := lines[r.Position-1]; got != string(r.Raw) || got == "" {
			t.Errorf("position %d is\n%s\nwant\n%s", r.Position, got, r.Raw)
		}
	}
}

// TestAccessDataIsTheRecord verifies that the data of an access's CloudEvent is
// its record as it lies in the access log, over the log's own frozen records:
// byte for byte, but for the line separators that encoding/json escapes.
func TestAccessDataIsTheRecord(t *testing.T) {
	files, err := filepath.Glob("../eventstore/testdata/access/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	log := eventstore.NewMemoryAccessLog(func() time.Time { return start }, nil)
	var want []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSpace(string(text))
		if _, err := log.Append(t.Context(), []byte(line+"\n"), nil); err != nil {
			t.Fatal(err)
		}
		want = append(want, line)
	}
	for m, err := range log.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		got, err := marshal(cloudEventOf(domain.AccessEntry{Access: m.Records[0]}).Data)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ReplaceAll(string(got), `\u2028`, "\u2028") != want[m.Position-1] {
			t.Errorf("%s\n got %s\nwant %s", files[m.Position-1], got, want[m.Position-1])
		}
	}
}
