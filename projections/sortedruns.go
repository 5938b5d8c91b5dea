package projections

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"os"
	"sort"
	"sync"
)

const (
	// runBuffer is read or written of a run at once: one for each run of a
	// table while they are merged.
	runBuffer = 32 << 10
	// runStride is of how many rows one is remembered, to find the others by.
	runStride = 16
)

// sortedRuns keeps rows out of memory until all of them can be put into a
// table in the order of its keys. A run is what one layer has of one table. All
// of them lie in one file, which is worth nothing once it is closed.
//
// One goroutine adds runs, others may look rows up meanwhile.
type sortedRuns struct {
	path string
	file *os.File
	size int64 // belongs to who adds
	seed maphash.Seed
	// known are the keys of all rows that may be sought, also of those that are
	// in no run yet. It belongs to who looks up.
	known *bloom

	mu     sync.RWMutex
	runs   [tableCount][]run // oldest first; what is there does not change
	failed error             // of looking up
}

// run is where the rows of one table lie, each as looseRows has it.
type run struct {
	offset, size int64
	// Of a run in which rows are looked up: its keys, and where every
	// runStride'th row lies.
	keys    *bloom
	strides []stride
}

type stride struct {
	key    []byte
	offset int64
}

// newSortedRuns makes the file anew, for about as many rows that are sought.
func newSortedRuns(path string, rows uint64) (*sortedRuns, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // beside the projection.
	if err != nil {
		return nil, err
	}
	return &sortedRuns{path: path, file: file, seed: maphash.MakeSeed(), known: newBloom(rows)}, nil
}

func (r *sortedRuns) close() error { return errors.Join(r.file.Close(), os.Remove(r.path)) }

func (r *sortedRuns) of(t table) []run {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.runs[t]
}

// bytes gives the size of all runs.
func (r *sortedRuns) bytes() (sum uint64) {
	for t := range tableCount {
		for _, run := range r.of(t) {
			sum += uint64(run.size) //nolint:gosec // not negative.
		}
	}
	return sum
}

// add makes a run of each table of a layer that is deferred or sought.
func (r *sortedRuns) add(l *layer) error {
	w := bufio.NewWriterSize(r.file, 8*runBuffer)
	var added [tableCount]run
	for t := range tableCount {
		b := runBuilder{to: w, at: r.size, seed: r.seed, run: run{offset: r.size}}
		l.loose[t].sorted(b.put)
		if rows := l.tables[t]; rows != nil && sought(t) {
			b.keys = newBloom(uint64(rows.Len())) //nolint:gosec // not negative.
			var whole []byte
			rows.Scan(func(e entry) bool {
				whole = appendRow(whole[:0], e.key, e.row)
				b.put(whole)
				return true
			})
		}
		b.size = b.at - b.offset
		added[t], r.size = b.run, b.at
	}
	if err := w.Flush(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, run := range added {
		if run.size > 0 {
			r.runs[t] = append(r.runs[t], run)
		}
	}
	return nil
}

// runBuilder writes one run.
type runBuilder struct {
	run
	to   *bufio.Writer
	seed maphash.Seed
	at   int64
	rows int
}

func (b *runBuilder) put(whole []byte) {
	if b.keys != nil {
		key, _, _ := cutRow(whole)
		b.keys.add(maphash.Bytes(b.seed, key))
		if b.rows++; b.rows%runStride == 1 {
			b.strides = append(b.strides, stride{key: bytes.Clone(key), offset: b.at})
		}
	}
	n, _ := b.to.Write(whole) // its error is Flush's
	b.at += int64(n)
}

// know remembers that a row may be sought.
func (r *sortedRuns) know(key []byte) { r.known.add(maphash.Bytes(r.seed, key)) }

// mayHave says false where no row has a key, in no table that is sought. The
// hash is for get.
func (r *sortedRuns) mayHave(key []byte) (hash uint64, ok bool) {
	hash = maphash.Bytes(r.seed, key)
	return hash, r.known.has(hash)
}

// get looks a row up in the runs of a sought table; nil: there is none, or it
// could not be read, which err then tells.
func (r *sortedRuns) get(t table, key []byte, hash uint64) []byte {
	runs := r.of(t)
	for i := len(runs) - 1; i >= 0; i-- {
		if !runs[i].keys.has(hash) {
			continue
		}
		row, found, err := r.find(&runs[i], key)
		if err != nil {
			r.mu.Lock()
			r.failed = err
			r.mu.Unlock()
		}
		if found || err != nil {
			return row
		}
	}
	return nil
}

// err is why a row could not be read.
func (r *sortedRuns) err() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.failed
}

func (r *sortedRuns) find(of *run, key []byte) (row []byte, found bool, err error) {
	behind := sort.Search(len(of.strides), func(i int) bool { return bytes.Compare(of.strides[i].key, key) > 0 })
	if behind == 0 {
		return nil, false, nil
	}
	end := of.offset + of.size
	if behind < len(of.strides) {
		end = of.strides[behind].offset
	}
	begin := of.strides[behind-1].offset
	part := make([]byte, end-begin)
	if _, err := r.file.ReadAt(part, begin); err != nil {
		return nil, false, err
	}
	for len(part) > 0 {
		k, row, size := cutRow(part)
		if bytes.Equal(k, key) {
			return row, true, nil
		}
		part = part[size:]
	}
	return nil, false, nil
}

// merge shows what is left of a table's rows in the order of the keys: of those
// with the same key the newest, unless it is none. What it shows holds until
// show returns.
func (r *sortedRuns) merge(t table, show func(key, row []byte) error) error {
	var m runHeap
	runs := r.of(t)
	for i, run := range runs {
		c := &runCursor{age: len(runs) - i, rest: bufio.NewReaderSize(io.NewSectionReader(r.file, run.offset, run.size), runBuffer)}
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

// orderedRowsPart are some of a table's rows, in the order of the keys; err is
// why there are no more.
type orderedRowsPart struct {
	rows []entry
	err  error
}

const (
	partRows     = 1024
	partsWaiting = 4
)

// ordered gives what merge shows, which it does meanwhile. The channel must be
// emptied.
func (r *sortedRuns) ordered(t table) <-chan orderedRowsPart {
	parts := make(chan orderedRowsPart, partsWaiting)
	go func() {
		defer close(parts)
		var part orderedRowsPart
		var bytes []byte
		part.err = r.merge(t, func(key, row []byte) error {
			if need := len(key) + len(row); cap(bytes)-len(bytes) < need {
				bytes = make([]byte, 0, max(need, looseChunk))
			}
			begin := len(bytes)
			bytes = append(append(bytes, key...), row...)
			both := bytes[begin:len(bytes):len(bytes)]
			part.rows = append(part.rows, entry{key: both[:len(key):len(key)], row: both[len(key):]})
			if len(part.rows) == partRows {
				parts <- part
				part.rows = make([]entry, 0, partRows)
			}
			return nil
		})
		parts <- part
	}()
	return parts
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
