package accesslog

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// TestRetention holds invariant 8: messages and whole runs go, the tree stays.
func TestRetention(t *testing.T) {
	l := filled(3000, 1)
	s := caughtUp(t, l, nil)
	start(t, s, l)
	for _, first := range []uint64{2, 1026, 2525, 3001} {
		l.expire(first)
		eventually(t, "dropped", func() bool { return s.state.Load().mark.first == first })
		mustCheck(t, s, l)
		want := naive(l, domain.AccessQuery{Target: "org_a", Ascending: true})
		if got := all(t, s); len(got) != len(want) {
			t.Errorf("%d records from position %d on instead of %d", len(got), first, len(want))
		}
		eventually(t, "what expired is gone from the file", func() bool { // some at a time
			runs, messages := 0, 0
			if err := s.db.View(func(tx *bbolt.Tx) error {
				runs, messages = tx.Bucket([]byte(tableHeaders)).Stats().KeyN, tx.Bucket([]byte(tableMessages)).Stats().KeyN
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return runs == int(3000-(first-1)/50*50)/50 && messages == int(3001-first)
		})
		if err := s.Tree(func(tree *proof.Tree) error {
			if _, err := tree.Inclusion(0, 3000); err != nil {
				return err
			}
			return sameRoot(tree, l)
		}); err != nil {
			t.Error(err)
		}
	}
	l.append(sample(1))
	waitFor(t, s, 3001)
	mustCheck(t, s, l)
}

// A file that is begun on a log whose first messages have expired goes on with
// the tree of a checkpoint; without one it refuses.
func TestResume(t *testing.T) {
	for name, first := range map[string]uint64{"some": 290, "all": 601, "one": 2} {
		t.Run(name, func(t *testing.T) {
			l := filled(600, 3)
			l.expire(first)
			refusing := mustOpen(t, func() Config {
				c := testConfig(filepath.Join(t.TempDir(), "refusing.db"), l)
				c.Resume = nil
				return c
			}())
			defer refusing.Close()
			if err := refusing.CatchUp(t.Context(), l); err == nil {
				t.Error("a tree was begun in the middle")
			}
			s := caughtUp(t, l, nil)
			l.append(sample(1), sample(2))
			l.append(sample(3))
			if err := s.CatchUp(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			mustCheck(t, s, l)
			if err := s.Tree(func(tree *proof.Tree) error { return sameRoot(tree, l) }); err != nil {
				t.Error(err)
			}
			if got, want := len(all(t, s)), len(naive(l, domain.AccessQuery{Target: "org_a"})); got != want {
				t.Errorf("%d records instead of %d", got, want)
			}
			again := testConfig(s.c.Path, l)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := CheckFile(t.Context(), again, l); err != nil {
				t.Error(err)
			}
		})
	}
}

// Messages that expired while the node was down can't be leaves any more: the
// file is begun anew.
func TestExpiredWhileDown(t *testing.T) {
	l := filled(100, 3)
	s := caughtUp(t, l, nil)
	for n := range 100 {
		l.append(sample(n))
	}
	l.expire(150)
	start(t, s, l)
	waitFor(t, s, 200)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	if got := len(all(t, s)); got != 51 {
		t.Errorf("%d records", got)
	}
	mustCheck(t, s, l)
}
