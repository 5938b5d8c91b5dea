package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var proofBackends = map[string]func(t testing.TB, r *rig) *ProofStore{
	"memory": func(t testing.TB, r *rig) *ProofStore {
		p := NewMemoryProofStore(time.Now, r.hook)
		r.hold = func() *heldSync { return r.holdMemory(t) }
		return p
	},
	"jetstream": func(t testing.TB, r *rig) *ProofStore {
		_, nc := startEmbedded(t, t.TempDir())
		p, err := OpenProofStore(t.Context(), nc, 1)
		if err != nil {
			t.Fatal(err)
		}
		proofs, ok := p.broker.(*jetStreamProofs)
		if !ok {
			t.Fatal("another broker")
		}
		proofs.fault, p.appender.timing = r.hook, fastTiming()
		r.hold = func() *heldSync {
			p.appender.ack = time.Minute
			return holdFiles(t, nc)
		}
		return p
	},
}

func entries(t testing.TB, all iter.Seq2[[]byte, error]) (list []string) {
	t.Helper()
	for entry, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(entry))
	}
	return list
}

// TestProofConformance is the one suite that every proof store passes.
func TestProofConformance(t *testing.T) {
	for backend, open := range proofBackends {
		for name, test := range map[string]func(*testing.T, *ProofStore, *rig){
			"kinds":      testProofKinds,
			"key":        testProofKey,
			"one winner": testProofWinner,
			"outcomes":   testProofOutcomes,
			"refused":    testProofRefused,
			"held sync":  testProofHeldSync,
		} {
			t.Run(backend+"/"+name, func(t *testing.T) {
				r := &rig{}
				test(t, open(t, r), r)
			})
		}
	}
}

// testProofKinds: each kind has its own order and its own newest entry.
func testProofKinds(t *testing.T, p *ProofStore, _ *rig) {
	ctx := t.Context()
	type kind struct {
		latest func() ([]byte, uint64, error)
		add    func(revision uint64, entry []byte) (uint64, error)
		all    func() iter.Seq2[[]byte, error]
	}
	kinds := map[string]kind{"frontier": {
		func() ([]byte, uint64, error) { return p.LatestFrontier(ctx) },
		func(revision uint64, entry []byte) (uint64, error) { return p.AddFrontier(ctx, revision, entry) },
		func() iter.Seq2[[]byte, error] { return p.Frontiers(ctx) },
	}}
	for _, log := range []string{ProofOfEvents, ProofOfAccess} {
		kinds[log] = kind{
			func() ([]byte, uint64, error) { return p.Latest(ctx, log) },
			func(revision uint64, entry []byte) (uint64, error) { return p.Add(ctx, log, revision, entry) },
			func() iter.Seq2[[]byte, error] { return p.Checkpoints(ctx, log) },
		}
	}
	revisions, want := map[string]uint64{}, map[string][]string{}
	for round := range 3 {
		for name, k := range kinds {
			newest, revision, err := k.latest()
			if err != nil || revision != revisions[name] || string(newest) != strings.Join(want[name][max(0, round-1):], "") {
				t.Errorf("%s: %q at %d, %v", name, newest, revision, err)
			}
			entry := fmt.Sprint(name, " ", round)
			if revisions[name], err = k.add(revision, []byte(entry)); err != nil {
				t.Fatal(err)
			}
			want[name] = append(want[name], entry)
			for _, stale := range []uint64{revision, revisions[name] + 1} {
				if _, err := k.add(stale, []byte("another")); !errors.Is(err, ErrConflict) {
					t.Errorf("%s at %d: %v", name, stale, err)
				}
			}
			if again, err := k.add(revision, []byte(entry)); err != nil || again != revisions[name] {
				t.Errorf("%s again: %d, %v", name, again, err)
			}
		}
	}
	for name, k := range kinds {
		if got := entries(t, k.all()); !slices.Equal(got, want[name]) {
			t.Errorf("%s: %q", name, got)
		}
		for _, err := range k.all() { // left at once
			if err != nil {
				t.Error(err)
			}
			break
		}
	}
	if err := p.Verify(ctx); err != nil {
		t.Error(err)
	}
}

func testProofKey(t *testing.T, p *ProofStore, _ *rig) {
	if key, err := p.SigningKey(t.Context()); key != nil || err != nil {
		t.Errorf("%q, %v", key, err)
	}
	for range 2 { // the same again is no conflict
		if err := p.AddSigningKey(t.Context(), []byte("wrapped")); err != nil {
			t.Error(err)
		}
	}
	if err := p.AddSigningKey(t.Context(), []byte("another")); !errors.Is(err, ErrConflict) {
		t.Errorf("another key: %v", err)
	}
	if key, err := p.SigningKey(t.Context()); string(key) != "wrapped" || err != nil {
		t.Errorf("%q, %v", key, err)
	}
}

// testProofWinner: of many signers at one revision one wins (invariant 4).
func testProofWinner(t *testing.T, p *ProofStore, _ *rig) {
	var revision uint64
	for round := range 5 {
		var won atomic.Uint64
		var winners atomic.Int32
		var wg sync.WaitGroup
		for signer := range 8 {
			wg.Go(func() {
				got, err := p.Add(t.Context(), ProofOfAccess, revision, fmt.Appendf(nil, "%d by %d", round, signer))
				switch {
				case err == nil:
					won.Store(got)
					winners.Add(1)
				case !errors.Is(err, ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if revision = won.Load(); winners.Load() != 1 {
			t.Fatalf("%d winners", winners.Load())
		}
	}
	if got := entries(t, p.Checkpoints(t.Context(), ProofOfAccess)); len(got) != 5 {
		t.Errorf("%q", got)
	}
}

// testProofOutcomes: a lost acknowledgement is settled (invariant 3).
func testProofOutcomes(t *testing.T, p *ProofStore, r *rig) {
	var revision uint64
	for _, tt := range []struct {
		name  string
		fault Fault
		want  error
		added bool
	}{
		{"stored, answer lost", func(op Op) (bool, error) { return true, lostFirst(op) }, nil, true},
		{"not stored, answer lost", func(op Op) (bool, error) { return lostFirst(op) == nil, lostFirst(op) }, nil, true},
		{"unavailable", func(Op) (bool, error) { return false, ErrUnavailable }, ErrUnavailable, false},
		{"settling fails", func(Op) (bool, error) { return false, errLost }, ErrUncertain, false},
	} {
		r.inject(tt.fault)
		got, err := p.Add(t.Context(), ProofOfEvents, revision, []byte(tt.name))
		r.inject(nil)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
		newest, now, err := p.Latest(t.Context(), ProofOfEvents)
		if err != nil || (string(newest) == tt.name) != tt.added || tt.added && now != got {
			t.Errorf("%s: %q at %d, %v", tt.name, newest, now, err)
		}
		revision = now
	}
}

func lostFirst(op Op) error {
	if op.Kind == OpAppend && op.Attempt == 1 {
		return errLost
	}
	return nil
}

func testProofRefused(t *testing.T, p *ProofStore, _ *rig) {
	for _, entry := range [][]byte{nil, make([]byte, maxMessageLen+1)} {
		if _, err := p.Add(t.Context(), ProofOfEvents, 0, entry); !errors.Is(err, ErrRefused) {
			t.Errorf("%d bytes: %v", len(entry), err)
		}
	}
	for _, log := range []string{"", "keys", "*", "events.x"} {
		if _, err := p.Add(t.Context(), log, 0, []byte("x")); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", log, err)
		}
		if _, _, err := p.Latest(t.Context(), log); !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %v", log, err)
		}
		for _, err := range p.Checkpoints(t.Context(), log) {
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%q: %v", log, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := p.Add(ctx, ProofOfEvents, 0, []byte("x")); err != nil {
		t.Error(err)
	}
	cancel()
	var last error
	for _, last = range p.Checkpoints(ctx, ProofOfEvents) {
		continue
	}
	if last == nil {
		t.Error("a reading that did not come to its end looks complete")
	}
}

// TestProofVerify: a changed stream is named.
func TestProofVerify(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	p, err := OpenProofStore(t.Context(), nc, 0)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := proofConfig(1)
	config.MaxMsgs = 1
	for i := range uint64(3) {
		if _, err := p.Add(t.Context(), ProofOfEvents, i, []byte("note")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	checkSetting(t, p.Verify(t.Context()), ProofStream, "max_msgs")
	if _, err := js.UpdateStream(t.Context(), proofConfig(1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(t.Context()); !errors.Is(err, ErrCorrupt) || corruption(err).Position != 1 {
		t.Errorf("what is gone: %v", err)
	}
}
