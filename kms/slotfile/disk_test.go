package slotfile

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
)

var (
	errPower = errors.New("the power went")
	errFull  = errors.New("no space left on device")
)

// power is that of a machine with several disks: it goes at the write or fsync
// with a number.
type power struct {
	mu    sync.Mutex
	steps int
	goes  int // at this step; 0: never
	gone  bool
}

// step reports whether the power is still on after one more step.
func (p *power) step() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps++
	p.gone = p.gone || p.steps == p.goes
	return !p.gone
}

// disk is a device in memory that loses what was not synced: after a crash
// every sector has the content of its last fsync, or of any write since.
type disk struct {
	power  *power
	sector int

	mu      sync.Mutex
	cache   []byte
	durable []byte
	since   map[int][][]byte // of a sector: its contents since the last fsync
	broken  bool             // fsyncs fail
	full    bool             // writes fail in the middle
	held    func()           // called by every fsync
	syncs   int
}

func newDisk(p *power, sector int, content []byte) *disk {
	return &disk{power: p, sector: sector, cache: slices.Clone(content), durable: slices.Clone(content), since: map[int][][]byte{}}
}

func (d *disk) Close() error { return nil }

func (d *disk) Size() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(len(d.cache)), nil
}

func (d *disk) ReadAt(b []byte, offset int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset >= int64(len(d.cache)) {
		return 0, io.EOF
	}
	n := copy(b, d.cache[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt does its write also when the power goes with it: any part of it may
// then be on the disk.
func (d *disk) WriteAt(b []byte, offset int64) (int, error) {
	d.power.mu.Lock()
	gone := d.power.gone
	d.power.mu.Unlock()
	if gone {
		return 0, errPower
	}
	on := d.power.step()
	d.mu.Lock()
	defer d.mu.Unlock()
	full := d.full
	if full {
		b = b[:len(b)/2]
	}
	if end := int(offset) + len(b); end > len(d.cache) {
		d.cache = append(d.cache, make([]byte, end-len(d.cache))...)
	}
	copy(d.cache[offset:], b)
	for s := int(offset) / d.sector; s*d.sector < int(offset)+len(b); s++ {
		d.since[s] = append(d.since[s], slices.Clone(d.cache[s*d.sector:min((s+1)*d.sector, len(d.cache))]))
	}
	if full {
		return len(b), errFull
	}
	if !on {
		return 0, errPower
	}
	return len(b), nil
}

func (d *disk) Sync() error {
	if !d.power.step() {
		return errPower
	}
	d.mu.Lock()
	d.syncs++
	held := d.held
	d.mu.Unlock()
	if held != nil {
		held()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		// As Linux does it: the pages are called clean, and the next fsync
		// does not write them.
		d.since = map[int][][]byte{}
		return errors.New("input/output error")
	}
	grown := len(d.cache) - len(d.durable)
	d.durable = append(d.durable, make([]byte, grown)...)
	for s, contents := range d.since {
		copy(d.durable[s*d.sector:], contents[len(contents)-1])
	}
	d.since = map[int][][]byte{}
	return nil
}

// survives returns one of the contents that the disk may have after a crash.
func (d *disk) survives(r *rand.Rand) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := slices.Clone(d.durable)
	if grown := len(d.cache) - len(left); r.IntN(2) == 0 {
		left = append(left, make([]byte, r.IntN(grown+1))...)
	} else {
		left = append(left, make([]byte, grown)...)
	}
	for s := range (len(d.cache) + d.sector - 1) / d.sector {
		contents := d.since[s]
		if n := r.IntN(len(contents) + 1); n > 0 && s*d.sector < len(left) {
			copy(left[s*d.sector:], contents[n-1])
		}
	}
	return left
}
