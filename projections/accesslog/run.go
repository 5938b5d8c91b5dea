package accesslog

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"
)

// header describes a run.
type header struct {
	first, last uint64 // positions
	records     int
	min, max    int64 // of the records' times, in milliseconds
}

func (h header) encode() []byte {
	row := binary.AppendUvarint(nil, h.last)
	row = binary.AppendUvarint(row, uint64(h.records)) //nolint:gosec // not negative.
	row = binary.AppendVarint(row, h.min)
	return binary.AppendVarint(row, h.max)
}

func decodeHeader(key, row []byte) (header, error) {
	if len(key) != 8 {
		return header{}, errRow
	}
	s := scanner{row: row}
	h := header{first: binary.BigEndian.Uint64(key), last: s.unsigned()}
	h.records, h.min, h.max = int(s.unsigned()), s.signed(), s.signed() //nolint:gosec // as written above.
	if s.bad || len(s.row) > 0 || h.last < h.first {
		return header{}, errRow
	}
	return h, nil
}

// scanner reads numbers off a row.
type scanner struct {
	row []byte
	bad bool
}

func (s *scanner) unsigned() uint64 {
	v, n := binary.Uvarint(s.row)
	if n <= 0 {
		s.bad = true
		return 0
	}
	s.row = s.row[n:]
	return v
}

func (s *scanner) signed() int64 {
	v, n := binary.Varint(s.row)
	if n <= 0 {
		s.bad = true
		return 0
	}
	s.row = s.row[n:]
	return v
}

// cut writes a tail that ends with a position as a run. Rows are put in the
// order of their keys into a bucket of their own, so every page is written
// once and full.
func cut(tx *bbolt.Tx, t *tail, last uint64) (header, error) {
	h := header{first: t.after + 1, last: last, records: t.records, min: t.min, max: t.max}
	b, err := tx.Bucket([]byte(tableRuns)).CreateBucket(positionKey(h.first))
	if err != nil {
		return h, err
	}
	b.FillPercent = 1
	keys := make([]listKey, 0, len(t.lists)+len(t.reads))
	for key := range t.lists {
		keys = append(keys, key)
	}
	for key := range t.reads {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareKeys)
	for _, key := range keys {
		if kind(key[0]) == kindLastRead {
			if err := b.Put(bytes.Clone(key[:]), appendReads(nil, t.reads[key])); err != nil {
				return h, err
			}
			continue
		}
		l := t.lists[key]
		for _, c := range append(l.full[:len(l.full):len(l.full)], l.open) {
			if err := b.Put(chunkKey(key, c.last.place), c.row); err != nil {
				return h, err
			}
		}
	}
	return h, tx.Bucket([]byte(tableHeaders)).Put(positionKey(h.first), h.encode())
}

// chunkKey names a chunk by its list and its last place, so that a seek finds
// the chunk that has a place or what follows it.
func chunkKey(key listKey, last place) []byte {
	return appendPlace(append(make([]byte, 0, len(key)+placeLen), key[:]...), last)
}

// run is a run in a transaction.
type run struct {
	header
	rows *bbolt.Bucket // nil when it was dropped
}

func openRun(tx *bbolt.Tx, h header) *run {
	return &run{header: h, rows: tx.Bucket([]byte(tableRuns)).Bucket(positionKey(h.first))}
}

// entries implements segment.
func (r *run) entries(key listKey, from place, ascending bool, into []entry) ([]entry, error) {
	if r.rows == nil {
		return nil, nil
	}
	c := r.rows.Cursor()
	k, row := c.Seek(chunkKey(key, from))
	if bytes.HasPrefix(k, key[:]) {
		found, err := parseRow(row, into)
		if err != nil || ascending || !before(from, found[0].place) {
			return found, err
		}
	}
	if ascending {
		return nil, nil
	}
	if k == nil {
		k, row = c.Last()
	} else {
		k, row = c.Prev()
	}
	if !bytes.HasPrefix(k, key[:]) {
		return nil, nil
	}
	return parseRow(row, into)
}

func parseRow(row []byte, into []entry) ([]entry, error) {
	found, err := parseChunk(row, into)
	if err == nil && len(found) == 0 {
		err = errRow
	}
	return found, err
}

// lastReads implements segment.
func (r *run) lastReads(key listKey) ([]fieldRead, error) {
	if r.rows == nil {
		return nil, nil
	}
	return parseReads(r.rows.Get(key[:]))
}
