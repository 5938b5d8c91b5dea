package projections

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// TestFold writes random logs and checks, for each, that
//
//   - batches of any size give the same file as one batch (invariant 2);
//   - a copy of the file taken between any two transactions, as kill -9 leaves
//     it, goes on to the same file (invariant 1);
//   - a rebuild gives the same file;
//   - every question is answered as the model answers it (invariants 7, 8);
//   - Check finds nothing.
func TestFold(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "projections-")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(dir)
		w := newWorld(drawn{t})
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			w.step()
		}
		live := mustOpen(t, testOptions(filepath.Join(dir, "live.db")))
		defer live.Close()
		live.confirmed(checkpoint{}, w.log.created)
		crashed := filepath.Join(dir, "crashed.db")
		crashAt := rapid.IntRange(0, len(w.log.events)).Draw(t, "crash")
		for rest := slices.Clone(w.log.events); len(rest) > 0; {
			if done := len(w.log.events) - len(rest); done >= crashAt {
				copyFile(t, live.o.Path, crashed)
				crashAt = len(w.log.events) + 1
			}
			n := rapid.IntRange(1, min(len(rest), 16)).Draw(t, "batch")
			if err := live.apply(rest[:n:n]); err != nil {
				t.Fatalf("applying: %v", err)
			}
			rest = rest[n:]
		}
		if crashAt <= len(w.log.events) {
			copyFile(t, live.o.Path, crashed)
		}
		if err := live.CatchUp(ctx, w.log); err != nil {
			t.Fatalf("catching up: %v", err)
		}
		want := dump(t, live)
		w.verify(t, live)
		w.verifyTree(t, live)
		check(t, live, w.log)

		survivor := mustOpen(t, testOptions(crashed))
		defer survivor.Close()
		if err := survivor.CatchUp(ctx, w.log); err != nil {
			t.Fatalf("catching up after the crash: %v", err)
		}
		if diff := cmp.Diff(want, dump(t, survivor)); diff != "" {
			t.Fatalf("after the crash: %s", diff)
		}
		check(t, survivor, w.log)
		if err := survivor.Rebuild(ctx, w.log); err != nil {
			t.Fatalf("rebuilding: %v", err)
		}
		if diff := cmp.Diff(want, dump(t, survivor)); diff != "" {
			t.Fatalf("after the rebuild: %s", diff)
		}
	})
}

func check(t tb, s *Store, log Source) {
	t.Helper()
	if err := Check(context.Background(), s, log); err != nil {
		t.Fatalf("check: %v", err)
	}
}

// verify compares every answer with the model.
func (w *world) verify(t tb, s *Store) {
	t.Helper()
	fatal := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	equal := func(what string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(domain.SecretStream{})); diff != "" {
			t.Fatalf("%s (-want +got): %s", what, diff)
		}
	}
	equal("position", w.log.head(), s.Position())
	equal("folded time", w.at, s.Now())
	for ref, model := range w.secrets {
		got, err := s.Secret(ref)
		fatal("secret", err)
		equal("secret", *model, got)
		want := withoutValues(model.Clone())
		got, err = s.SecretMetadata(ref)
		fatal("metadata", err)
		equal("metadata", want, got)
		w.verifyAsOf(t, s, ref)
		version, head, err := s.StreamHead(domain.SecretStream{Ref: ref})
		fatal("head", err)
		equal("head", [2]uint64{model.Version, model.Head}, [2]uint64{version, head})
		for i, e := range w.history[ref] {
			got, err := s.Entry(ref, uint64(i)+1)
			fatal("entry", err)
			equal("entry", e, got)
		}
	}
	w.verifyHeads(t, s)
	var living []domain.DekID
	for _, model := range w.secrets {
		for _, f := range model.Fields {
			if !f.DekID.IsZero() {
				living = append(living, f.DekID)
			}
		}
	}
	for _, dek := range living {
		used, err := s.DataKeyUsed(dek)
		fatal("data key", err)
		equal("data key of a current envelope is used", true, used)
	}
	for _, kek := range w.claimed {
		claimed, err := s.KekClaimed(kek)
		fatal("claim", err)
		equal("claimed", true, claimed)
	}
	keks := map[domain.KekID]bool{}
	for kek, err := range s.LivingKeks(context.Background()) {
		fatal("living keys", err)
		keks[kek] = true
	}
	wanted := map[domain.KekID]bool{}
	for _, model := range w.secrets {
		for _, kek := range model.KekIDs {
			wanted[kek] = true
		}
	}
	equal("keys of living secrets", wanted, keks)
	applied, event := s.Applied()
	equal("position", s.Position(), applied)
	if applied > 0 {
		equal("the event there", w.log.events[applied-1].ID, event)
	}
	pending, err := s.PendingDestructions(1000)
	fatal("pending", err)
	equal("pending destructions", w.pending, pending)
	for _, d := range w.pending {
		open, err := s.DestructionPending(d.Ref, d.KekIDs)
		fatal("pending", err)
		equal("pending", true, open)
	}
	for org, d := range w.dirs {
		fatal("directory", s.Directory(org, func(got *domain.Directory) error {
			equal("directory", d, got)
			return nil
		}))
	}
}

// verifyHeads holds, for every stream, what the next append must expect and
// which version it gets, counted on the log itself.
func (w *world) verifyHeads(t tb, s *Store) {
	t.Helper()
	type head struct{ version, position uint64 }
	heads := map[domain.Stream]head{}
	for _, r := range w.log.events {
		h := head{heads[r.Stream].version, r.Position}
		if r.Event != nil {
			h.version++
		}
		heads[r.Stream] = h
	}
	delete(heads, nil)
	for stream, want := range heads {
		version, position, err := s.StreamHead(stream)
		if got := (head{version, position}); err != nil || got != want {
			t.Fatalf("%s: head %+v instead of %+v, %v", stream.Subject(), got, want, err)
		}
	}
}

func withoutValues(s domain.Secret) domain.Secret {
	for i := range s.Fields {
		s.Fields[i].Value = nil
	}
	return s
}

// verifyAsOf holds invariant 8 for every version and the moments around every
// event.
func (w *world) verifyAsOf(t tb, s *Store, ref domain.SecretRef) {
	t.Helper()
	state := domain.Secret{Ref: ref}
	entries := w.history[ref]
	for i, e := range entries {
		state.Replay(e)
		got, ok, err := s.SecretAtVersion(ref, e.Version)
		if diff := cmp.Diff(state, got, cmpopts.EquateEmpty()); err != nil || ok != state.Exists || diff != "" {
			t.Fatalf("at version %d: %v %v %s", e.Version, ok, err, diff)
		}
		if i+1 < len(entries) && entries[i+1].At.Equal(e.At) {
			continue
		}
		moments := []time.Time{e.At}
		if i+1 < len(entries) {
			moments = append(moments, entries[i+1].At.Add(-time.Millisecond))
		} else {
			moments = append(moments, e.At.Add(time.Hour))
		}
		for _, at := range moments {
			got, ok, err := s.SecretAtTime(ref, at)
			if diff := cmp.Diff(state, got, cmpopts.EquateEmpty()); err != nil || ok != state.Exists || diff != "" {
				t.Fatalf("at %v: %v %v %s", at, ok, err, diff)
			}
		}
	}
	if _, ok, err := s.SecretAtVersion(ref, state.Version+1); ok || err != nil {
		t.Fatalf("a version to come: %v %v", ok, err)
	}
	if len(entries) > 0 {
		if _, ok, err := s.SecretAtTime(ref, entries[0].At.Add(-time.Millisecond)); ok || err != nil {
			t.Fatalf("before the first event: %v %v", ok, err)
		}
	}
}

// A field_set writes one value and leaves the others where they are.
func TestFieldSetLeavesOtherValues(t *testing.T) {
	w, ref := plain()
	s := caughtUp(t, w.log)
	before := dump(t, s)
	w.change(ref, domain.SetField{Field: w.sealed("plain")})
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	var written []string
	for key, row := range dump(t, s) {
		if strings.HasPrefix(key, "values ") && before[key] != row {
			written = append(written, key)
		}
	}
	if len(written) != 1 || !strings.HasSuffix(written[0], `\x00plain"`) {
		t.Errorf("wrote %q", written)
	}
}

// No plaintext reaches the file.
func TestPlaintextIsRefused(t *testing.T) {
	w, ref := plain()
	s := caughtUp(t, w.log)
	secret := *w.secret(ref)
	err := s.apply([]domain.Recorded{{
		Stream: domain.SecretStream{Ref: ref}, Position: s.Position() + 1, Version: secret.Version + 1, Time: w.now,
		Event: domain.FieldSet{Field: domain.Field{Key: "plain", Value: domain.NewPlaintext("canary")}},
	}})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}
