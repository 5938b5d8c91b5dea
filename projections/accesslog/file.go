package accesslog

import (
	"bytes"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// schema is the version of everything in the file: bump it with any change of
// a table, a key or a row.
const schema = 1

// The tables beside those of every projection's file.
const (
	tableMessages = "messages" // position: the message's bytes
	tableTiles    = "tiles"    // level, index: hashes
	tableHeaders  = "headers"  // first position of a run: header
	tableRuns     = "runs"     // first position of a run: a bucket of its rows

	keyCheckpoint = "checkpoint" // in the meta table
)

// format says what the file must hold. Runs of another length are another
// schema.
func (c Config) format() cachefile.Format {
	return cachefile.Format{
		Schema: schema<<32 | uint64(c.RunRecords), //nolint:gosec // positive.
		Tables: []string{tableMessages, tableTiles, tableHeaders, tableRuns},
	}
}

// mark is the checkpoint: which messages the file holds. It is never the zero
// value: see emptyMark.
type mark struct {
	position uint64    // of the last message that was applied
	leaf     tlog.Hash // of that message; zero when it was never here
	created  time.Time // creation of the stream, zero before it was heard of
	first    uint64    // the first position that is kept, position+1 when none is
	tree     uint64    // the tree's leaves; more than position only after a resumption
	edge     uint64    // leaves that the tree was resumed with, 0 when it began empty
}

func emptyMark() mark { return mark{first: 1} }

func (m mark) encode() []byte {
	row := m.leaf[:]
	for _, v := range []uint64{m.position, m.first, m.tree, m.edge} {
		row = binary.AppendUvarint(row, v)
	}
	row = binary.AppendVarint(row, m.created.Unix())
	return binary.AppendVarint(row, int64(m.created.Nanosecond()))
}

func decodeMark(row []byte) (mark, error) {
	if row == nil {
		return emptyMark(), nil
	}
	if len(row) < tlog.HashSize {
		return mark{}, errRow
	}
	m := mark{leaf: tlog.Hash(row[:tlog.HashSize])}
	s := scanner{row: row[tlog.HashSize:]}
	m.position, m.first, m.tree, m.edge = s.unsigned(), s.unsigned(), s.unsigned(), s.unsigned()
	seconds, nanos := s.signed(), s.signed()
	m.created = time.Unix(seconds, nanos).UTC()
	if s.bad || len(s.row) > 0 || m.first == 0 || m.first > m.position+1 || m.tree < m.position {
		return mark{}, errRow
	}
	return m, nil
}

func readMark(tx *bbolt.Tx) (mark, error) {
	return decodeMark(tx.Bucket([]byte(cachefile.Meta)).Get([]byte(keyCheckpoint)))
}

func writeMark(tx *bbolt.Tx, m mark) error {
	return tx.Bucket([]byte(cachefile.Meta)).Put([]byte(keyCheckpoint), m.encode())
}

func positionKey(position uint64) []byte { return binary.BigEndian.AppendUint64(nil, position) }

// tiles are the hashes of the log's tree in the file: [proof.Tiles] over one
// transaction.
type tiles struct{ rows *bbolt.Bucket }

func tilesOf(tx *bbolt.Tx) tiles { return tiles{rows: tx.Bucket([]byte(tableTiles))} }

// Tile implements [proof.Tiles].
func (t tiles) Tile(level int, index uint64) ([]byte, error) {
	return t.rows.Get(tileKey(level, index)), nil
}

// PutTile implements [proof.Tiles]. bbolt keeps what it is given until the
// transaction ends, so it is given a copy.
func (t tiles) PutTile(level int, index uint64, hashes []byte) error {
	return t.rows.Put(tileKey(level, index), bytes.Clone(hashes))
}

// tileKey sorts by level, then by index.
func tileKey(level int, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{byte(level)}, index) //nolint:gosec // below 8.
}
