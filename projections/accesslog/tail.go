package accesslog

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// list is one list of the tail.
type list struct {
	full []chunk
	open chunk
}

// tail indexes the newest records, which are in no run yet. The writer adds to
// it before the transaction is committed; readers pass over what is beyond the
// position that they were given. It is never changed again once its run was
// cut.
type tail struct {
	after uint64 // the last position of the run before

	mu      sync.RWMutex
	records int
	min     int64 // of the records' times, in milliseconds
	max     int64
	lists   map[listKey]*list
	reads   map[listKey][]fieldRead // each in the order of its fields
	keys    []listKey               // room for those of a record
}

func newTail(after uint64) *tail {
	return &tail{after: after, lists: map[listKey]*list{}, reads: map[listKey][]fieldRead{}}
}

// add indexes the records of the message at a position.
func (t *tail) add(position uint64, records []domain.Access) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range records {
		a := &records[i]
		e := entry{place: place{Position: position, Index: uint16(i)}, time: a.Time.UnixMilli()}
		if t.records == 0 {
			t.min, t.max = e.time, e.time
		}
		t.records, t.min, t.max = t.records+1, min(t.min, e.time), max(t.max, e.time)
		t.keys = keysOf(a, t.keys[:0])
		for _, key := range t.keys {
			t.post(key, e)
		}
		if releases(a) {
			t.read(secretKey(kindLastRead, refOf(a)), fieldRead{field: a.Field, place: e.place})
		}
	}
}

func (t *tail) post(key listKey, e entry) {
	l := t.lists[key]
	if l == nil {
		l = &list{}
		t.lists[key] = l
	}
	if l.open.n == chunkEntries {
		l.full, l.open = append(l.full, l.open), chunk{}
	}
	l.open.add(e)
}

func (t *tail) read(key listKey, r fieldRead) {
	reads := t.reads[key]
	i, found := slices.BinarySearchFunc(reads, r, func(a, b fieldRead) int { return cmp.Compare(a.field, b.field) })
	if found {
		reads[i].place = r.place
		return
	}
	r.field = domain.FieldKey(strings.Clone(string(r.field))) // keeps no message in memory
	t.reads[key] = slices.Insert(reads, i, r)
}

// entries implements segment.
func (t *tail) entries(key listKey, from place, ascending bool, into []entry) ([]entry, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l := t.lists[key]
	if l == nil {
		return nil, nil
	}
	at := func(i int) *chunk {
		if i == len(l.full) {
			return &l.open
		}
		return &l.full[i]
	}
	i := sort.Search(len(l.full)+1, func(i int) bool { return !before(at(i).last.place, from) })
	if i > len(l.full) {
		if ascending {
			return nil, nil
		}
		i--
	}
	found, err := parseChunk(at(i).row, into)
	if err != nil || ascending || !before(from, found[0].place) {
		return found, err
	}
	if i == 0 {
		return nil, nil
	}
	return parseChunk(at(i-1).row, into)
}

// lastReads implements segment.
func (t *tail) lastReads(key listKey) ([]fieldRead, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.reads[key]), nil
}

// times gives the earliest and latest time of its records, if there are any.
func (t *tail) times() (earliest, latest int64, some bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.min, t.max, t.records > 0
}
