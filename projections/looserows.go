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
	l.begin = append(l.begin, place(last)<<32|place(len(l.chunks[last]))) //nolint:gosec // not negative.
	l.chunks[last] = appendRow(l.chunks[last], key, row)
}

// at gives the key of the row at a place, and all of the row as it lies.
func (l *looseRows) at(p place) (key, whole []byte) {
	rest := l.chunks[p>>32][p&(1<<32-1):]
	key, _, size := cutRow(rest)
	return key, rest[:size]
}

// appendRow appends a row whole.
func appendRow(out, key, row []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(key)))
	if row == nil {
		return append(append(out, removedRow), key...)
	}
	out = binary.AppendUvarint(out, uint64(len(row))+1)
	return append(append(out, key...), row...)
}

// cutRow reads the row that lies whole in front, and says how long it is there.
func cutRow(whole []byte) (key, row []byte, size uint64) {
	keySize, n := binary.Uvarint(whole)
	rowSize, m := binary.Uvarint(whole[n:])
	head := uint64(n + m) //nolint:gosec // at most 20.
	key = whole[head : head+keySize]
	if rowSize == removedRow {
		return key, nil, head + keySize
	}
	size = head + keySize + rowSize - 1
	return key, whole[head+keySize : size], size
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
