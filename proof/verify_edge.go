package proof

import "golang.org/x/mod/sumdb/tlog"

// rightEdge keeps the rightmost tile of each level: all that a tree needs to grow
// and to give its root. It implements [Tiles].
type rightEdge struct {
	levels []rightTile
	// done, if set, gets each tile once, when it is full.
	done func(level int, index uint64, row []byte) error
}

type rightTile struct {
	index uint64
	row   []byte
}

func newRightEdge() *rightEdge { return &rightEdge{} }

// Tile implements [Tiles].
func (e *rightEdge) Tile(level int, index uint64) ([]byte, error) {
	if level >= len(e.levels) || e.levels[level].index != index {
		return nil, nil
	}
	return e.levels[level].row, nil
}

// PutTile implements [Tiles].
func (e *rightEdge) PutTile(level int, index uint64, hashes []byte) error {
	for level >= len(e.levels) {
		e.levels = append(e.levels, rightTile{row: make([]byte, 0, tileWidth*tlog.HashSize)})
	}
	t := &e.levels[level]
	t.index, t.row = index, append(t.row[:0], hashes...)
	if len(hashes) == tileWidth*tlog.HashSize && e.done != nil {
		return e.done(level, index, t.row)
	}
	return nil
}

// each calls do with every tile of the edge that is not full.
func (e *rightEdge) each(do func(level int, index uint64, row []byte) error) error {
	for level, t := range e.levels {
		if len(t.row) == 0 || len(t.row) == tileWidth*tlog.HashSize {
			continue
		}
		if err := do(level, t.index, t.row); err != nil {
			return err
		}
	}
	return nil
}
