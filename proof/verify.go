package proof

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Inputs is what [Verify] holds against each other: one log, what was signed
// about it, and what was stored about it. Log, Key, Leaves and Checkpoints are
// required.
type Inputs struct {
	// Log is the log's name for people.
	Log string
	// Leaves gives every leaf in order, from position 1 or, with a Start,
	// from the one behind it.
	Leaves iter.Seq2[Leaf, error]
	// Checkpoints gives the signed notes, oldest first.
	Checkpoints iter.Seq2[[]byte, error]
	// Key is that of the log. Whether it is the right one is the caller's
	// question: a log that was made up whole comes with a key of its own.
	Key LogKey
	// Stored are trees that were kept elsewhere, of this log up to any size.
	Stored []StoredTree
	// Start is the right edge of a tree whose leaves are gone; its root must
	// have been signed. Nil: no leaf is gone.
	Start *Frontier
}

// StoredTree is a tree with the name of what keeps it.
type StoredTree struct {
	Name string
	*Tree
	// From is how many leaves the tree was begun with, by their right edge: it
	// has no tile that lies left of that.
	From uint64
}

// Result is what [Verify] proved.
type Result struct {
	// First and Head are the positions of the first and the last leaf whose
	// hash was recomputed; First is Head and one where there is none.
	First, Head uint64
	// Root is that of the tree of all leaves up to Head.
	Root tlog.Hash
	// Signed is the newest checkpoint. Positions up to its size are proved,
	// the others are only there.
	Signed SignedCheckpoint
	// Checkpoints counts those that were verified.
	Checkpoints uint64
	// Tiles counts the stored tiles that were compared.
	Tiles uint64
}

// Uncovered counts the newest leaves that no checkpoint covers yet.
func (r Result) Uncovered() uint64 { return r.Head - min(r.Head, r.Signed.Size) }

// Verify recomputes a log's tree from its leaves and holds it against every
// checkpoint and every stored tile. It reads everything once, in order, and
// keeps only the tree's right edge in memory.
//
// A difference is a [*Fault]; then Result says what was proved before. Any
// other error means that it could not be found out. ErrUnsigned: there is no
// checkpoint, so nothing is proved.
func Verify(ctx context.Context, in Inputs) (Result, error) {
	v := &verification{Inputs: in, edge: newRightEdge()}
	v.tree = Tree{Tiles: v.edge}
	v.edge.done = v.compareTile
	next, stop := iter.Pull2(in.Checkpoints)
	defer stop()
	v.nextCheckpoint = next
	err := v.run(ctx)
	return v.result, err
}

// verification is one run of [Verify].
type verification struct {
	Inputs
	edge    *rightEdge
	tree    Tree        // of the leaves so far, less those in batch
	batch   []tlog.Hash // of the leaves behind them
	result  Result
	pending *SignedCheckpoint // the next to be held against the tree
	// suspect is the first position where a stored tree has another leaf, 0
	// for none. Which of the two is wrong only the next checkpoint can tell.
	suspect uint64
	by      string // the stored tree that says so

	nextCheckpoint func() ([]byte, error, bool)
}

func (v *verification) run(ctx context.Context) error {
	if err := v.begin(); err != nil {
		return err
	}
	for leaf, err := range v.Leaves {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if want := v.size() + 1; leaf.Position != want {
			return v.fault(want, want, "the leaf is missing: position %d is next", leaf.Position)
		}
		v.batch = append(v.batch, LeafHash(leaf.Data))
		if v.size()%tileWidth == 0 {
			if err := v.flush(); err != nil {
				return err
			}
		}
		if err := v.checkpoints(); err != nil {
			return err
		}
	}
	return v.end()
}

// begin sets the tree to where the leaves begin.
func (v *verification) begin() error {
	v.result.First = 1
	if v.Start != nil {
		tree, _, err := Restore(v.edge, v.Start.Size, v.Start.Rows)
		if err != nil {
			return v.fault(1, v.Start.Size, "the tree of the leaves that are gone: %w", err)
		}
		v.tree = *tree
		v.result.First, v.result.Head = v.Start.Size+1, v.Start.Size
	}
	if err := v.advance(); err != nil {
		return err
	}
	// What was signed before the first leaf that is left can't be recomputed:
	// the tree at the start stands for it, and so must be signed itself.
	proved := v.Start == nil || v.Start.Size == 0
	for v.pending != nil && v.pending.Size <= v.tree.Size {
		proved = proved || v.pending.Size == v.tree.Size
		if v.pending.Size == v.tree.Size {
			if err := v.hold(); err != nil {
				return err
			}
		}
		if err := v.advance(); err != nil {
			return err
		}
	}
	if !proved {
		return v.fault(1, v.tree.Size, "the leaves are gone, and no checkpoint was signed at size %d", v.tree.Size)
	}
	return nil
}

// size counts the leaves so far.
func (v *verification) size() uint64 { return v.tree.Size + uint64(len(v.batch)) }

// checkpoints holds those of the size that was reached against the tree.
func (v *verification) checkpoints() error {
	for v.pending != nil && v.pending.Size == v.size() {
		if err := v.flush(); err != nil {
			return err
		}
		if err := v.hold(); err != nil {
			return err
		}
		if err := v.advance(); err != nil {
			return err
		}
	}
	return nil
}

// advance takes the next checkpoint and checks that it belongs behind the one
// before.
func (v *verification) advance() error {
	before := v.pending
	v.pending = nil
	text, err, ok := v.nextCheckpoint()
	if !ok || err != nil {
		return err
	}
	next, err := v.Key.Open(text)
	if err != nil {
		return v.fault(0, 0, "a checkpoint does not verify: %w", err)
	}
	if before == nil {
		v.pending = &next
		return nil
	}
	switch {
	case next.Size < before.Size:
		return v.fault(0, 0, "a checkpoint of %d leaves was stored behind one of %d", next.Size, before.Size)
	case next.Size == before.Size && next.Root != before.Root:
		return v.fault(0, 0, "two checkpoints of %d leaves have different roots: the log was forked", next.Size)
	case next.Time.Before(before.Time):
		return v.fault(0, 0, "the checkpoint of %d leaves is older than the one stored before it", next.Size)
	}
	v.pending = &next
	return nil
}

// hold compares the tree with the pending checkpoint.
func (v *verification) hold() error {
	root, err := v.tree.Root(v.tree.Size)
	if err != nil {
		return err
	}
	if root != v.pending.Root {
		if err := v.edge.each(v.compareTile); err != nil {
			return err
		}
		first, last := v.result.Signed.Size+1, v.tree.Size
		if v.suspect > 0 {
			first, last = v.suspect, v.suspect
		}
		return v.fault(first, last, "the log is not what was signed: the checkpoint of %d leaves has another root", v.pending.Size)
	}
	v.result.Signed = *v.pending
	v.result.Checkpoints++
	return v.stored()
}

// stored ends the comparison of stored tiles up to here: a leaf that a stored
// tree has otherwise, and that was signed as the log has it, is the fault of
// the stored tree.
func (v *verification) stored() error {
	if v.suspect == 0 {
		return nil
	}
	return v.fault(v.suspect, v.suspect, "%s has another leaf than the log", v.by)
}

// flush adds the batch to the tree.
func (v *verification) flush() error {
	if err := v.tree.Append(v.batch); err != nil {
		return err
	}
	v.batch = v.batch[:0]
	v.result.Head = v.tree.Size
	return nil
}

// end looks at what is left when there are no more leaves.
func (v *verification) end() error {
	if err := v.flush(); err != nil {
		return err
	}
	var err error
	if v.result.Root, err = v.tree.Root(v.tree.Size); err != nil {
		return err
	}
	if err := v.edge.each(v.compareTile); err != nil {
		return err
	}
	if c := v.pending; c != nil {
		first, last := v.firstWrong()
		return v.fault(first, last, "leaves are missing: the log ends with %d, and a checkpoint of %d was signed at %s",
			v.tree.Size, c.Size, c.Time.UTC().Format(time.RFC3339))
	}
	if err := v.stored(); err != nil {
		return err
	}
	for _, s := range v.Stored {
		if s.Size > v.tree.Size {
			return v.fault(v.tree.Size+1, v.tree.Size+1, "the leaf is missing: the log ends with %d leaves, and %s has %d", v.tree.Size, s.Name, s.Size)
		}
	}
	if v.result.Checkpoints == 0 {
		return fmt.Errorf("%s log: %w", v.Log, ErrUnsigned)
	}
	return nil
}

// firstWrong says where a log goes wrong that is shorter than what was signed:
// behind its end, unless what lies before it is not proved either.
func (v *verification) firstWrong() (first, last uint64) {
	last = v.tree.Size + 1
	if v.suspect > 0 {
		return v.suspect, v.suspect
	}
	for _, s := range v.Stored {
		if s.Size >= v.tree.Size {
			return last, last
		}
	}
	return min(v.result.Signed.Size+1, last), last
}

// compareTile holds a tile of the tree against the stored ones, as far as
// both have it.
func (v *verification) compareTile(level int, index uint64, row []byte) error {
	for _, s := range v.Stored {
		n := min(widthAt(level, index, s.Size)*tlog.HashSize, uint64(len(row)))
		if n == 0 || index < s.From>>(tileHeight*(level+1)) {
			continue
		}
		kept, err := s.Tiles.Tile(level, index)
		if err != nil {
			return fmt.Errorf("%s: level %d, index %d: %w", s.Name, level, index, err)
		}
		v.result.Tiles++
		span := uint64(1) << (tileHeight * level)
		for at := uint64(0); at < n; at += tlog.HashSize {
			if at+tlog.HashSize <= uint64(len(kept)) && [tlog.HashSize]byte(kept[at:]) == [tlog.HashSize]byte(row[at:]) {
				continue
			}
			first := (index*tileWidth+at/tlog.HashSize)*span + 1
			if level == 0 && uint64(len(kept)) >= n {
				if v.suspect == 0 || first < v.suspect {
					v.suspect, v.by = first, s.Name
				}
				break
			}
			if v.suspect > 0 {
				break // what lies above a wrong leaf differs as well
			}
			what := "differs from the log"
			if uint64(len(kept)) < n {
				what = "is missing or cut short"
			}
			return v.fault(first, first+span-1, "%s: the tile of level %d, index %d %s", s.Name, level, index, what)
		}
	}
	return nil
}

func (v *verification) fault(first, last uint64, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Fault{Log: v.Log, Position: first, Through: last, Reason: err.Error(), cause: errors.Unwrap(err)}
}
