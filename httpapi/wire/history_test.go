package wire_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/httpapi/wire"
)

// TestHistoryRow verifies that a row is one of its two kinds, that its JSON is
// that one's own, and that a plain entry has no member more than before.
func TestHistoryRow(t *testing.T) {
	zero := uint64(0)
	for _, row := range []wire.HistoryRow{
		{Event: &wire.HistoryEntry{Kind: wire.KindEvent, Position: 7, Leaf: []byte("{}"), Index: &zero, Proof: "p"}},
		{Access: &wire.AccessRecord{Kind: wire.KindAccess, ID: "1.0", Position: 1, Actor: &wire.Actor{ID: "a"}, Outcome: "denied", Count: 3}},
	} {
		text, err := json.Marshal([]wire.HistoryRow{row})
		if err != nil {
			t.Fatal(err)
		}
		var again []wire.HistoryRow
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]wire.HistoryRow{row}, again); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	var row wire.HistoryRow
	for _, bad := range []string{`[]`, `{"kind":1}`, `{"kind":"access","position":"x"}`} {
		if json.Unmarshal([]byte(bad), &row) == nil {
			t.Errorf("%s is read", bad)
		}
	}
	text, err := json.Marshal(wire.HistoryEntry{})
	want := `{"position":0,"eventId":"","type":"","time":"0001-01-01T00:00:00.000Z","actor":{"kind":"","id":"","name":"","keyId":""},"version":0,"requestId":"","clientIp":""}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
}
