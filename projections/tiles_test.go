package projections

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// rootOf is RFC 6962, section 2.1, word for word.
func rootOf(events []domain.Recorded) tlog.Hash {
	switch len(events) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, events[0].Raw...))
	}
	k := 1
	for k*2 < len(events) {
		k *= 2
	}
	left, right := rootOf(events[:k]), rootOf(events[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// verifyTree compares the tree with the log's: invariant 11.
func (w *world) verifyTree(t tb, s *Store) {
	t.Helper()
	if err := s.Tree(func(tree *proof.Tree) error {
		if tree.Size != s.Position() || tree.Size != w.log.head() {
			t.Errorf("a tree of %d at position %d of %d", tree.Size, s.Position(), w.log.head())
		}
		for size := tree.Size; ; size /= 2 {
			root, err := tree.Root(size)
			if err != nil {
				return err
			}
			if root != rootOf(w.log.events[:size]) {
				t.Errorf("the root of %d events is another", size)
			}
			if size == 0 {
				return nil
			}
		}
	}); err != nil {
		t.Errorf("the tree: %v", err)
	}
}

// The tree of a log of several tiles proves every event, foreign messages
// too, and that it went on from every earlier one. A rebuild gives the same
// tiles.
func TestTreeProves(t *testing.T) {
	w := full(t)
	for w.log.head() < 2*256+7 {
		w.step()
	}
	w.intrude(nil)
	s := caughtUp(t, w.log)
	w.verifyTree(t, s)
	foreign := 0
	if err := s.Tree(func(tree *proof.Tree) error {
		size := int64(tree.Size)
		root, err := tree.Root(tree.Size)
		if err != nil {
			return err
		}
		for i, r := range w.log.events {
			if r.Event == nil {
				foreign++
			}
			p, err := tree.Inclusion(uint64(i), tree.Size)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(p, size, root, int64(i), proof.LeafHash(r.Raw)); err != nil {
				t.Errorf("position %d: %v", r.Position, err)
			}
		}
		for older := int64(1); older <= size; older += 17 {
			before, err := tree.Root(uint64(older))
			if err != nil {
				return err
			}
			p, err := tree.Consistency(uint64(older), tree.Size)
			if err != nil {
				return err
			}
			if err := tlog.CheckTree(p, size, root, older, before); err != nil {
				t.Errorf("from %d: %v", older, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if foreign == 0 {
		t.Error("no foreign message was proven")
	}
	want := dump(t, s)
	if err := s.Rebuild(t.Context(), w.log); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, dump(t, s)); diff != "" {
		t.Errorf("after the rebuild: %s", diff)
	}
}

// A record of other bytes is another tree, though it means the same event, and
// Check finds it: what is proven is what lies in the log.
func TestTreeIsOfTheBytes(t *testing.T) {
	w := full(t)
	s := mustOpen(t, testOptions(filepath.Join(t.TempDir(), "state.db")))
	defer s.Close()
	if err := s.CatchUp(t.Context(), w.log); err != nil {
		t.Fatal(err)
	}
	check(t, s, w.log)
	edited := newLog()
	edited.append(w.log.events...)
	edited.events[3].Raw = append([]byte(" "), edited.events[3].Raw...)
	found, ok := errors.AsType[*CheckError](Check(t.Context(), s, edited))
	if !ok {
		t.Fatal("the edited record was not found")
	}
	want := []string{
		fmt.Sprintf("bucket tiles: key %q is altered", tileKey(0, 0)),
		fmt.Sprintf("bucket tiles: key %q is altered", tileKey(1, 0)),
	}
	if diff := cmp.Diff(want, found.Findings); diff != "" {
		t.Errorf("findings (-want +got): %s", diff)
	}
}

// A store that answers no questions gives no tree either; nor does one whose
// tree lost a tile go on.
func TestTreeRefuses(t *testing.T) {
	w, ref := plain()
	s := mustOpen(t, testOptions(filepath.Join(t.TempDir(), "state.db")))
	never := func(*proof.Tree) error {
		t.Error("asked")
		return nil
	}
	if err := s.Tree(never); domain.CodeOf(err) != domain.CodeUnavailable {
		t.Errorf("before it caught up: %v", err)
	}
	if err := s.CatchUp(t.Context(), w.log); err != nil {
		t.Fatal(err)
	}
	own := errors.New("the question's own")
	if err := s.Tree(func(*proof.Tree) error { return own }); !errors.Is(err, own) {
		t.Errorf("the question's error became %v", err)
	}
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(tableTiles.String())).Delete(tileKey(0, 0))
	}); err != nil {
		t.Fatal(err)
	}
	position := s.Position()
	w.change(ref, extra(w))
	if err := s.CatchUp(context.Background(), w.log); !errors.Is(err, proof.ErrNoTile) || s.Position() != position {
		t.Errorf("without a tile: %v at %d", err, s.Position())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Tree(never); err == nil {
		t.Error("a closed store gave a tree")
	}
}
