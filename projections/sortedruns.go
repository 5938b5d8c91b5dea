package projections

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// runBuffer is read or written of a run at once: one for each run of a table
// while they are merged.
const runBuffer = 32 << 10

// sortedRuns keeps rows out of memory until all of them can be put into a
// table in the order of its keys. A run is what one layer has of one table. All
// of them lie in one file, which is worth nothing once it is closed.
type sortedRuns struct {
	path string
	file *os.File
	size int64
	runs [tableCount][]run // oldest first
}

// run is where the rows of one table lie, each as looseRows has it.
type run struct{ offset, size int64 }

// newSortedRuns makes the file anew.
func newSortedRuns(path string) (*sortedRuns, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // beside the projection.
	return &sortedRuns{path: path, file: file}, err
}

func (r *sortedRuns) close() error { return errors.Join(r.file.Close(), os.Remove(r.path)) }

// add makes a run of each table's rows.
func (r *sortedRuns) add(tables *[tableCount]looseRows) error {
	w := bufio.NewWriterSize(r.file, 8*runBuffer)
	for t := range tables {
		begin := r.size
		tables[t].sorted(func(whole []byte) {
			n, _ := w.Write(whole) // its error is Flush's
			r.size += int64(n)
		})
		if r.size > begin {
			r.runs[t] = append(r.runs[t], run{offset: begin, size: r.size - begin})
		}
	}
	return w.Flush()
}

// merge shows what is left of a table's rows in the order of the keys: of those
// with the same key the newest, unless it is none. What it shows holds until
// show returns.
func (r *sortedRuns) merge(t table, show func(key, row []byte) error) error {
	var m runHeap
	for i, run := range r.runs[t] {
		c := &runCursor{age: len(r.runs[t]) - i, rest: bufio.NewReaderSize(io.NewSectionReader(r.file, run.offset, run.size), runBuffer)}
		if ok, err := c.next(); err != nil {
			return err
		} else if ok {
			m = append(m, c)
		}
	}
	heap.Init(&m)
	var last []byte
	for first := true; len(m) > 0; {
		c := m[0]
		if first || !bytes.Equal(c.key, last) {
			first, last = false, append(last[:0], c.key...)
			if c.row != nil {
				if err := show(c.key, c.row); err != nil {
					return err
				}
			}
		}
		ok, err := c.next()
		switch {
		case err != nil:
			return err
		case ok:
			heap.Fix(&m, 0)
		default:
			heap.Pop(&m)
		}
	}
	return nil
}

// runCursor walks one run.
type runCursor struct {
	age      int // 1 for the newest
	rest     *bufio.Reader
	buffer   []byte
	key, row []byte // in buffer; a nil row is none
}

// next goes to the next row; false: there is none.
func (c *runCursor) next() (bool, error) {
	key, err := binary.ReadUvarint(c.rest)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	row, failed := binary.ReadUvarint(c.rest)
	if err := errors.Join(err, failed); err != nil {
		return false, err
	}
	size := key + row - min(row, 1)
	if uint64(cap(c.buffer)) < size {
		c.buffer = make([]byte, size)
	}
	c.buffer = c.buffer[:size]
	if _, err := io.ReadFull(c.rest, c.buffer); err != nil {
		return false, err
	}
	c.key, c.row = c.buffer[:key], c.buffer[key:]
	if row == removedRow {
		c.row = nil
	}
	return true, nil
}

// runHeap has the cursor with the smallest key first, of equal ones the newest.
type runHeap []*runCursor

// Len implements heap.Interface, as the others do.
func (h runHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h runHeap) Less(i, j int) bool {
	if order := bytes.Compare(h[i].key, h[j].key); order != 0 {
		return order < 0
	}
	return h[i].age < h[j].age
}

// Swap implements heap.Interface.
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *runHeap) Push(x any) {
	if c, ok := x.(*runCursor); ok {
		*h = append(*h, c)
	}
}

// Pop implements heap.Interface.
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
