package accesslog

import (
	"encoding/binary"
	"errors"

	"github.com/chancery-dev/chancery/domain"
)

// chunkEntries is how many entries one row of a list holds at most.
const chunkEntries = 256

// errRow says that a row is none that this package wrote.
var errRow = errors.New("accesslog: a row that cannot be read")

// entry is one record in a list: where it is, and its time in milliseconds.
type entry struct {
	place place
	time  int64
}

// chunk is a part of a list in the form of its row: each entry as the
// difference to the one before it, position, index and time as varints. Its
// zero value is empty.
type chunk struct {
	last entry
	n    int
	row  []byte
}

// add puts an entry behind the last one.
func (c *chunk) add(e entry) {
	moved := e.place.Position - c.last.place.Position
	c.row = binary.AppendUvarint(c.row, moved)
	index := uint64(e.place.Index)
	if moved == 0 {
		index -= uint64(c.last.place.Index)
	}
	c.row = binary.AppendUvarint(c.row, index)
	c.row = binary.AppendVarint(c.row, e.time-c.last.time)
	c.last = e
	c.n++
}

// parseChunk appends the entries of a row.
func parseChunk(row []byte, into []entry) ([]entry, error) {
	var e entry
	for len(row) > 0 {
		moved, a := binary.Uvarint(row)
		if a <= 0 {
			return nil, errRow
		}
		index, b := binary.Uvarint(row[a:])
		if b <= 0 || index > 1<<16-1 {
			return nil, errRow
		}
		time, c := binary.Varint(row[a+b:])
		if c <= 0 {
			return nil, errRow
		}
		if moved == 0 {
			index += uint64(e.place.Index)
		}
		e = entry{place: place{Position: e.place.Position + moved, Index: uint16(index)}, time: e.time + time}
		into = append(into, e)
		row = row[a+b+c:]
	}
	return into, nil
}

// appendReads writes the last reads of one secret: a field and a place each, in the
// order of the fields.
func appendReads(row []byte, reads []fieldRead) []byte {
	for _, r := range reads {
		row = append(binary.AppendUvarint(row, uint64(len(r.field))), r.field...)
		row = appendPlace(row, r.place)
	}
	return row
}

func parseReads(row []byte) ([]fieldRead, error) {
	var reads []fieldRead
	for len(row) > 0 {
		size, n := binary.Uvarint(row)
		if n <= 0 || size > uint64(len(row)) || uint64(len(row[n:])) < size+placeLen {
			return nil, errRow
		}
		row = row[n:]
		reads = append(reads, fieldRead{field: domain.FieldKey(row[:size]), place: parsePlace(row[size:])})
		row = row[size+placeLen:]
	}
	return reads, nil
}

// fieldRead says where a field was read last.
type fieldRead struct {
	field domain.FieldKey
	place place
}
