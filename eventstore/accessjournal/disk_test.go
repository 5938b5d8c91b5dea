package accessjournal

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

var (
	errPower = errors.New("the power went")
	errDisk  = errors.New("input/output error")
)

// disk is a directory in memory with at most one file. After a power loss every
// sector has the content of the last sync, or of any write since.
type disk struct {
	rand *rand.Rand
	goes int // the power goes at the write or sync after so many; negative: it stays

	mu      sync.Mutex
	gone    bool
	broken  bool // syncs fail
	cache   []byte
	durable []byte
	since   map[int][][]byte // of a sector: its contents since the last sync
}

func newDisk(r *rand.Rand) *disk { return &disk{rand: r, goes: -1, since: map[int][][]byte{}} }

// step reports whether the power is still on. mu is held.
func (d *disk) step() bool {
	d.gone = d.gone || d.goes == 0
	d.goes--
	return !d.gone
}

// restart brings the power back, after it went or not.
func (d *disk) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		for _, s := range slices.Sorted(maps.Keys(d.since)) {
			contents := d.since[s]
			if n := d.rand.IntN(len(contents) + 1); n > 0 {
				copy(d.durable[s*sector:], contents[n-1])
			}
		}
		d.cache, d.since = slices.Clone(d.durable), map[int][][]byte{}
	}
	d.gone, d.broken, d.goes = false, false, -1
}

func (d *disk) load() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.cache), nil
}

func (d *disk) replace(content []byte) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	on := d.step()
	if on || d.rand.IntN(2) == 0 {
		d.cache, d.durable, d.since = slices.Clone(content), slices.Clone(content), map[int][][]byte{}
	}
	if !on {
		return nil, errPower
	}
	return d, nil
}

func (d *disk) Close() error { return nil }

// WriteAt does its write also when the power goes with it: any part of it may
// then be on the disk.
func (d *disk) WriteAt(b []byte, offset int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return 0, errPower
	}
	on := d.step()
	copy(d.cache[offset:], b)
	for s := int(offset) / sector; s*sector < int(offset)+len(b); s++ {
		d.since[s] = append(d.since[s], slices.Clone(d.cache[s*sector:(s+1)*sector]))
	}
	if !on {
		return 0, errPower
	}
	return len(b), nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.step():
		return errPower
	case d.broken:
		// As Linux does it: the pages are called clean, and no later sync writes
		// them.
		d.since = map[int][][]byte{}
		return errDisk
	}
	for s, contents := range d.since {
		copy(d.durable[s*sector:], contents[len(contents)-1])
	}
	d.since = map[int][][]byte{}
	return nil
}

// memoryLog is the access log of a disk that keeps what it has.
type memoryLog struct {
	fault func() (apply bool, err error) // nil: none

	mu       sync.Mutex
	messages []domain.AccessMessage
	expired  int
}

var _ Log = (*memoryLog)(nil)

func (l *memoryLog) AppendAfter(_ context.Context, after uint64, data []byte, records []domain.Access) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	apply, err := true, error(nil)
	if l.fault != nil {
		apply, err = l.fault()
	}
	if !apply {
		return err
	}
	switch n := uint64(len(l.messages)); {
	case n == after:
		l.messages = append(l.messages, domain.AccessMessage{Position: n + 1, Raw: bytes.Clone(data), Records: records})
	case n != after+1 || !bytes.Equal(l.messages[after].Raw, data):
		return eventstore.ErrConflict
	}
	return err
}

func (l *memoryLog) Read(_ context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	messages := l.messages[max(min(int(after), len(l.messages)), l.expired):]
	return func(yield func(domain.AccessMessage, error) bool) {
		for _, m := range messages {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func (l *memoryLog) Status(context.Context) (domain.LogStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return domain.LogStatus{Head: uint64(len(l.messages))}, nil
}

// text returns everything that the log ever had.
func (l *memoryLog) text() (all string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		all += string(m.Raw)
	}
	return all
}
