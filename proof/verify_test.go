package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/proof"
)

// sampleLog is a log in memory, with its key and what was signed about it.
type sampleLog struct {
	key    *proof.SigningKey
	public proof.LogKey
	leaves [][]byte
	notes  [][]byte
	tree   *proof.Tree
	tiles  tileMap // of the tree
}

const sampleName = "events"

func newSampleLog(t testing.TB, org string) *sampleLog {
	t.Helper()
	key, err := proof.NewSigningKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.LogKey(proof.Origin(org, sampleName))
	if err != nil {
		t.Fatal(err)
	}
	tiles := tileMap{}
	return &sampleLog{key: key, public: public, tree: &proof.Tree{Tiles: tiles}, tiles: tiles}
}

// grow adds leaves, unlike any other's, and signs.
func (l *sampleLog) grow(t testing.TB, leaves int) {
	t.Helper()
	for range leaves {
		leaf := fmt.Appendf(nil, "leaf %d %s", len(l.leaves), strings.Repeat("x", len(l.leaves)%97))
		l.leaves = append(l.leaves, leaf)
		l.tree.Append([]hash{proof.LeafHash(leaf)}) //nolint:errcheck // a map.
	}
	l.sign(t)
}

func (l *sampleLog) sign(t testing.TB) {
	t.Helper()
	root, err := l.tree.Root(l.tree.Size)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_800_000_000+int64(len(l.notes)), 0)
	note, err := l.key.Sign(proof.Checkpoint{Origin: l.public.Origin(), Size: l.tree.Size, Root: root}, at)
	if err != nil {
		t.Fatal(err)
	}
	l.notes = append(l.notes, note)
}

// inputs are what a log gives that is as it should be.
func (l *sampleLog) inputs() proof.Inputs {
	return proof.Inputs{Log: sampleName, Key: l.public, Leaves: leavesOf(l.leaves, 0), Checkpoints: notesOf(l.notes)}
}

func (l *sampleLog) withTiles() proof.Inputs {
	in := l.inputs()
	in.Stored = []proof.StoredTree{{Name: "the projection", Tree: l.tree}}
	return in
}

func leavesOf(leaves [][]byte, after uint64) iter.Seq2[proof.Leaf, error] {
	return func(yield func(proof.Leaf, error) bool) {
		for i := int(after); i < len(leaves); i++ {
			if !yield(proof.Leaf{Position: uint64(i) + 1, Data: leaves[i]}, nil) {
				return
			}
		}
	}
}

func notesOf(notes [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, n := range notes {
			if !yield(n, nil) {
				return
			}
		}
	}
}

// wantFault verifies that the error names a position, 0 for any.
func wantFault(t testing.TB, err error, first, through uint64) {
	t.Helper()
	fault, ok := errors.AsType[*proof.Fault](err)
	if !ok {
		t.Fatalf("got %v, want a fault", err)
	}
	if fault.Position != first || fault.Through != through {
		t.Fatalf("got %q, want positions %d to %d", fault, first, through)
	}
	if first > 0 && !strings.Contains(fault.Error(), fmt.Sprintf("position %d", first)) {
		t.Errorf("the text %q does not name position %d", fault, first)
	}
}

// TestVerifySound: a sound log of any size, signed at any sizes, verifies, with
// and without tiles, and says what it proved.
func TestVerifySound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newSampleLog(t, "org_1")
		for range rapid.IntRange(1, 6).Draw(rt, "signatures") {
			l.grow(t, rapid.SampledFrom([]int{0, 1, 2, 100, 255, 256, 257, 600}).Draw(rt, "leaves"))
		}
		newest := l.tree.Size
		extra := rapid.IntRange(0, 300).Draw(rt, "unsigned")
		l.grow(t, extra)
		l.notes = l.notes[:len(l.notes)-1]
		for _, in := range []proof.Inputs{l.inputs(), l.withTiles()} {
			res, err := proof.Verify(t.Context(), in)
			if err != nil {
				rt.Fatal(err)
			}
			root, _ := l.tree.Root(l.tree.Size)
			if res.Head != l.tree.Size || res.Root != root || res.First != 1 || res.Signed.Size != newest ||
				res.Uncovered() != uint64(extra) || res.Checkpoints != uint64(len(l.notes)) {
				rt.Fatalf("%+v of a log of %d leaves, %d signed", res, l.tree.Size, newest)
			}
		}
	})
}

// TestVerifyNamesTheFirstWrongPosition: any change of the leaves up to the
// newest checkpoint is a fault. With tiles it names the position, without them
// the checkpoint that covers it.
func TestVerifyNamesTheFirstWrongPosition(t *testing.T) {
	l := newSampleLog(t, "org_1")
	for range 4 {
		l.grow(t, 177)
	}
	rapid.Check(t, func(rt *rapid.T) {
		at := rapid.IntRange(0, len(l.leaves)-1).Draw(rt, "index")
		leaves := slices.Clone(l.leaves)
		first := uint64(at) + 1
		switch rapid.SampledFrom([]string{"edit", "swap", "drop"}).Draw(rt, "change") {
		case "edit":
			leaf := slices.Clone(leaves[at])
			leaf[rapid.IntRange(0, len(leaf)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
			leaves[at] = leaf
		case "swap":
			other := rapid.IntRange(0, len(leaves)-1).Filter(func(i int) bool { return i != at }).Draw(rt, "other")
			leaves[at], leaves[other] = leaves[other], leaves[at]
			first = min(first, uint64(other)+1)
		case "drop":
			leaves = slices.Delete(leaves, at, at+1)
		}
		in := l.inputs()
		in.Leaves = leavesOf(leaves, 0)
		_, err := proof.Verify(t.Context(), in)
		fault, ok := errors.AsType[*proof.Fault](err)
		if !ok || first < fault.Position || first > fault.Through {
			rt.Fatalf("without tiles: %v, want position %d among them", err, first)
		}
		in = l.withTiles()
		in.Leaves = leavesOf(leaves, 0)
		_, err = proof.Verify(t.Context(), in)
		if fault, ok = errors.AsType[*proof.Fault](err); !ok || fault.Position != first || fault.Through != first {
			rt.Fatalf("with tiles: %v, want position %d", err, first)
		}
	})
}

// TestVerifyShort: a log that ends before what was signed, or before what a
// projection has, is a fault that names the first missing position.
func TestVerifyShort(t *testing.T) {
	l := newSampleLog(t, "org_1")
	l.grow(t, 300)
	for _, left := range []uint64{0, 1, 256, 299} {
		in := l.inputs()
		in.Leaves = leavesOf(l.leaves[:left], 0)
		_, err := proof.Verify(t.Context(), in)
		wantFault(t, err, 1, left+1)
		in = l.withTiles()
		in.Leaves = leavesOf(l.leaves[:left], 0)
		_, err = proof.Verify(t.Context(), in)
		wantFault(t, err, left+1, left+1)
	}
	unsigned := l.withTiles()
	l.grow(t, 5)
	unsigned.Leaves = leavesOf(l.leaves[:302], 0)
	_, err := proof.Verify(t.Context(), unsigned)
	wantFault(t, err, 303, 303)
}

// TestVerifyGap: positions are dense.
func TestVerifyGap(t *testing.T) {
	l := newSampleLog(t, "org_1")
	l.grow(t, 10)
	in := l.inputs()
	in.Leaves = func(yield func(proof.Leaf, error) bool) {
		for leaf, err := range leavesOf(l.leaves, 0) {
			if leaf.Position != 4 && !yield(leaf, err) {
				return
			}
		}
	}
	_, err := proof.Verify(t.Context(), in)
	wantFault(t, err, 4, 4)
}

// TestVerifyCheckpoints: one that is not this log's, one that goes back and
// one that forks the log are faults, wherever they are stored.
func TestVerifyCheckpoints(t *testing.T) {
	l := newSampleLog(t, "org_1")
	l.grow(t, 10)
	l.grow(t, 10)
	other := newSampleLog(t, "org_2")
	other.grow(t, 20)
	fork, err := l.key.Sign(proof.Checkpoint{Origin: l.public.Origin(), Size: 20}, time.Unix(1_900_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(l.notes[1])
	flipped[len(flipped)-10] ^= 1
	for name, notes := range map[string][][]byte{
		"another log's":  {l.notes[0], other.notes[0]},
		"a fork":         {l.notes[0], l.notes[1], fork},
		"size goes back": {l.notes[1], l.notes[0]},
		"time goes back": {l.notes[0], l.notes[0], l.notes[1], l.notes[1], mustSign(t, l, 20, 1_700_000_000)},
		"changed":        {l.notes[0], flipped},
		"no note":        {nil},
	} {
		in := l.inputs()
		in.Checkpoints = notesOf(notes)
		_, err := proof.Verify(t.Context(), in)
		if fault, ok := errors.AsType[*proof.Fault](err); !ok || fault.Position != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	in := l.inputs()
	in.Checkpoints = notesOf(nil)
	if _, err := proof.Verify(t.Context(), in); !errors.Is(err, proof.ErrUnsigned) {
		t.Errorf("without a checkpoint: %v", err)
	}
}

func mustSign(t testing.TB, l *sampleLog, size uint64, at int64) []byte {
	t.Helper()
	root, err := l.tree.Root(size)
	if err != nil {
		t.Fatal(err)
	}
	note, err := l.key.Sign(proof.Checkpoint{Origin: l.public.Origin(), Size: size, Root: root}, time.Unix(at, 0))
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// TestVerifyTiles: a stored tile that was changed or lost is a fault of the
// store, whichever it is, while the log itself is sound.
func TestVerifyTiles(t *testing.T) {
	l := newSampleLog(t, "org_1")
	l.grow(t, 700)
	tiles := l.tiles
	for at, row := range tiles {
		for _, changed := range [][]byte{nil, row[:len(row)-32], flip(row, 0), flip(row, len(row)-1)} {
			tiles[at] = changed
			_, err := proof.Verify(t.Context(), l.withTiles())
			if fault, ok := errors.AsType[*proof.Fault](err); !ok || fault.Position == 0 || !strings.Contains(fault.Reason, "the projection") {
				t.Errorf("level %d, index %d: %v", at.level, at.index, err)
			}
		}
		tiles[at] = row
	}
	if _, err := proof.Verify(t.Context(), l.withTiles()); err != nil {
		t.Fatal(err)
	}
}

func flip(row []byte, at int) []byte {
	row = slices.Clone(row)
	row[at] ^= 1
	return row
}

// TestVerifyFromFrontier: where the first leaves are gone, the right edge that
// was kept stands for them, and only if it was signed.
func TestVerifyFromFrontier(t *testing.T) {
	l := newSampleLog(t, "org_1")
	l.grow(t, 300)
	rows, err := l.tree.Frontier(300)
	if err != nil {
		t.Fatal(err)
	}
	l.grow(t, 300)
	in := l.inputs()
	in.Leaves, in.Start = leavesOf(l.leaves, 300), &proof.Frontier{Size: 300, Rows: rows}
	res, err := proof.Verify(t.Context(), in)
	if err != nil || res.First != 301 || res.Head != 600 || res.Signed.Size != 600 {
		t.Fatalf("%+v, %v", res, err)
	}
	// A tree that was resumed with the same edge has no tile on its left.
	kept := tileMap{}
	resumed, _, err := proof.Restore(kept, 300, rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range l.leaves[300:] {
		if err := resumed.Append([]hash{proof.LeafHash(leaf)}); err != nil {
			t.Fatal(err)
		}
	}
	in.Stored = []proof.StoredTree{{Name: "the resumed one", Tree: resumed, From: 300}}
	if res, err := proof.Verify(t.Context(), in); err != nil || res.Tiles == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	kept[tileAt{0, 1}] = flip(kept[tileAt{0, 1}], 32*200)
	_, err = proof.Verify(t.Context(), in)
	wantFault(t, err, 457, 457)
	in.Stored = nil
	rows[0].Hashes[5] ^= 1
	_, err = proof.Verify(t.Context(), in)
	wantFault(t, err, 1, 300)
	rows[0].Hashes[5] ^= 1
	in.Checkpoints = notesOf(l.notes[1:])
	_, err = proof.Verify(t.Context(), in)
	wantFault(t, err, 1, 300)
	in.Start.Rows = rows[1:]
	_, err = proof.Verify(t.Context(), in)
	wantFault(t, err, 1, 300)
}

// BenchmarkVerify counts leaves of the size that records have.
func BenchmarkVerify(b *testing.B) {
	l := newSampleLog(b, "org_1")
	leaf := bytes.Repeat([]byte("r"), 900)
	for b.Loop() {
		in := l.inputs()
		l.notes = nil
		l.sign(b)
		in.Checkpoints = notesOf(l.notes)
		const leaves = 100_000
		in.Leaves = func(yield func(proof.Leaf, error) bool) {
			for i := range uint64(leaves) {
				if !yield(proof.Leaf{Position: i + 1, Data: leaf}, nil) {
					return
				}
			}
		}
		if res, err := proof.Verify(b.Context(), in); err != nil || res.Head != leaves {
			b.Fatal(res, err)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "leaves/s")
}
