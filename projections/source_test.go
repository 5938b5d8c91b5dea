package projections

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

var (
	errUnreadable = errors.New("an event that cannot be read")
	errReplaced   = errors.New("the log was replaced")
	errSilent     = errors.New("no answer")
)

// sliceLog is a log in memory whose faults tests choose.
type sliceLog struct {
	mu      sync.Mutex
	events  []domain.Recorded
	created time.Time
	clock   time.Time
	silent  bool // Status fails
	// unreadable is the position that reading fails on, 0 for none.
	unreadable uint64
	// named says that followers are told of a replaced log; otherwise they
	// go on behind where they were.
	named bool
	epoch int           // counts replacements
	moved chan struct{} // closed with every change
}

func newLog() *sliceLog {
	return &sliceLog{created: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC), moved: make(chan struct{})}
}

func (l *sliceLog) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.moved)
	l.moved = make(chan struct{})
}

// append gives the event the next position unless it has one.
func (l *sliceLog) append(rs ...domain.Recorded) {
	l.change(func() {
		for _, r := range rs {
			if r.Position == 0 {
				r.Position = uint64(len(l.events)) + 1
			}
			r.At = time.Time{}
			l.events = append(l.events, r)
		}
	})
}

// lose drops the tail behind a position.
func (l *sliceLog) lose(after int) {
	l.change(func() { l.events, l.epoch = slices.Clone(l.events[:after]), l.epoch+1 })
}

func (l *sliceLog) head() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.events))
}

// after gives the events behind a position and where to wait for more.
func (l *sliceLog) after(position uint64) ([]domain.Recorded, int, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []domain.Recorded
	if position < uint64(len(l.events)) {
		events = l.events[position:len(l.events):len(l.events)]
	}
	return events, l.epoch, l.moved
}

// give yields events and says whether to go on.
func (l *sliceLog) give(events []domain.Recorded, yield func(domain.Recorded, error) bool) bool {
	for _, r := range events {
		if l.unreadable != 0 && r.Position == l.unreadable {
			yield(domain.Recorded{}, errUnreadable)
			return false
		}
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

func (l *sliceLog) Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(domain.Recorded{}, err)
			return
		}
		events, _, _ := l.after(after)
		l.give(events, yield)
	}
}

func (l *sliceLog) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		_, epoch, _ := l.after(after)
		for ctx.Err() == nil {
			events, now, moved := l.after(after)
			if now != epoch && l.named {
				yield(domain.Recorded{}, errReplaced)
				return
			}
			if !l.give(events, yield) {
				return
			}
			after += uint64(len(events))
			select {
			case <-moved:
			case <-ctx.Done():
			}
		}
	}
}

func (l *sliceLog) Status(ctx context.Context) (domain.LogStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent {
		return domain.LogStatus{}, errSilent
	}
	s := domain.LogStatus{Created: l.created, Head: uint64(len(l.events)), Clock: l.clock}
	if s.Head > 0 {
		s.First = 1
	}
	return s, ctx.Err()
}
