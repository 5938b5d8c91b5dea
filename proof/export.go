package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"golang.org/x/mod/sumdb/tlog"
)

var (
	// ErrOtherLog says that a directory holds the export of another log.
	ErrOtherLog = errors.New("proof: the directory holds another log")
	// ErrLongerLog says that a directory holds more of the log than there is
	// to export: the log was rolled back, or this is not its newest state.
	ErrLongerLog = errors.New("proof: the directory holds more of the log than there is")
)

// Export writes one log to a directory, as static files that C2SP tlog-tiles
// describes, up to a signed checkpoint. Every member is required.
type Export struct {
	Log string
	Key LogKey
	// Checkpoint is the signed note to export up to.
	Checkpoint []byte
	// Leaves gives every leaf behind a position, in order.
	Leaves func(ctx context.Context, after uint64) iter.Seq2[Leaf, error]
	// Dir is the log's own directory; it is made when missing. Nobody else
	// may write to it at the same time.
	Dir string
}

// Exported is what [Export.Run] did.
type Exported struct {
	// From counts the leaves that were there before.
	From   uint64
	Signed SignedCheckpoint
	// Files counts those that were written.
	Files int
}

// Run adds what the directory lacks. It trusts neither side: every hash is
// recomputed from the leaves, and the root must be the signed one before the
// checkpoint is written.
//
// A crash leaves the export before, whole: files beyond its checkpoint are no
// part of it, and the next run replaces them where they differ. Nil means that
// everything is on the disk.
//
// ErrOtherLog and ErrLongerLog change nothing. A [*Fault]: the leaves are not
// those that were signed or exported before.
func (e Export) Run(ctx context.Context) (Exported, error) {
	signed, err := e.Key.Open(e.Checkpoint)
	if err != nil {
		return Exported{}, err
	}
	x := &exporting{Export: e, signed: signed, edge: newRightEdge(), out: exportFiles{dir: e.Dir}}
	if err := x.out.makeDir(); err != nil {
		return Exported{}, err
	}
	dir, err := OpenDir(e.Dir)
	if err != nil {
		return Exported{}, err
	}
	err = errors.Join(x.run(ctx, dir), dir.Close())
	return Exported{From: x.from.Size, Signed: signed, Files: x.out.written}, err
}

// exporting is one run of [Export].
type exporting struct {
	Export
	signed SignedCheckpoint
	from   SignedCheckpoint // what is there, zero for nothing
	edge   *rightEdge
	tree   Tree
	out    exportFiles
	bundle []byte
	batch  []tlog.Hash
}

func (x *exporting) run(ctx context.Context, dir Source) error {
	if err := x.found(ctx, dir); err != nil {
		return err
	}
	// The key comes first: from here on the directory is this log's.
	if err := x.out.write(KeyPath, []byte(x.Key.VKey()+"\n")); err != nil {
		return err
	}
	if err := x.out.sync(); err != nil {
		return err
	}
	if err := x.resume(ctx, dir); err != nil {
		return err
	}
	// A crash from here on leaves new tiles behind the old checkpoint.
	x.edge.done = func(level int, index uint64, row []byte) error {
		return x.out.writeFull(level, index, row)
	}
	if err := x.add(ctx); err != nil {
		return err
	}
	if err := x.out.sync(); err != nil {
		return err
	}
	// What the checkpoint speaks of is on the disk, now it may be seen.
	if err := x.out.write(CheckpointPath, x.Checkpoint); err != nil {
		return err
	}
	if err := x.out.sync(); err != nil {
		return err
	}
	// A crash here leaves partial tiles that nobody needs any more.
	return x.out.removePartial()
}

// found looks at what the directory holds.
func (x *exporting) found(ctx context.Context, dir Source) error {
	key, err := dir.Read(ctx, KeyPath)
	switch {
	case err == nil && string(key) != x.Key.VKey()+"\n":
		return fmt.Errorf("%w: %s has another key", ErrOtherLog, x.Dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	note, err := dir.Read(ctx, CheckpointPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if x.from, err = x.Key.Open(note); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrOtherLog, x.Dir, err)
	}
	switch {
	case x.from.Size > x.signed.Size:
		return fmt.Errorf("%w: %s has %d leaves, and the newest checkpoint is of %d", ErrLongerLog, x.Dir, x.from.Size, x.signed.Size)
	case x.from.Size == x.signed.Size && x.from.Root != x.signed.Root:
		return x.fault(1, x.from.Size, "the export and the log have different roots of %d leaves: the log was forked", x.from.Size)
	}
	return nil
}

// resume takes over the right edge of what is there.
func (x *exporting) resume(ctx context.Context, dir Source) error {
	there := &Tree{Tiles: sourceTiles{ctx: ctx, source: dir, size: x.from.Size}, Size: x.from.Size}
	rows, err := there.Frontier(x.from.Size)
	if err != nil {
		return fmt.Errorf("%s: %w", x.Dir, err)
	}
	tree, root, err := Restore(x.edge, x.from.Size, rows)
	if err != nil {
		return err
	}
	x.tree = *tree
	if x.from.Size > 0 && root != x.from.Root {
		return x.fault(0, 0, "the tiles in %s are not those of its checkpoint: export to a new directory", x.Dir)
	}
	return nil
}

// add writes what lies between the two checkpoints. The bundle that was
// partial is made again from its first entry.
func (x *exporting) add(ctx context.Context) error {
	position := x.from.Size / tileWidth * tileWidth
	if x.from.Size < x.signed.Size {
		for leaf, err := range x.Leaves(ctx, position) {
			if err != nil {
				return err
			}
			if position++; leaf.Position != position {
				return x.fault(position, position, "the leaf is missing: position %d is next", leaf.Position)
			}
			if err := x.leaf(leaf); err != nil {
				return err
			}
			if position == x.signed.Size {
				break
			}
		}
		if position < x.signed.Size {
			return x.fault(position+1, position+1, "the leaf is missing: the log ends with %d leaves, and a checkpoint of %d was signed",
				position, x.signed.Size)
		}
	}
	if err := x.flush(); err != nil {
		return err
	}
	root, err := x.tree.Root(x.tree.Size)
	if err != nil {
		return err
	}
	if root != x.signed.Root {
		// What was exported before is sound; whether the log still agrees with
		// all of it is not known.
		return x.fault(1, x.signed.Size, "the log is not what was signed or exported before: the checkpoint of %d leaves has another root", x.signed.Size)
	}
	return x.partial()
}

// leaf adds one leaf, or compares it with the one that is there.
func (x *exporting) leaf(leaf Leaf) (err error) {
	if x.bundle, err = AppendEntry(x.bundle, leaf.Data); err != nil {
		return fmt.Errorf("%s log: position %d: %w", x.Log, leaf.Position, err)
	}
	hash := LeafHash(leaf.Data)
	if leaf.Position <= x.from.Size {
		index := leaf.Position - 1
		row, err := x.edge.Tile(0, index/tileWidth)
		if err != nil {
			return err
		}
		if at := index % tileWidth * tlog.HashSize; !bytes.Equal(row[at:at+tlog.HashSize], hash[:]) {
			return x.fault(leaf.Position, leaf.Position, "the export has another leaf than the log")
		}
		return nil
	}
	x.batch = append(x.batch, hash)
	if leaf.Position%tileWidth != 0 {
		return nil
	}
	if err := x.out.writeFull(entriesLevel, leaf.Position/tileWidth-1, x.bundle); err != nil {
		return err
	}
	x.bundle = x.bundle[:0]
	return x.flush()
}

func (x *exporting) flush() error {
	err := x.tree.Append(x.batch)
	x.batch = x.batch[:0]
	return err
}

// partial writes the tiles and the bundle that are not full.
func (x *exporting) partial() error {
	if n := x.tree.Size % tileWidth; n > 0 && len(x.bundle) > 0 {
		if err := x.out.write(tilePath(entriesLevel, x.tree.Size/tileWidth, n), x.bundle); err != nil {
			return err
		}
	}
	return x.edge.each(func(level int, index uint64, row []byte) error {
		return x.out.write(tilePath(level, index, uint64(len(row)/tlog.HashSize)), row)
	})
}

func (x *exporting) fault(first, last uint64, format string, args ...any) error {
	return &Fault{Log: x.Log, Position: first, Through: last, Reason: fmt.Sprintf(format, args...)}
}
