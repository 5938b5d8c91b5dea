package projections

import (
	"bytes"
	"encoding/binary"

	"github.com/chancery-dev/chancery/proof"
)

// tiles are the hashes of the log's tree in the file: [proof.Tiles] over one
// transaction.
type tiles struct{ rows *rows }

// Tile implements [proof.Tiles].
func (t tiles) Tile(level int, index uint64) ([]byte, error) {
	return t.rows.Get(tileKey(level, index)), nil
}

// PutTile implements [proof.Tiles]. What is put is kept, so it is a copy.
func (t tiles) PutTile(level int, index uint64, hashes []byte) error {
	return t.rows.put(tileKey(level, index), bytes.Clone(hashes))
}

// tileKey sorts by level, then by index. A tree of 2^63 leaves has 8 levels.
func tileKey(level int, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(level)}, index) //nolint:gosec // below 8.
}

// tree is the tree of the events up to a position: leaf i is the record at
// position i+1.
func (ts *tables) tree(position uint64) *proof.Tree {
	return &proof.Tree{Tiles: tiles{rows: ts.at(tableTiles)}, Size: position}
}

// Tree gives a question the Merkle tree of the log, up to the position that
// the store has applied: its Size. The leaf of a position is the record there,
// [domain.Recorded].Raw, of a proven foreign message too. The tree is good
// until ask returns, and to be read only; its error is handed on.
func (s *Store) Tree(ask func(*proof.Tree) error) error {
	return s.view(func(ts *tables) error {
		mark, err := decodeCheckpoint(ts.at(tableMeta).Get([]byte(keyCheckpoint)))
		if err != nil {
			return err
		}
		return ask(ts.tree(mark.position))
	})
}
