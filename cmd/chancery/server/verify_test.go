package server

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
	"github.com/chancery-dev/chancery/proof"
)

// TestVerifySound: what an orderly stop leaves is proved to the last position,
// and again, as verifying changes nothing of ours.
func TestVerifySound(t *testing.T) {
	cfg := signedData(t)
	before := mustRead(t, cfg.path(stateFile))
	for range 2 {
		report, err := Verify(t.Context(), cfg, nil)
		mustDo(t, err)
		if len(report.Logs) != 2 {
			t.Fatalf("%+v", report)
		}
		for _, l := range report.Logs {
			if l.Head == 0 || l.Size != l.Head || l.Uncovered != 0 || l.Checkpoints < 3 || l.Root == "" {
				t.Errorf("%+v", l)
			}
		}
		if report.Logs[0].Tiles == 0 || report.Logs[0].Head != 19 {
			t.Errorf("%+v", report.Logs[0])
		}
	}
	if !bytes.Equal(before, mustRead(t, cfg.path(stateFile))) {
		t.Error("verifying changed the projection")
	}
}

// TestVerifyMakesNothing: a mistyped directory, one without a log and one whose
// streams are gone stay as they are.
func TestVerifyMakesNothing(t *testing.T) {
	cfg := testConfig(t)
	if _, err := Verify(t.Context(), cfg, nil); err == nil {
		t.Error("no directory: no error")
	}
	if there := entries(t, filepath.Dir(cfg.Data)); len(there) != 0 {
		t.Errorf("no directory: made %v", there)
	}
	mustDo(t, os.MkdirAll(cfg.Data, 0o700))
	if _, err := Verify(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "no log") {
		t.Errorf("no log: %v", err)
	}
	if there := entries(t, cfg.Data); len(there) != 0 {
		t.Errorf("no log: made %v", there)
	}
	cfg = signedData(t)
	for stream := range provedStreams() {
		name := cfg.path("jetstream/jetstream/$G/streams/" + stream)
		mustDo(t, os.RemoveAll(name))
		if _, err := Verify(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), stream) {
			t.Errorf("without %s: %v", stream, err)
		}
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s was made", stream)
		}
	}
}

// TestVerifyUncovered: what came after the newest checkpoint is counted, and
// is no fault.
func TestVerifyUncovered(t *testing.T) {
	cfg := signedData(t)
	openAndLook(t, cfg, func(s *store) {
		org, err := s.rootOrganization()
		mustDo(t, err)
		makeTeams(t, s, org, 2)
	})
	report, err := Verify(t.Context(), cfg, nil)
	mustDo(t, err)
	if l := report.Logs[0]; l.Uncovered != 2 || l.Size != 19 || l.Head != 21 {
		t.Errorf("%+v", l)
	}
}

// TestVerifyPinned: the pinned key must be the log's, and either log's will do.
func TestVerifyPinned(t *testing.T) {
	cfg := signedData(t)
	report, err := Verify(t.Context(), cfg, nil)
	mustDo(t, err)
	for _, text := range report.Keys {
		key, err := proof.ParseLogKey(text)
		mustDo(t, err)
		if report, err := Verify(t.Context(), cfg, &key); err != nil || !report.Pinned {
			t.Errorf("%+v, %v", report, err)
		}
	}
	other, err := Verify(t.Context(), signedData(t), nil)
	mustDo(t, err)
	key, err := proof.ParseLogKey(other.Keys[0])
	mustDo(t, err)
	if _, err := Verify(t.Context(), cfg, &key); err == nil || !strings.Contains(err.Error(), "pinned") {
		t.Errorf("another server's key: %v", err)
	}
}

// TestVerifyTampered: what is done to the streams is found, and the first wrong
// position named, with the projection's tiles at hand and without them.
func TestVerifyTampered(t *testing.T) {
	sound := signedData(t)
	for _, tc := range []struct {
		name   string
		want   uint64 // the first wrong position with tiles
		log    string
		tamper func(t *testing.T, cfg Config)
	}{
		{"the newest events are cut off", 17, proof.LogEvents, func(t *testing.T, cfg Config) {
			remake(t, cfg, eventstore.EventsStream, func(m []*nats.Msg) []*nats.Msg { return m[:16] })
		}},
		{"the newest event is cut off in the file", 19, proof.LogEvents, func(t *testing.T, cfg Config) {
			cutLast(t, cfg, eventstore.EventsStream)
		}},
		{"emptied by a change of configuration", 1, proof.LogEvents, func(t *testing.T, cfg Config) {
			shrink(t, cfg, eventstore.EventsStream)
		}},
		{"the stream is deleted", 1, proof.LogEvents, func(t *testing.T, cfg Config) {
			rawStream(t, cfg, func(ctx context.Context, js jetstream.JetStream) {
				mustDo(t, js.DeleteStream(ctx, eventstore.EventsStream))
			})
		}},
		{"the stream is deleted and remade empty", 1, proof.LogEvents, func(t *testing.T, cfg Config) {
			remake(t, cfg, eventstore.EventsStream, func([]*nats.Msg) []*nats.Msg { return nil })
		}},
		{"two events are swapped", 7, proof.LogEvents, func(t *testing.T, cfg Config) {
			remake(t, cfg, eventstore.EventsStream, func(m []*nats.Msg) []*nats.Msg {
				m[6], m[11] = m[11], m[6]
				return m
			})
		}},
		{"a record is edited", 9, proof.LogEvents, func(t *testing.T, cfg Config) {
			remake(t, cfg, eventstore.EventsStream, func(m []*nats.Msg) []*nats.Msg {
				h := m[8].Header
				h[eventstore.RecordHeader][0] = strings.Replace(h[eventstore.RecordHeader][0], "Team 4", "Team 5", 1)
				return m
			})
		}},
		{"another server's events", 1, proof.LogEvents, func(t *testing.T, cfg Config) {
			other := signedData(t)
			name := "jetstream/jetstream/$G/streams/" + eventstore.EventsStream
			mustDo(t, os.RemoveAll(cfg.path(name)))
			mustDo(t, os.CopyFS(cfg.path(name), os.DirFS(other.path(name))))
		}},
		{"access messages are cut off", 0, proof.LogAccess, func(t *testing.T, cfg Config) {
			remake(t, cfg, eventstore.AccessStream, func(m []*nats.Msg) []*nats.Msg { return m[:len(m)-1] })
		}},
		{"two access messages are swapped", 0, proof.LogAccess, func(t *testing.T, cfg Config) {
			remake(t, cfg, eventstore.AccessStream, func(m []*nats.Msg) []*nats.Msg {
				m[0], m[1] = m[1], m[0]
				return m
			})
		}},
		{"the first access messages are gone", 1, proof.LogAccess, func(t *testing.T, cfg Config) {
			shrink(t, cfg, eventstore.AccessStream)
		}},
		{"the proofs are gone", 1, "proof", func(t *testing.T, cfg Config) {
			shrink(t, cfg, eventstore.ProofStream)
		}},
		{"the newest proof is cut off in the file", 0, "", func(t *testing.T, cfg Config) {
			cutLast(t, cfg, eventstore.ProofStream)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := copyData(t, sound)
			tc.tamper(t, cfg)
			if _, err := Export(t.Context(), cfg, t.TempDir(), nil); err == nil && tc.log != "" {
				t.Error("exported all the same")
			}
			for _, tiles := range []bool{true, false} {
				if !tiles {
					mustDo(t, os.Remove(cfg.path(stateFile)))
				}
				report, err := Verify(t.Context(), cfg, nil)
				if err == nil && tc.log == "" {
					// A proof less is no fault of the logs: it shows as what is not covered.
					if report.Logs[0].Uncovered+report.Logs[1].Uncovered == 0 {
						t.Errorf("accepted: %+v", report)
					}
					continue
				}
				fault, ok := errors.AsType[*proof.Fault](err)
				if !ok {
					t.Fatalf("tiles %t: %+v, %v", tiles, report, err)
				}
				if tc.log != "" && fault.Log != tc.log || tc.want > 0 && tiles && fault.Position != tc.want ||
					tc.want > 0 && !tiles && (fault.Position > tc.want || fault.Through < tc.want) {
					t.Errorf("tiles %t: %v; want position %d", tiles, err, tc.want)
				}
			}
		})
	}
}

// shrink lets a stream hold one message, and then as many as before.
func shrink(t *testing.T, cfg Config, stream string) {
	t.Helper()
	rawStream(t, cfg, func(ctx context.Context, js jetstream.JetStream) {
		s, err := js.Stream(ctx, stream)
		mustDo(t, err)
		c := s.CachedInfo().Config
		c.MaxMsgs = 1
		_, err = js.UpdateStream(ctx, c)
		mustDo(t, err)
		c.MaxMsgs = -1
		_, err = js.UpdateStream(ctx, c)
		mustDo(t, err)
	})
}

// cutLast cuts the newest message off a stream's last block, at its exact
// beginning. A block is a row of messages, each with its length in four bytes,
// the topmost bit apart.
func cutLast(t *testing.T, cfg Config, stream string) {
	t.Helper()
	files := blocks(t, cfg, stream)
	name := files[len(files)-1]
	content := mustRead(t, name)
	last := 0
	for at := 0; at < len(content); {
		last = at
		at += int(uint32(content[at]) | uint32(content[at+1])<<8 | uint32(content[at+2])<<16 | uint32(content[at+3]&0x7f)<<24)
	}
	mustDo(t, os.WriteFile(name, content[:last], 0o600))
	_ = os.Remove(filepath.Join(filepath.Dir(name), "index.db")) // as the log's server does itself when it doubts it
}

// TestVerifyFlippedBytes: no byte of a message block can change unseen. What
// the checksums do not cover, the leaves do.
func TestVerifyFlippedBytes(t *testing.T) {
	sound := signedData(t)
	for stream, rules := range eventstore.LogFiles(nil) {
		t.Run(stream, func(t *testing.T) {
			cfg := copyData(t, sound)
			name := blocks(t, cfg, stream)[0]
			content := mustRead(t, name)
			for at := range content {
				content[at] ^= 1 << (at % 8)
				mustDo(t, os.WriteFile(name, content, 0o600))
				in, err := natsfile.Inspect(cfg.path(logDirectory), map[string]natsfile.Rules{stream: rules})
				mustDo(t, err)
				if len(in.Findings) == 0 {
					whole := copyData(t, cfg)
					if report, err := Verify(t.Context(), whole, nil); err == nil {
						t.Errorf("byte %d of %d: accepted: %+v", at, len(content), report)
					}
				}
				content[at] ^= 1 << (at % 8)
			}
			// A finding is reported before anything is touched.
			content[len(content)/2] ^= 1
			mustDo(t, os.WriteFile(name, content, 0o600))
			_, err := Verify(t.Context(), cfg, nil)
			if fault, ok := errors.AsType[*proof.Fault](err); !ok || fault.Position == 0 {
				t.Errorf("%v; want a position", err)
			}
			if !bytes.Equal(content, mustRead(t, name)) {
				t.Error("verifying changed the block")
			}
		})
	}
}
