package eventstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chancery-dev/chancery/domain"
)

// everyType is a copy of the catalogue on purpose: a type that is renamed or
// removed there fails here.
var everyType = []domain.EventType{
	"agent.archived", "agent.registered", "agent.renamed", "agent.restored", "apikey.issued", "apikey.revoked",
	"key.destroyed", "membership.granted", "membership.revoked", "org.archived", "org.created", "org.renamed",
	"org.restored", "project.archived", "project.created", "project.renamed", "project.restored", "secret.created",
	"secret.deleted", "secret.field_removed", "secret.field_set", "secret.reclassified", "secret.renamed",
	"secret.scheduled",
	"team.archived", "team.created", "team.renamed", "team.restored",
}

// TestGolden holds invariant 2 for ever: the stored bytes of every event type
// are those of the golden files, in both directions. Nothing rewrites them.
func TestGolden(t *testing.T) {
	covered := map[domain.EventType]bool{}
	for name, s := range samples() {
		covered[s.p.Event.Type()] = true
		t.Run(name, func(t *testing.T) {
			m, err := encode(s.stream, s.p)
			if err != nil {
				t.Fatal(err)
			}
			wantRecord, wantBody := golden(t, name)
			if diff := cmp.Diff(wantRecord, string(m.record)); diff != "" {
				t.Errorf("record:\n%s\n%s", diff, m.record)
			}
			if diff := cmp.Diff(hex.Dump(wantBody), hex.Dump(m.body)); diff != "" {
				t.Errorf("body:\n%s\n%x", diff, m.body)
			}
			got, err := decode(stored{
				subject: domain.SubjectPrefix + s.stream.Subject(), position: 7,
				headers: map[string][]string{RecordHeader: {wantRecord}}, data: wantBody,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := domain.Recorded{
				ID: s.p.ID, Stream: s.stream, Position: 7, Version: s.p.Version, Time: s.p.Time, Actor: s.p.Actor,
				Origin: s.p.Origin, Event: s.p.Event, Raw: []byte(wantRecord), BodyHash: sha256.Sum256(wantBody),
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decoded:\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff(everyType, slices.Sorted(maps.Keys(covered))); diff != "" {
		t.Errorf("event types with a golden file:\n%s", diff)
	}
}

// TestGoldenIsCloudEvent reads the golden records with a general JSON reader:
// our own writer and reader could agree on something that is no JSON.
func TestGoldenIsCloudEvent(t *testing.T) {
	for name, s := range samples() {
		raw, _ := golden(t, name)
		var got struct {
			SpecVersion, ID, Source, Type, Subject, Time, DataContentType string
			Data                                                          struct {
				V         int
				Org       string
				Version   uint64
				Actor     struct{ Kind, ID, KeyID string }
				RequestID string
				Reason    string
				RunID     string
				BodyHash  string
			}
		}
		dec := json.NewDecoder(strings.NewReader(raw))
		if err := dec.Decode(&got); err != nil || dec.More() {
			t.Errorf("%s: %v", name, err)
		}
		if got.SpecVersion != "1.0" || got.ID != s.p.ID.String() || got.Source != "chancery" ||
			got.Type != string(s.p.Event.Type()) || got.Subject != s.stream.Subject() ||
			got.Time != "2026-11-23T08:09:10.045Z" || got.DataContentType != "application/json" ||
			got.Data.V != 1 || got.Data.Org != string(sampleOrg) || got.Data.Version != s.p.Version ||
			got.Data.Actor.ID != s.p.Actor.ID || got.Data.Actor.KeyID != string(s.p.Actor.KeyID) ||
			got.Data.Reason != s.p.Origin.Reason || got.Data.RunID != s.p.Origin.RunID || len(got.Data.BodyHash) != 64 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// golden reads a record, byte for byte, and a body, in hexadecimal digits.
func golden(t *testing.T, name string) (record string, body []byte) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "golden", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	digits, err := os.ReadFile(filepath.Join("testdata", "golden", name+".body"))
	if err != nil {
		t.Fatal(err)
	}
	body, err = hex.DecodeString(strings.Join(strings.Fields(string(digits)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), body
}
