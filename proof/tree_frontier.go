package proof

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrFrontier says that rows are not the right edge of a tree of a size.
var ErrFrontier = errors.New("proof: not the right edge of such a tree")

// TileRow is one tile of a tree's right edge: as many hashes as the tree had
// there, fewer than 256.
type TileRow struct {
	Level  int    `json:"level"`
	Index  uint64 `json:"index"`
	Hashes []byte `json:"hashes"`
}

// Frontier gives the right edge of the tree as it was at a size, at most Size:
// on each level the tile that was not full, from the leaves up. These rows are
// all that is needed to go on without what is left of them; they are copies.
func (t *Tree) Frontier(size uint64) ([]TileRow, error) {
	if size > t.Size {
		return nil, fmt.Errorf("%w: the tree has %d leaves, not %d", ErrNoTile, t.Size, size)
	}
	rows := edge(size)
	for i := range rows {
		r := &rows[i]
		hashes, err := t.row(r.Level, r.Index, uint64(len(r.Hashes))/tlog.HashSize)
		if err != nil {
			return nil, err
		}
		copy(r.Hashes, hashes)
	}
	return rows, nil
}

// edge gives the rows of a tree's right edge, each with room for its hashes.
func edge(size uint64) []TileRow {
	var rows []TileRow
	for level, has := 0, size; has > 0; level, has = level+1, has/tileWidth {
		if width := has % tileWidth; width > 0 {
			rows = append(rows, TileRow{Level: level, Index: has / tileWidth, Hashes: make([]byte, width*tlog.HashSize)})
		}
	}
	return rows
}

// Restore puts a right edge into tiles, and gives the tree that goes on from
// there and its root. The root follows from the rows alone: whoever holds it
// against a signed checkpoint of that size has proved them. The tree appends,
// and proves what came later; what needs a hash from the left of the edge is
// ErrNoTile.
//
// ErrFrontier: the rows are not exactly those of a tree of this size. On any
// error the transaction must be given up.
func Restore(tiles Tiles, size uint64, rows []TileRow) (*Tree, tlog.Hash, error) {
	want := edge(size)
	if len(rows) != len(want) {
		return nil, tlog.Hash{}, fmt.Errorf("%w: %d rows for %d leaves", ErrFrontier, len(rows), size)
	}
	for i, r := range rows {
		if r.Level != want[i].Level || r.Index != want[i].Index || len(r.Hashes) != len(want[i].Hashes) {
			return nil, tlog.Hash{}, fmt.Errorf("%w: level %d, index %d", ErrFrontier, r.Level, r.Index)
		}
		if err := tiles.PutTile(r.Level, r.Index, bytes.Clone(r.Hashes)); err != nil {
			return nil, tlog.Hash{}, err
		}
	}
	t := &Tree{Tiles: tiles, Size: size}
	root, err := t.Root(size)
	if err != nil {
		return nil, tlog.Hash{}, err
	}
	return t, root, nil
}
