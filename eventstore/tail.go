package eventstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// tailEvents and tailBytes bound what a tail keeps for its followers; who
	// is further behind reads the log.
	tailEvents, tailBytes = 2048, 4 << 20
	// tailEarly bounds what waits for an event before it.
	tailEarly = 16384
	// tailView is how many events a follower takes at once.
	tailView = 1024
	// tailCheck is how often a follower that has nothing to do looks whether
	// the log has more than this process knows of, tailGap how often while an
	// event is missing.
	tailCheck, tailGap = time.Second, 50 * time.Millisecond
)

// tail is the end of a log to which only this process appends: what is
// acknowledged here is all there is, so followers need not have it read and
// decoded again. Unlike a consumer it shows nothing before it is durable.
//
// What it does not know of (an append whose outcome could not be found out, a
// message from elsewhere) leaves a gap, which followers fill from the log.
type tail struct {
	mu      sync.Mutex
	last    uint64            // the newest position that it has, or had
	events  []domain.Recorded // the ones up to last, without a gap
	bytes   int
	early   map[uint64]domain.Recorded // acknowledged, but one before is missing
	changed chan struct{}              // closed and replaced by every change
}

func newTail(head uint64) *tail {
	return &tail{last: head, early: map[uint64]domain.Recorded{}, changed: make(chan struct{})}
}

// add takes an acknowledged event, in any order.
func (t *tail) add(rs ...domain.Recorded) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rs {
		if r.Position > t.last && len(t.early) < tailEarly { // else it is read from the log
			t.early[r.Position] = r
		}
	}
	t.join()
}

// reached says that a follower has read the log up to a position.
func (t *tail) reached(position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position <= t.last {
		return
	}
	for p := range t.early {
		if p <= position {
			delete(t.early, p)
		}
	}
	clear(t.events)
	t.last, t.events, t.bytes = position, nil, 0
	t.join()
}

// join moves on over what is there without a gap. mu is held.
func (t *tail) join() {
	before := t.last
	for r, ok := t.early[t.last+1]; ok; r, ok = t.early[t.last+1] {
		delete(t.early, r.Position)
		t.events, t.bytes, t.last = append(t.events, r), t.bytes+tailSize(r), r.Position
	}
	if t.last == before {
		return
	}
	drop := 0
	for len(t.events)-drop > tailEvents || t.bytes > tailBytes && len(t.events)-drop > 1 {
		t.bytes -= tailSize(t.events[drop])
		drop++
	}
	clear(t.events[:drop]) // the array lives on for a while
	t.events = t.events[drop:]
	close(t.changed)
	t.changed = make(chan struct{})
}

// tailSize is about what an event takes in memory.
func tailSize(r domain.Recorded) int { return 1024 + 2*len(r.Raw) }

// after gives what follows a position: events, or behind where they must be
// read from the log up to last, or neither and what to wait for. gap says that
// later ones are there already.
func (t *tail) after(position uint64) (events []domain.Recorded, last uint64, behind, gap bool, changed <-chan struct{}) {
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

// followTail is Follow where only this process appends.
func (l *JetStream) followTail(ctx context.Context, after uint64, yield yieldFunc) {
	f := tailFollower{log: l, last: after, yield: yield}
	for pause := firstPause; ctx.Err() == nil; {
		before := f.last
		err := f.run(ctx)
		if f.last > before {
			pause = firstPause
		}
		switch {
		case errors.Is(err, errLeft), ctx.Err() != nil:
			return
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrReplaced):
			yield(domain.Recorded{}, err)
			return
		}
		l.logger.LogAttrs(ctx, slog.LevelWarn, "following the log goes on", slog.Uint64("position", f.last), slog.String("cause", err.Error()))
		sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// tailFollower is one call of Follow.
type tailFollower struct {
	log   *JetStream
	last  uint64
	yield yieldFunc
	// created is the stream's, once it is known.
	created time.Time
}

// run yields until something is wrong.
func (f *tailFollower) run(ctx context.Context) error {
	if err := f.compare(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(tailCheck)
	defer timer.Stop()
	for {
		events, last, behind, gap, changed := f.log.tail.after(f.last)
		switch {
		case behind:
			if err := f.read(ctx, last); err != nil {
				return err
			}
			continue
		case len(events) > 0:
			for _, r := range events {
				f.last = r.Position
				if !f.yield(r, nil) {
					return errLeft
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			continue
		}
		wait := tailCheck
		if gap {
			wait = tailGap
		}
		timer.Reset(wait)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			if err := f.compare(ctx); err != nil {
				return err
			}
		}
	}
}

// compare asks the log whether it has more than this process appended, and
// reads that.
func (f *tailFollower) compare(ctx context.Context) error {
	_, known, _, _, _ := f.log.tail.after(f.last)
	info, err := f.log.info(ctx)
	if err != nil {
		return err
	}
	if f.created.IsZero() {
		f.created = info.Created
	}
	head := info.State.LastSeq
	if !f.created.Equal(info.Created) || head < f.last {
		return ErrReplaced
	}
	// What was known before the log was asked is no gap, and what is being
	// acknowledged just now need not be read.
	if _, now, _, gap, _ := f.log.tail.after(f.last); head <= f.last || now > known && !gap {
		return nil
	}
	// It may be an append of this process that is not durable yet.
	if err := f.log.durable(ctx, head); err != nil {
		return err
	}
	if err := f.read(ctx, head); err != nil {
		return err
	}
	f.log.tail.reached(head)
	return nil
}

// read yields from the log up to a position.
func (f *tailFollower) read(ctx context.Context, until uint64) (err error) {
	left := false
	f.log.deliver(ctx, delivery{last: f.last, until: until}, func(r domain.Recorded, failed error) bool {
		if failed != nil {
			err = failed
			return false
		}
		f.last = r.Position
		left = !f.yield(r, nil)
		return !left
	})
	if left {
		return errLeft
	}
	return err
}
