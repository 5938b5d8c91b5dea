package proof_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/proof"
)

func TestSignerSignsTheWholeTree(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0)
	s := newSigner(t, store, l)
	for _, step := range []struct {
		more int
		want uint64
	}{{0, 0}, {7, 7}, {0, 7}, {3, 10}} {
		c, err := s.SignNow(t.Context(), proof.LogEvents)
		if before := step.want - uint64(step.more); err != nil || c.Size != before {
			t.Fatalf("size %d instead of %d, error %v", c.Size, before, err)
		}
		l.add(t, step.more)
		if c, err = s.SignNow(t.Context(), proof.LogEvents); err != nil || c.Size != step.want {
			t.Fatalf("size %d instead of %d, error %v", c.Size, step.want, err)
		}
	}
	if n := len(checkChain(t, store, l)); n != 2 {
		t.Fatalf("%d checkpoints", n)
	}
	if _, err := s.SignNow(t.Context(), "other"); err == nil {
		t.Fatal("a log that it does not have")
	}
}

func TestSignerRefuses(t *testing.T) {
	type world struct {
		store *noteStore
		l     *treeLog
		cfg   func(*proof.SignerConfig)
	}
	for name, c := range map[string]struct {
		want   error
		change func(w *world)
	}{
		"another log":    {proof.ErrFork, func(w *world) { w.l = newTreeLog(1).add(t, 20) }},
		"a shorter log":  {proof.ErrBehind, func(w *world) { w.l = newTreeLog(0).add(t, 9) }},
		"an emptied log": {proof.ErrBehind, func(w *world) { w.l = newTreeLog(0) }},
		"another key":    {proof.ErrCheckpoint, func(w *world) { w.cfg = func(c *proof.SignerConfig) { c.Key = signingKey(t, 2) } }},
		"another server": {proof.ErrCheckpoint, func(w *world) { w.cfg = func(c *proof.SignerConfig) { c.Organization = "org_2" } }},
		"a changed note": {proof.ErrCheckpoint, func(w *world) { w.store.notes[proof.LogEvents][0][len(testOrigin)+1] ^= 1 }},
		"a wrong clock": {proof.ErrClock, func(w *world) {
			w.cfg = func(c *proof.SignerConfig) { c.Now = func() time.Time { return testTime.Add(-2 * time.Minute) } }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{store: newNoteStore(), l: newTreeLog(0).add(t, 10), cfg: func(*proof.SignerConfig) {}}
			if _, err := newSigner(t, w.store, w.l).SignNow(t.Context(), proof.LogEvents); err != nil {
				t.Fatal(err)
			}
			w.l.add(t, 5)
			c.change(w)
			s := newSigner(t, w.store, w.l, w.cfg)
			if _, err := s.SignNow(t.Context(), proof.LogEvents); !errors.Is(err, c.want) {
				t.Fatalf("signed, or refused for another reason: %v", err)
			}
			if !errors.Is(s.Problem(), c.want) || len(w.store.all(proof.LogEvents)) != 1 {
				t.Fatalf("problem %v, %d notes", s.Problem(), len(w.store.all(proof.LogEvents)))
			}
		})
	}
}

func TestSignerRefusesWhatOnlyItsTilesSay(t *testing.T) {
	store, tiles := newNoteStore(), tileMap{}
	tree := &proof.Tree{Tiles: tiles}
	view := func(c *proof.SignerConfig) {
		c.Logs = []proof.Log{{Name: proof.LogEvents, View: func(f func(*proof.Tree) error) error { return f(tree) }}}
	}
	s := newSigner(t, store, nil, view)
	if err := tree.Append(leafHashes(0, 300)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignNow(t.Context(), proof.LogEvents); err != nil {
		t.Fatal(err)
	}
	// The root over the first full tile changes; its leaves do not.
	tiles[tileAt{1, 0}][3] ^= 1
	if _, err := s.SignNow(t.Context(), proof.LogEvents); !errors.Is(err, proof.ErrFork) {
		t.Fatal(err)
	}
}

func TestSignerHeals(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0).add(t, 10)
	if _, err := newSigner(t, store, l).SignNow(t.Context(), proof.LogEvents); err != nil {
		t.Fatal(err)
	}
	late := newTreeLog(0).add(t, 4)
	s := newSigner(t, store, late)
	if _, err := s.SignNow(t.Context(), proof.LogEvents); !errors.Is(err, proof.ErrBehind) {
		t.Fatal(err)
	}
	late.add(t, 8)
	if c, err := s.SignNow(t.Context(), proof.LogEvents); err != nil || c.Size != 12 || s.Problem() != nil {
		t.Fatalf("size %d, error %v, problem %v", c.Size, err, s.Problem())
	}
}

func TestSignerMissesALostCheckpoint(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0)
	s := newSigner(t, store, l)
	for range 3 {
		l.add(t, 1)
		if _, err := s.SignNow(t.Context(), proof.LogEvents); err != nil {
			t.Fatal(err)
		}
	}
	store.drop(proof.LogEvents, 1)
	if _, err := s.SignNow(t.Context(), proof.LogEvents); !errors.Is(err, proof.ErrRolledBack) {
		t.Fatal(err)
	}
}

// Clocks of nodes differ; the times of checkpoints never go back for it.
func TestSignerKeepsTimesInOrder(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0)
	for _, skew := range []time.Duration{0, -30 * time.Second, 5 * time.Second, -time.Second} {
		s := newSigner(t, store, l, func(c *proof.SignerConfig) { c.Now = func() time.Time { return testTime.Add(skew) } })
		l.add(t, 1)
		if _, err := s.SignNow(t.Context(), proof.LogEvents); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(checkChain(t, store, l)); n != 4 {
		t.Fatalf("%d checkpoints", n)
	}
}

// Each Add may fail with or without having been applied. What a caller is told
// to be signed is stored, and nothing is stored twice.
func TestSignerSurvivesAFailingStore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store, l := newNoteStore(), newTreeLog(0)
		store.fault = func(string) (bool, error) {
			switch rapid.IntRange(0, 2).Draw(rt, "fault") {
			case 0:
				return false, errFault
			case 1:
				return true, errFault
			default:
				return true, nil
			}
		}
		s := newSigner(t, store, l)
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			l.add(t, rapid.IntRange(0, 3).Draw(rt, "more"))
			c, err := s.SignNow(t.Context(), proof.LogEvents)
			if err != nil {
				if !errors.Is(err, errFault) {
					rt.Fatal(err)
				}
				continue
			}
			newest, _, _ := store.Latest(t.Context(), proof.LogEvents)
			if c.Size != l.tree.Size || !bytes.Equal(newest, c.Note) {
				rt.Fatalf("told of size %d of %d, which is not what is stored", c.Size, l.tree.Size)
			}
		}
		chain := checkChain(t, store, l)
		for i := range chain {
			if i > 0 && chain[i].Size == chain[i-1].Size {
				rt.Fatalf("size %d is stored twice", chain[i].Size)
			}
		}
	})
}

// Signers of nodes that race over one store extend one chain, also when one
// of them has another log: that one never gets a signature in.
func TestSignersNeverFork(t *testing.T) {
	for name, salt := range map[string]byte{"one log": 0, "two logs": 1} {
		t.Run(name, func(t *testing.T) {
			const leaves = 100
			store, good, other := newNoteStore(), newTreeLog(0).add(t, 1), newTreeLog(salt)
			first := newSigner(t, store, good)
			if _, err := first.SignNow(t.Context(), proof.LogEvents); err != nil {
				t.Fatal(err)
			}
			var nodes sync.WaitGroup
			run := func(s *proof.Signer, l *treeLog, refused bool) {
				for range leaves {
					l.add(t, 1)
					_, err := s.SignNow(t.Context(), proof.LogEvents)
					switch {
					case refused && !errors.Is(err, proof.ErrFork) && !errors.Is(err, proof.ErrBehind):
						t.Errorf("another log was signed: %v", err)
					case !refused && err != nil && !errors.Is(err, errConflict) && !errors.Is(err, proof.ErrBehind):
						t.Error(err)
					}
				}
			}
			nodes.Go(func() { run(first, good, false) })
			nodes.Go(func() { run(newSigner(t, store, good), good, false) })
			nodes.Go(func() { run(newSigner(t, store, other), other, salt != 0) })
			nodes.Wait()
			if chain := checkChain(t, store, good); len(chain) < 2 {
				t.Fatalf("%d checkpoints", len(chain))
			}
		})
	}
}

// The first signature is a race too: whoever wins, the other log is refused.
func TestSignersOfTwoLogsNeverBothBegin(t *testing.T) {
	for range 50 {
		store := newNoteStore()
		logs := []*treeLog{newTreeLog(0).add(t, 3), newTreeLog(1).add(t, 3)}
		errs := make([]error, 2)
		var nodes sync.WaitGroup
		for i, l := range logs {
			s := newSigner(t, store, l)
			nodes.Go(func() { _, errs[i] = s.SignNow(t.Context(), proof.LogEvents) })
		}
		nodes.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || len(store.all(proof.LogEvents)) != 1 {
			t.Fatalf("%v and %v, %d notes", errs[0], errs[1], len(store.all(proof.LogEvents)))
		}
	}
}

// runSigner runs it in a bubble whose time is the test's.
func runSigner(t *testing.T, store *noteStore, l *treeLog, nodes int, do func(s *proof.Signer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		signers := make([]*proof.Signer, nodes)
		for i := range signers {
			s := newSigner(t, store, l, func(c *proof.SignerConfig) { c.Now = time.Now })
			running.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			signers[i] = s
		}
		do(signers[0])
		cancel()
		running.Wait()
	})
}

// What the tree has is durable, so nothing waits: the first signature comes at
// once and covers all of it, the next one at the next interval.
func TestSignerSignsAtOnce(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0).add(t, 5)
	runSigner(t, store, l, 1, func(*proof.Signer) {
		synctest.Wait()
		if chain := checkChain(t, store, l); len(chain) != 1 || chain[0].Size != 5 {
			t.Fatalf("%+v", chain)
		}
		l.add(t, 5)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if chain := checkChain(t, store, l); len(chain) != 2 || chain[1].Size != 10 {
			t.Fatalf("%+v", chain)
		}
	})
}

// An hour in which nothing happens is attested, every ten minutes; one in
// which much happens, every ten seconds, however many nodes there are.
func TestSignerSignsAtIntervals(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		store, l := newNoteStore(), newTreeLog(0).add(t, 5)
		runSigner(t, store, l, nodes, func(*proof.Signer) {
			time.Sleep(time.Hour + 5*time.Second)
			idle := len(checkChain(t, store, l))
			if idle != 7 {
				t.Errorf("%d nodes: %d checkpoints in an idle hour", nodes, idle)
			}
			for range 60 {
				l.add(t, 1)
				time.Sleep(10 * time.Second)
			}
			if busy := len(checkChain(t, store, l)) - idle; busy < 55 || busy > 61 {
				t.Errorf("%d nodes: %d checkpoints in ten busy minutes", nodes, busy)
			}
		})
	}
}

func TestSignerTellsItsProblem(t *testing.T) {
	store, l := newNoteStore(), newTreeLog(0).add(t, 5)
	// The time of a bubble begins with the year 2000.
	old := func(c *proof.SignerConfig) { c.Now = func() time.Time { return time.Unix(900_000_000, 0) } }
	if _, err := newSigner(t, store, newTreeLog(0).add(t, 8), old).SignNow(t.Context(), proof.LogEvents); err != nil {
		t.Fatal(err)
	}
	runSigner(t, store, l, 1, func(s *proof.Signer) {
		time.Sleep(time.Minute)
		if !errors.Is(s.Problem(), proof.ErrBehind) {
			t.Errorf("problem: %v", s.Problem())
		}
		l.add(t, 5)
		time.Sleep(time.Minute)
		if s.Problem() != nil {
			t.Errorf("problem: %v", s.Problem())
		}
	})
}
