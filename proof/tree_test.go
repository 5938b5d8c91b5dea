package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/proof"
)

// reference is the tree as the library keeps it: one hash behind the other.
type reference struct{ hashes []tlog.Hash }

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = r.hashes[index]
	}
	return found, nil
}

func (r *reference) add(t testing.TB, n uint64) {
	t.Helper()
	more, err := tlog.StoredHashes(int64(n), leaf(n), r)
	if err != nil {
		t.Fatal(err)
	}
	r.hashes = append(r.hashes, more...)
}

func leaf(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func leafHashes(from, n uint64) []tlog.Hash {
	hashes := make([]tlog.Hash, n)
	for i := range hashes {
		hashes[i] = proof.LeafHash(leaf(from + uint64(i)))
	}
	return hashes
}

// grow makes a tree of n leaves.
func grow(t testing.TB, n uint64) *proof.Tree {
	t.Helper()
	tree := &proof.Tree{Tiles: tileMap{}}
	if err := tree.Append(leafHashes(0, n)); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTreeAgreesWithTheReferenceAtEverySize(t *testing.T) {
	const leaves = 600
	tree, ref := grow(t, leaves), &reference{}
	empty, err := tree.Root(0)
	if err != nil || empty != sha256.Sum256(nil) {
		t.Fatalf("the root of nothing: %v, %v", empty, err)
	}
	for n := range uint64(leaves) {
		ref.add(t, n)
		want, err := tlog.TreeHash(int64(n+1), ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tree.Root(n + 1)
		if err != nil || got != want {
			t.Fatalf("root at %d: %v, error %v", n+1, got, err)
		}
	}
}

// Roots, proofs and tiles are those of the reference, whatever the batches.
func TestTreeAgreesWithTheReference(t *testing.T) {
	ref := &reference{}
	const most = 70_000 // into the third level
	for n := range uint64(most) {
		ref.add(t, n)
	}
	rapid.Check(t, func(t *rapid.T) {
		tree := &proof.Tree{Tiles: tileMap{}}
		batch := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(250, 260), rapid.Uint64Range(0, 20_000))
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			n := min(batch.Draw(t, "batch"), most-tree.Size)
			before := tree.Size
			if err := tree.Append(leafHashes(tree.Size, n)); err != nil || tree.Size != before+n {
				t.Fatalf("size %d after %d more than %d: %v", tree.Size, n, before, err)
			}
		}
		if tree.Size == 0 {
			return
		}
		size := rapid.Uint64Range(1, tree.Size).Draw(t, "size")
		root, err := tree.Root(size)
		if want, _ := tlog.TreeHash(int64(size), ref); err != nil || root != want {
			t.Fatalf("root at %d of %d: %v", size, tree.Size, err)
		}
		index := rapid.Uint64Range(0, size-1).Draw(t, "index")
		inclusion, err := tree.Inclusion(index, size)
		if err != nil || tlog.CheckRecord(inclusion, int64(size), root, int64(index), proof.LeafHash(leaf(index))) != nil {
			t.Fatalf("leaf %d of %d is not proved: %v", index, size, err)
		}
		older := rapid.Uint64Range(1, size).Draw(t, "older")
		oldRoot, _ := tlog.TreeHash(int64(older), ref)
		growth, err := tree.Consistency(older, size)
		if err != nil || tlog.CheckTree(growth, int64(size), root, int64(older), oldRoot) != nil {
			t.Fatalf("%d to %d is not proved: %v", older, size, err)
		}
		level := rapid.IntRange(0, 2).Draw(t, "level")
		has := tree.Size >> (8 * level)
		if has == 0 {
			return
		}
		at := rapid.Uint64Range(0, (has-1)/256).Draw(t, "tile")
		width := int(rapid.Uint64Range(1, min(256, has-at*256)).Draw(t, "width"))
		got, err := tree.TileData(level, at, width)
		want, wantErr := tlog.ReadTileData(tlog.Tile{H: 8, L: level, N: int64(at), W: width}, ref)
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			t.Fatalf("tile %d/%d.p/%d: %v, %v", level, at, width, err, wantErr)
		}
	})
}

func TestTreeHasNoMoreTilesThanItsSize(t *testing.T) {
	tree := grow(t, 600)
	for _, c := range []struct {
		level, width int
		index        uint64
	}{
		{0, 0, 0}, {0, 257, 0}, {-1, 1, 0}, {0, 89, 2}, {0, 1, 3}, {1, 3, 0}, {1, 1, 1}, {2, 1, 0}, {8, 1, 0}, {63, 1, 0}, {0, 1, 1 << 60}, {0, 1, 1<<64 - 1},
	} {
		if _, err := tree.TileData(c.level, c.index, c.width); !errors.Is(err, proof.ErrNoTile) {
			t.Errorf("level %d, index %d, width %d: %v", c.level, c.index, c.width, err)
		}
	}
	if got, err := tree.TileData(0, 2, 88); err != nil || len(got) != 88*32 {
		t.Fatalf("the last tile: %v", err)
	}
	for name, err := range map[string]error{
		"root":        second(tree.Root(601)),
		"inclusion":   second(tree.Inclusion(0, 601)),
		"a leaf":      second(tree.Inclusion(600, 600)),
		"consistency": second(tree.Consistency(1, 601)),
		"backwards":   second(tree.Consistency(2, 1)),
		"frontier":    second(tree.Frontier(601)),
	} {
		if !errors.Is(err, proof.ErrNoTile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTreeMissesWhatIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tiles := tileMap{}
		tree := &proof.Tree{Tiles: tiles}
		size := rapid.Uint64Range(1, 1000).Draw(t, "size")
		if err := tree.Append(leafHashes(0, size)); err != nil {
			t.Fatal(err)
		}
		// The last tile of the leaves is part of the right edge, if not full.
		last := tileAt{0, (size - 1) / 256}
		tiles[last] = tiles[last][:rapid.IntRange(0, len(tiles[last])-1).Draw(t, "cut")]
		if _, err := tree.TileData(0, last.index, int(size-last.index*256)); !errors.Is(err, proof.ErrNoTile) {
			t.Fatalf("tile: %v", err)
		}
		if size%256 == 0 {
			return
		}
		if _, err := tree.Root(size); !errors.Is(err, proof.ErrNoTile) {
			t.Fatalf("root: %v", err)
		}
		if err := tree.Append(leafHashes(size, 1)); !errors.Is(err, proof.ErrNoTile) || tree.Size != size {
			t.Fatalf("append: %v, size %d", err, tree.Size)
		}
	})
}

// A tree that goes on from its right edge alone gives the same roots, edges
// and proofs of what came later as one that has everything.
func TestRestoredTreeGoesOnLikeTheWholeOne(t *testing.T) {
	whole := grow(t, 66_600)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.Uint64Range(0, 2000), rapid.Uint64Range(65_530, 65_800)).Draw(t, "size")
		more := rapid.Uint64Range(0, 800).Draw(t, "more")
		rows, err := whole.Frontier(size)
		if err != nil {
			t.Fatal(err)
		}
		tree, root, err := proof.Restore(tileMap{}, size, rows)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := whole.Root(size); root != want {
			t.Fatal("the edge has another root")
		}
		if err := tree.Append(leafHashes(size, more)); err != nil {
			t.Fatal(err)
		}
		at := size + rapid.Uint64Range(0, more).Draw(t, "at")
		if at == 0 {
			return
		}
		got, err := tree.Root(at)
		if want, _ := whole.Root(at); err != nil || got != want {
			t.Fatalf("another root at %d: %v", at, err)
		}
		if size > 0 {
			growth, err := tree.Consistency(size, at)
			if err != nil || tlog.CheckTree(growth, int64(at), got, int64(size), root) != nil {
				t.Fatalf("growth from %d to %d: %v", size, at, err)
			}
		}
		if at > size {
			index := rapid.Uint64Range(size, at-1).Draw(t, "index")
			p, err := tree.Inclusion(index, at)
			if err != nil || tlog.CheckRecord(p, int64(at), got, int64(index), proof.LeafHash(leaf(index))) != nil {
				t.Fatalf("leaf %d of %d: %v", index, at, err)
			}
		}
		again, err := tree.Frontier(at)
		want, _ := whole.Frontier(at)
		if err != nil || len(again) != len(want) {
			t.Fatalf("another edge at %d: %v", at, err)
		}
		for i := range want {
			if again[i].Level != want[i].Level || again[i].Index != want[i].Index || !bytes.Equal(again[i].Hashes, want[i].Hashes) {
				t.Fatalf("another edge at %d, row %d", at, i)
			}
		}
	})
}

func TestRestoreRefusesOtherRows(t *testing.T) {
	rows, err := grow(t, 600).Frontier(600)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for name, change := range map[string]func([]proof.TileRow) []proof.TileRow{
		"one missing":   func(r []proof.TileRow) []proof.TileRow { return r[:1] },
		"one too many":  func(r []proof.TileRow) []proof.TileRow { return append(r, r[1]) },
		"swapped":       func(r []proof.TileRow) []proof.TileRow { r[0], r[1] = r[1], r[0]; return r },
		"another level": func(r []proof.TileRow) []proof.TileRow { r[1].Level++; return r },
		"another index": func(r []proof.TileRow) []proof.TileRow { r[0].Index++; return r },
		"a byte short":  func(r []proof.TileRow) []proof.TileRow { r[0].Hashes = r[0].Hashes[1:]; return r },
	} {
		if _, _, err := proof.Restore(tileMap{}, 600, change(append([]proof.TileRow(nil), rows...))); !errors.Is(err, proof.ErrFrontier) {
			t.Errorf("%s: %v", name, err)
		}
	}
	want, _ := grow(t, 600).Root(600)
	rows[0].Hashes[5] ^= 1
	if _, root, err := proof.Restore(tileMap{}, 600, rows); err != nil || root == want {
		t.Fatalf("a changed hash gives the same root, or %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, batch := range map[string]uint64{"1": 1, "64": 64, "4096": 4096} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			hashes := leafHashes(0, batch)
			tree := &proof.Tree{Tiles: tileMap{}}
			for b.Loop() {
				if err := tree.Append(hashes); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(uint64(b.N)*batch), "ns/leaf")
		})
	}
}

func BenchmarkProve(b *testing.B) {
	tree := grow(b, 1_000_000)
	b.Run("Inclusion", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.Inclusion(123_456, tree.Size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("TileData", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.TileData(0, 1000, 256); err != nil {
				b.Fatal(err)
			}
		}
	})
}
