package server

import (
	"context"
	"errors"
	"iter"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
	"github.com/chancery-dev/chancery/proof"
)

// checkpoint gives the newest signed checkpoint of a log, the zero one before
// the first.
func (s *store) checkpoint(ctx context.Context, log string) (proof.SignedCheckpoint, error) {
	note, _, err := s.proofs.Latest(ctx, log)
	if err != nil || note == nil {
		return proof.SignedCheckpoint{}, err
	}
	return s.logKeys[log].Open(note)
}

// logTiles shows both logs as static files (C2SP tlog-tiles) to the API, as far
// as they are signed.
type logTiles struct{ *store }

// Checkpoint implements [httpapi.LogTiles].
func (t logTiles) Checkpoint(ctx context.Context, log string) ([]byte, error) {
	c, err := t.checkpoint(ctx, log)
	if err != nil {
		return nil, err
	}
	if c.Note == nil {
		return nil, domain.Errorf(domain.CodeNotFound, "nothing of this log is signed yet")
	}
	return c.Note, nil
}

// Tile implements [httpapi.LogTiles].
func (t logTiles) Tile(ctx context.Context, log string, level int, index uint64, width int) (hashes []byte, err error) {
	c, err := t.checkpoint(ctx, log)
	if err != nil {
		return nil, err
	}
	err = t.tree(log)(func(tree *proof.Tree) error {
		signed := proof.Tree{Tiles: tree.Tiles, Size: min(c.Size, tree.Size)}
		hashes, err = signed.TileData(level, index, width)
		return err
	})
	return hashes, notThere(err)
}

func (t logTiles) tree(log string) func(func(*proof.Tree) error) error {
	if log == proof.LogAccess {
		return t.index.Tree
	}
	return t.state.Tree
}

// Entries implements [httpapi.LogTiles].
func (t logTiles) Entries(ctx context.Context, log string, index uint64, width int) ([]byte, error) {
	c, err := t.checkpoint(ctx, log)
	if err != nil {
		return nil, err
	}
	if index > c.Size/256 || index*256+uint64(width) > c.Size { //nolint:gosec // 1 to 256.
		return nil, notThere(proof.ErrNoTile)
	}
	// What is behind the bundle is not waited for.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bundle, err := proof.BundleOf(index, width, func(after uint64) iter.Seq2[proof.Leaf, error] {
		if log == proof.LogAccess {
			return leavesOf(t.access.Read(ctx, after), func(m domain.AccessMessage) proof.Leaf { return proof.Leaf{Position: m.Position, Data: m.Raw} })
		}
		return leavesOf(t.log.Read(ctx, after), func(r domain.Recorded) proof.Leaf { return proof.Leaf{Position: r.Position, Data: r.Raw} })
	})
	return bundle, notThere(err)
}

// notThere is the answer to a question for what the log does not have, or does
// not have any more.
func notThere(err error) error {
	if errors.Is(err, proof.ErrNoTile) || errors.Is(err, proof.ErrBundle) {
		return domain.Errorf(domain.CodeNotFound, "the signed log has no such tile")
	}
	return err
}

func leavesOf[T any](messages iter.Seq2[T, error], leaf func(T) proof.Leaf) iter.Seq2[proof.Leaf, error] {
	return func(yield func(proof.Leaf, error) bool) {
		for m, err := range messages {
			if err != nil {
				yield(proof.Leaf{}, err)
				return
			}
			if !yield(leaf(m), nil) {
				return
			}
		}
	}
}

// Keys implements [httpapi.LogTiles].
func (t logTiles) Keys(context.Context) ([]wire.LogKey, error) {
	keys := make([]wire.LogKey, 0, len(t.logKeys))
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		k := t.logKeys[log]
		keys = append(keys, wire.LogKey{Log: log, Origin: k.Origin(), Name: k.Origin(), VKey: k.VKey()})
	}
	return keys, nil
}

// EventProof implements [httpapi.Proofs].
func (t logTiles) EventProof(ctx context.Context, stream domain.Stream, position uint64) (leaf []byte, index uint64, text string, err error) {
	r, err := t.log.Get(ctx, stream, position)
	if err != nil {
		return nil, 0, "", err
	}
	index = position - 1
	c, err := t.checkpoint(ctx, proof.LogEvents)
	if err != nil || c.Size < position {
		return r.Raw, index, "", err
	}
	err = t.state.Tree(func(tree *proof.Tree) error {
		if tree.Size < c.Size {
			return nil // another node signed what this one has not applied yet
		}
		proved, err := proof.InclusionProof(tree, index, c)
		text = string(proved)
		return err
	})
	return r.Raw, index, text, err
}
