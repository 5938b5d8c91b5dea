package proof

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// The shape of a tile (C2SP tlog-tiles).
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// ErrNoTile says that a tile that a tree of this size must have is not there.
var ErrNoTile = errors.New("proof: a tile is missing")

// Tiles keeps the hashes of one tree, in rows of up to 256. It has no locks:
// it is part of its owner's transaction.
type Tiles interface {
	// Tile gives the hashes of a tile, each of 32 bytes, as many as there are;
	// nil where there is none. They are good until the transaction ends and
	// must not be changed.
	Tile(level int, index uint64) ([]byte, error)
	// PutTile replaces them. It does not keep hashes.
	PutTile(level int, index uint64, hashes []byte) error
}

// Tree is a Merkle tree (RFC 6962, section 2.1) of Size leaves over stored
// tiles. It is a view: it is as good as the transaction that its tiles come
// from, and not safe for concurrent use.
type Tree struct {
	Tiles Tiles
	Size  uint64
}

// LeafHash gives the hash of a leaf: SHA-256 over a zero byte and its bytes.
func LeafHash(leaf []byte) tlog.Hash { return tlog.RecordHash(leaf) }

// Append adds leaves in order. On an error the tiles are in no defined state:
// the transaction must be given up.
func (t *Tree) Append(leaves []tlog.Hash) error {
	if err := t.appendLevel(0, t.Size, leaves); err != nil {
		return err
	}
	t.Size += uint64(len(leaves))
	return nil
}

// appendLevel adds hashes behind the n that the level has, and the roots of
// the tiles that they complete to the level above.
func (t *Tree) appendLevel(level int, n uint64, hashes []tlog.Hash) error {
	var roots []tlog.Hash
	for at := n; len(hashes) > 0; {
		index, width := at/tileWidth, at%tileWidth
		take := min(uint64(len(hashes)), tileWidth-width)
		row := make([]byte, 0, (width+take)*tlog.HashSize)
		if width > 0 {
			before, err := t.row(level, index, width)
			if err != nil {
				return err
			}
			row = append(row, before...)
		}
		for _, h := range hashes[:take] {
			row = append(row, h[:]...)
		}
		if err := t.Tiles.PutTile(level, index, row); err != nil {
			return err
		}
		if width+take == tileWidth {
			roots = append(roots, subtree(row))
		}
		hashes, at = hashes[take:], at+take
	}
	if len(roots) == 0 {
		return nil
	}
	return t.appendLevel(level+1, n/tileWidth, roots)
}

// row gives the first hashes of a tile. A tile that has more is of a later
// tree, and those that this one has are the same.
func (t *Tree) row(level int, index, width uint64) ([]byte, error) {
	row, err := t.Tiles.Tile(level, index)
	if err != nil {
		return nil, err
	}
	if uint64(len(row)) < width*tlog.HashSize {
		return nil, fmt.Errorf("%w: level %d, index %d", ErrNoTile, level, index)
	}
	return row[:width*tlog.HashSize], nil
}

// subtree gives the root over hashes whose number is a power of two.
func subtree(row []byte) tlog.Hash {
	if len(row) == tlog.HashSize {
		return tlog.Hash(row)
	}
	half := len(row) / 2
	return tlog.NodeHash(subtree(row[:half]), subtree(row[half:]))
}

// ReadHashes implements [tlog.HashReader] over the tiles, which it trusts.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		span := uint64(1) << (level % tileHeight)    // hashes of the tile's own level below this one
		first := uint64(n) << (level % tileHeight)   //nolint:gosec // not negative.
		tile, at := first/tileWidth, first%tileWidth // a subtree never spans two tiles
		row, err := t.row(level/tileHeight, tile, at+span)
		if err != nil {
			return nil, err
		}
		hashes[i] = subtree(row[at*tlog.HashSize:])
	}
	return hashes, nil
}

// TileData gives the first width hashes of a tile as C2SP tlog-tiles serves
// them, a copy; width is from 1 to 256. ErrNoTile: the tree of this size has
// no such tile, or has it and the hashes are gone.
func (t *Tree) TileData(level int, index uint64, width int) ([]byte, error) {
	if level < 0 || width < 1 || width > tileWidth {
		return nil, fmt.Errorf("%w: level %d, width %d", ErrNoTile, level, width)
	}
	if has := levelSize(t.Size, level); index > has/tileWidth || index*tileWidth+uint64(width) > has {
		return nil, fmt.Errorf("%w: level %d, index %d, width %d: the tree has %d leaves", ErrNoTile, level, index, width, t.Size)
	}
	row, err := t.row(level, index, uint64(width))
	if err != nil {
		return nil, err
	}
	return bytes.Clone(row), nil
}

// levelSize tells how many hashes a tree of a size has on a level of tiles.
func levelSize(size uint64, level int) uint64 { return size >> (tileHeight * min(level, tileHeight)) }

// Root gives the root hash of the tree as it was at a size, at most Size. That
// of an empty tree is the hash of nothing.
func (t *Tree) Root(size uint64) (tlog.Hash, error) {
	switch {
	case size == 0:
		return sha256.Sum256(nil), nil
	case size > t.Size:
		return tlog.Hash{}, fmt.Errorf("%w: the tree has %d leaves, not %d", ErrNoTile, t.Size, size)
	}
	return tlog.TreeHash(signed(size), t)
}

// Inclusion proves that a leaf, by its index from 0, is in the tree of a size.
func (t *Tree) Inclusion(index, size uint64) (tlog.RecordProof, error) {
	if index >= size || size > t.Size {
		return nil, fmt.Errorf("%w: leaf %d of %d, and the tree has %d", ErrNoTile, index, size, t.Size)
	}
	return tlog.ProveRecord(signed(size), signed(index), t)
}

// Consistency proves that the tree of a size begins with that of an older one.
// Every tree begins with the empty one, so that takes no hashes.
func (t *Tree) Consistency(older, size uint64) (tlog.TreeProof, error) {
	switch {
	case older > size || size > t.Size:
		return nil, fmt.Errorf("%w: from %d to %d, and the tree has %d", ErrNoTile, older, size, t.Size)
	case older == 0:
		return nil, nil
	}
	return tlog.ProveTree(signed(size), signed(older), t)
}

// signed turns a size into what tlog counts in. A log never comes near.
func signed(n uint64) int64 { return int64(n) } //nolint:gosec // streams have less than 2^63 messages.
