package projections

import (
	"encoding/binary"
	"errors"
	"time"
)

// errRow says that a row is not what this version writes.
var errRow = errors.New("projections: a row cannot be read")

// epoch is the zero time.Time in Unix milliseconds: rows count from there, so
// that a zero time is a zero byte.
const epoch = -62135596800000

// millis gives t in milliseconds since year 1; times before that are 0.
func millis(t time.Time) uint64 { return uint64(max(0, t.UnixMilli()-epoch)) }

func fromMillis(ms uint64) time.Time {
	return time.UnixMilli(int64(ms) + epoch).UTC() //nolint:gosec // any sum is some time.
}

// pen writes a row. Rows have no padding and one form, so equal states are
// equal bytes.
type pen struct{ row []byte }

func (p *pen) byte(b byte)     { p.row = append(p.row, b) }
func (p *pen) number(n uint64) { p.row = binary.AppendUvarint(p.row, n) }

// time has whole milliseconds.
func (p *pen) time(t time.Time) { p.number(millis(t)) }
func (p *pen) raw(b []byte)     { p.row = append(p.row, b...) }

func (p *pen) text(s string) {
	p.number(uint64(len(s)))
	p.row = append(p.row, s...)
}

func (p *pen) flag(v bool) {
	if v {
		p.byte(1)
	} else {
		p.byte(0)
	}
}

// list writes a slice and tells nil from empty.
func list[T any](p *pen, items []T, write func(T)) {
	if items == nil {
		p.number(0)
		return
	}
	p.number(uint64(len(items)) + 1)
	for _, item := range items {
		write(item)
	}
}

// scanner reads a row. Its strings share one copy of the row, so nothing of
// it points into the file. After a fault it gives zero values.
type scanner struct {
	row    string
	at     int // an index and no rest: it moves without a pointer being written
	err    error
	memory *rowMemory
}

func scan(row []byte) *scanner { return &scanner{row: string(row), memory: new(rowMemory)} }

func (s *scanner) fail() { s.at, s.err = len(s.row), errRow }

func (s *scanner) left() uint64 { return uint64(len(s.row) - s.at) } //nolint:gosec // not negative.

func (s *scanner) take(n uint64) string {
	if n > s.left() {
		s.fail()
		return ""
	}
	begin := s.at
	s.at += int(n) //nolint:gosec // at most the length.
	return s.row[begin:s.at]
}

func (s *scanner) byte() byte {
	if s.at >= len(s.row) {
		s.fail()
		return 0
	}
	s.at++
	return s.row[s.at-1]
}

func (s *scanner) number() uint64 {
	var n uint64
	for shift := uint(0); shift < 64; shift += 7 {
		b := s.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
	s.fail()
	return 0
}

func (s *scanner) flag() bool      { return s.byte() == 1 }
func (s *scanner) text() string    { return s.take(s.number()) }
func (s *scanner) time() time.Time { return fromMillis(s.number()) }

func scanList[T any](s *scanner, memory *slab[T], read func() T) []T {
	n := s.number()
	if n == 0 {
		return nil
	}
	n--
	if n > s.left() { // every item has a byte at least
		s.fail()
		return nil
	}
	items := memory.take(n, s.memory.more)
	for range n {
		items = append(items, read())
	}
	return items
}

// end gives the fault, if any; bytes left over are one.
func (s *scanner) end() error {
	if s.left() > 0 {
		s.fail()
	}
	return s.err
}
