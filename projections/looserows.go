package projections

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// removedRow is the length of a row that is none; others have one more than
// they are long.
const removedRow = 0

// looseChunk is how much memory loose rows are given at once.
const looseChunk = 256 << 10

// looseRows are rows of one table in the order in which they were put, in a few
// pieces of memory without pointers: for those that nobody looks up before they
// are sorted. A copy of the value does not see what is put into another.
type looseRows struct {
	chunks [][]byte // of each row: length of the key, of the row, key, row
	begin  []place
}

// place is where a row begins: a chunk, and an offset there in the lower half.
type place uint64

func (l *looseRows) put(key, row []byte) {
	need := 2*binary.MaxVarintLen64 + len(key) + len(row)
	last := len(l.chunks) - 1
	if last < 0 || cap(l.chunks[last])-len(l.chunks[last]) < need {
		l.chunks, last = append(l.chunks, make([]byte, 0, max(need, looseChunk))), last+1
	}
	c := l.chunks[last]
	l.begin = append(l.begin, place(last)<<32|place(len(c))) //nolint:gosec // not negative.
	c = binary.AppendUvarint(c, uint64(len(key)))
	if row == nil {
		c = append(c, removedRow)
	} else {
		c = binary.AppendUvarint(c, uint64(len(row))+1)
	}
	l.chunks[last] = append(append(c, key...), row...)
}

// at gives the key of the row at a place, and all of the row as it lies.
func (l *looseRows) at(p place) (key, whole []byte) {
	rest := l.chunks[p>>32][p&(1<<32-1):]
	size, n := binary.Uvarint(rest)
	row, m := binary.Uvarint(rest[n:])
	head := uint64(n + m) //nolint:gosec // at most 20.
	return rest[head : head+size], rest[:head+size+row-min(row, 1)]
}

// sorted shows what is left in the order of the keys: of rows with the same key
// the last. Each is whole, as [looseRows.at] gives it.
func (l *looseRows) sorted(show func(whole []byte)) {
	order := slices.Clone(l.begin)
	slices.SortFunc(order, func(a, b place) int {
		x, _ := l.at(a)
		y, _ := l.at(b)
		return cmp.Or(bytes.Compare(x, y), cmp.Compare(b, a)) // the last first
	})
	var last []byte
	for i, begin := range order {
		key, whole := l.at(begin)
		if i == 0 || !bytes.Equal(key, last) {
			show(whole)
		}
		last = key
	}
}
