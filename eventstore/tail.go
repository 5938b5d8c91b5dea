package eventstore

import (
	"sync"
	"time"
)

const (
	// tailEvents and tailBytes bound what a tail keeps for its followers; who
	// is further behind reads the log.
	tailEvents, tailBytes = 2048, 4 << 20
	// tailEarly and tailEarlyBytes bound what waits for an event before it; the
	// rest is read from the log.
	tailEarly, tailEarlyBytes = 16384, 32 << 20
	// tailView is how many events a follower takes at once.
	tailView = 1024
	// tailCheck is how often a follower that has nothing to do looks whether
	// the log has more than this process knows of, tailGap how often while an
	// event is missing.
	tailCheck, tailGap = time.Second, 50 * time.Millisecond
)

// tail is the end of a log to which only this process appends: what is
// acknowledged here is durable and all there is, so followers need not have it
// read by the server and sent. A consumer would show a message as soon as it is
// stored. T is what the log's messages mean.
//
// What it does not know of (an append whose outcome could not be found out, a
// message from elsewhere) leaves a gap, which followers fill from the log.
type tail[T any] struct {
	// place returns an event's position and about what it takes in memory.
	place func(T) (position uint64, bytes int)

	mu      sync.Mutex
	last    uint64 // the newest position that it has, or had
	events  []T    // the ones up to last, without a gap
	bytes   int
	early   map[uint64]T  // acknowledged, but one before is missing
	waiting int           // bytes of those
	changed chan struct{} // closed and replaced by every change
}

func newTail[T any](head uint64, place func(T) (uint64, int)) *tail[T] {
	return &tail[T]{place: place, last: head, early: map[uint64]T{}, changed: make(chan struct{})}
}

// add takes an acknowledged event, in any order, also again.
func (t *tail[T]) add(rs ...T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rs {
		position, _ := t.place(r)
		if _, again := t.early[position]; again {
			continue
		}
		// The next one is not left out: what waits goes on with it.
		if position == t.last+1 || position > t.last && len(t.early) < tailEarly && t.waiting < tailEarlyBytes {
			t.waiting += t.size(r)
			t.early[position] = r
		}
	}
	t.join()
}

// reached says that a follower has read the log up to a position.
func (t *tail[T]) reached(position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position <= t.last {
		return
	}
	for p, r := range t.early {
		if p <= position {
			delete(t.early, p)
			t.waiting -= t.size(r)
		}
	}
	clear(t.events)
	t.last, t.events, t.bytes = position, nil, 0
	t.join()
}

// join moves on over what is there without a gap. mu is held.
func (t *tail[T]) join() {
	before := t.last
	for r, ok := t.early[t.last+1]; ok; r, ok = t.early[t.last+1] {
		t.last++
		delete(t.early, t.last)
		size := t.size(r)
		t.events, t.bytes, t.waiting = append(t.events, r), t.bytes+size, t.waiting-size
	}
	if t.last == before {
		return
	}
	drop := 0
	for len(t.events)-drop > tailEvents || t.bytes > tailBytes && len(t.events)-drop > 1 {
		t.bytes -= t.size(t.events[drop])
		drop++
	}
	clear(t.events[:drop]) // the array lives on for a while
	t.events = t.events[drop:]
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *tail[T]) size(r T) int {
	_, size := t.place(r)
	return size
}

// after gives what follows a position: events, or behind where they must be
// read from the log up to last, or neither and what to wait for. gap says that
// later ones are there already.
func (t *tail[T]) after(position uint64) (events []T, last uint64, behind, gap bool, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position >= t.last {
		return nil, t.last, false, len(t.early) > 0, t.changed
	}
	first := t.last - uint64(len(t.events)) // exclusive
	if position < first {
		return nil, t.last, true, false, t.changed
	}
	rest := t.events[position-first:]
	return append(events, rest[:min(len(rest), tailView)]...), t.last, false, false, t.changed
}
