package eventstore

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
)

// headsKept is how many subjects a generation of heads has at most; there are
// two.
const headsKept = 128 << 10

// doubtful stands for the position of an append of which nobody knows whether
// it is stored.
const doubtful = ^uint64(0)

// knownHeads knows where the newest appends to a stream of the embedded server went,
// to which only this process appends. To check an expected position the server
// reads the subject's last message, and with it a whole block of 8 MiB from the
// disk. Where the caller's knowledge and what was appended since say that
// nothing came in between, it need not be asked: with a million secrets that is
// 64 updates a second against thousands.
//
// What is not certain here is the server's to say, as before, and so is
// whatever comes behind the first attempt: it answers in the order in which it
// was asked, so its answer to a second one says what became of the first.
type knownHeads struct {
	seed maphash.Seed

	mu     sync.Mutex
	flying map[uint64]*flight // subjects with appends under way
	// young and old give the position of a subject's newest append, or doubtful.
	// Subjects are hashed: two that share a place only make the server be asked.
	young, old map[uint64]uint64
	// from is the position behind which every append is in one of them, or
	// under way.
	from uint64
}

// flight is what is under way to a subject: one append that is certain, or any
// number whose expectations the server checks.
type flight struct {
	certain bool
	appends int
	newest  uint64 // doubtful as soon as one of them is
	over    chan struct{}
}

func newKnownHeads(head uint64) *knownHeads {
	return &knownHeads{seed: maphash.MakeSeed(), flying: map[uint64]*flight{}, young: map[uint64]uint64{}, from: head}
}

// enter begins an append to a subject; leave must be called with its outcome.
// certain says that the subject's last message is at the position after, as the
// caller knew who knows all up to a position, 0 for nothing, and that nobody
// else appends to it until leave. ErrUnavailable: ctx ended before.
func (h *knownHeads) enter(ctx context.Context, subject string, after, known uint64) (certain bool, leave func(position uint64, outcome headOutcome), err error) {
	place := maphash.String(h.seed, subject)
	h.mu.Lock()
	for f := h.flying[place]; f != nil && f.certain; f = h.flying[place] {
		h.mu.Unlock()
		select {
		case <-f.over:
		case <-ctx.Done():
			return false, nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
		h.mu.Lock()
	}
	defer h.mu.Unlock()
	f := h.flying[place]
	if f == nil {
		newest, appended := h.at(place)
		f = &flight{certain: known > 0 && known >= h.from && (!appended || newest == after), over: make(chan struct{})}
		h.flying[place] = f
	}
	f.appends++
	return f.certain, func(position uint64, outcome headOutcome) { h.leave(place, f, position, outcome) }, nil
}

func (h *knownHeads) leave(place uint64, f *flight, position uint64, outcome headOutcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch outcome {
	case headStays:
	case headMoved:
		f.newest = max(f.newest, position)
	case headDoubtful:
		f.newest = doubtful
	}
	if f.appends--; f.appends > 0 {
		return
	}
	// Appends leave in any order, long after they were stored, so only their
	// end says what became of the subject. A doubt from before this flight is
	// over once the server has taken an append of it: that was sent later, and
	// the server takes everything in order and refuses what expects an older
	// head. A doubt of the flight itself stays for the next one.
	if f.newest > 0 {
		h.put(place, f.newest)
	}
	delete(h.flying, place)
	close(f.over)
}

// raise says that there are appends up to a position which enter has not seen.
func (h *knownHeads) raise(position uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from = max(h.from, position)
}

// headOutcome is what an append did to its subject.
type headOutcome int

const (
	headStays headOutcome = iota
	headMoved
	headDoubtful
)

func (h *knownHeads) at(place uint64) (uint64, bool) {
	if position, ok := h.young[place]; ok {
		return position, true
	}
	position, ok := h.old[place]
	return position, ok
}

// put drops the old generation when the young one is full, but what is doubtful.
func (h *knownHeads) put(place, position uint64) {
	h.young[place] = position
	if len(h.young) < headsKept {
		return
	}
	dropped := h.old
	h.old, h.young = h.young, map[uint64]uint64{}
	for place, position := range dropped {
		if _, newer := h.old[place]; newer {
			continue
		}
		if position == doubtful {
			h.young[place] = doubtful
		} else {
			h.from = max(h.from, position)
		}
	}
}
