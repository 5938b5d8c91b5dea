package proof_test

import "golang.org/x/mod/sumdb/tlog"

type hash = tlog.Hash

// tileMap keeps tiles in memory.
type tileMap map[tileAt][]byte

type tileAt struct {
	level int
	index uint64
}

// Tile implements proof.Tiles.
func (m tileMap) Tile(level int, index uint64) ([]byte, error) { return m[tileAt{level, index}], nil }

// PutTile implements proof.Tiles.
func (m tileMap) PutTile(level int, index uint64, hashes []byte) error {
	m[tileAt{level, index}] = append([]byte(nil), hashes...)
	return nil
}
