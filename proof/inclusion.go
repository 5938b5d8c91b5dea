package proof

import (
	"errors"
	"fmt"

	"filippo.io/torchwood"
)

// ErrNotCovered says that a leaf is newer than the checkpoint: the next one
// will cover it.
var ErrNotCovered = errors.New("proof: no signed checkpoint covers the leaf yet")

// InclusionProof gives the text by which anybody proves, with the log's key
// alone, that the leaf of an index from 0 is in the log (C2SP tlog-proof): the
// index, the hashes that lead to the root, and the signed checkpoint with all
// its cosignatures.
//
// ErrNotCovered: the checkpoint is older than the leaf. ErrNoTile: the tree
// is shorter than the checkpoint, or the leaf's part of it is gone. ErrFork:
// the tree is not the one that was signed, so the text would prove nothing.
func InclusionProof(t *Tree, index uint64, c SignedCheckpoint) ([]byte, error) {
	if index >= c.Size {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrNotCovered, index, c.Size)
	}
	root, err := t.Root(c.Size)
	if err != nil {
		return nil, err
	}
	if root != c.Root {
		return nil, fmt.Errorf("%w: at size %d", ErrFork, c.Size)
	}
	hashes, err := t.Inclusion(index, c.Size)
	if err != nil {
		return nil, err
	}
	return torchwood.FormatProof(signed(index), hashes, c.Note), nil
}
