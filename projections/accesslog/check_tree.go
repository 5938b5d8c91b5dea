package accesslog

import (
	"bytes"
	"context"
	"encoding/binary"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// tileWidth is how many hashes a full tile has (C2SP tlog-tiles).
const tileWidth = 256

// checkTree compares every tile that is not of leaves with those below it,
// and looks for missing ones. Those on the left of the edge that the tree was
// resumed with are not there.
func checkTree(ctx context.Context, tx *bbolt.Tx, m mark, found *CheckError) error {
	t := tilesOf(tx)
	known := 0
	for level, size, edge := 0, m.tree, m.edge; size > 0; level, size, edge = level+1, size/tileWidth, edge/tileWidth {
		for index := edge / tileWidth; index*tileWidth < size; index++ {
			if index%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			row, err := t.Tile(level, index)
			if err != nil {
				return err
			}
			known++
			if width := min(tileWidth, size-index*tileWidth); uint64(len(row)) != width*tlog.HashSize {
				found.add("tree: tile %d of level %d has %d bytes", index, level, len(row))
				continue
			}
			for i := 0; level > 0 && i < len(row)/tlog.HashSize; i++ {
				n := index*tileWidth + uint64(i)
				if n < edge {
					continue // proved when the tree was resumed
				}
				below, err := t.Tile(level-1, n)
				if err != nil {
					return err
				}
				if root := rootOf(below); len(below) != tileWidth*tlog.HashSize || !bytes.Equal(root[:], row[i*tlog.HashSize:(i+1)*tlog.HashSize]) {
					found.add("tree: tile %d of level %d is not that of the hashes in tile %d of level %d", n, level-1, index, level)
				}
			}
		}
	}
	return t.rows.ForEach(func(key, _ []byte) error {
		if known--; known < 0 || len(key) != 9 || binary.BigEndian.Uint64(key[1:])*tileWidth >= max(m.tree>>(8*uint(key[0])), 1) {
			found.add("tree: row %x is too much", key)
		}
		return nil
	})
}

// rootOf gives the root over a full tile; over another it is no hash of the
// tree.
func rootOf(row []byte) tlog.Hash {
	if len(row) <= tlog.HashSize {
		var h tlog.Hash
		copy(h[:], row)
		return h
	}
	half := len(row) / 2
	return tlog.NodeHash(rootOf(row[:half]), rootOf(row[half:]))
}
