package projections

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// freshFor is how long the state may be served since it last was known to
// hold everything that the log holds.
const freshFor = 60 * time.Second

// phase says what the store is doing.
type phase uint8

const (
	phaseIdle       phase = iota // nobody has told it to follow a log
	phaseCatchingUp              // up to the head as of the start
	phaseFollowing
	phaseStopped
)

// progress is how far the store has come, and who waits for it.
type progress struct {
	applied atomic.Uint64
	// answers says that the store has caught up since it was opened or a
	// rebuild began.
	answers atomic.Bool

	mu         sync.Mutex
	phase      phase
	stopped    error // why, nil after the end of Run's context
	rebuilding bool
	folded     time.Time
	event      ulid.ULID // id of the event at applied
	target     uint64    // the head to be reached before answering
	silence    error     // of the last heartbeat
	heard      bool      // any heartbeat at all
	log        domain.LogStatus
	asked      time.Time // when the last answered heartbeat was sent
	skew       time.Duration
	behind     bool      // two heartbeats in a row found the same head not reached
	current    time.Time // the state is known to hold all that the log held then
	waiters    waiters
}

// restart begins at a checkpoint whose log has not been seen yet.
func (p *progress) restart(mark checkpoint, rebuilding bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers.Store(false)
	p.applied.Store(mark.position)
	p.folded, p.event, p.rebuilding = mark.at, mark.eventID, rebuilding
	p.heard, p.behind, p.current = false, false, time.Time{}
}

// begin starts catching up. Where to is known with the first heartbeat.
func (p *progress) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.stopped, p.heard, p.behind, p.silence = phaseCatchingUp, nil, false, false, nil
}

// rest ends following without stopping: who waits goes on waiting.
func (p *progress) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase = phaseIdle
}

// stop ends following and tells all who wait. err is nil when it was asked to.
func (p *progress) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.phase, p.stopped = phaseStopped, err
	for len(p.waiters) > 0 {
		p.waiters.release(errStopped())
	}
}

// silent notes a heartbeat without an answer.
func (p *progress) silent(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silence = err
}

// beat notes an answered heartbeat.
func (p *progress) beat(status domain.LogStatus, asked, answered time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard {
		p.behind = p.applied.Load() < p.log.Head
	} else {
		p.target = status.Head
	}
	p.heard, p.silence, p.log, p.asked = true, nil, status, asked
	p.skew = asked.Add(answered.Sub(asked) / 2).Sub(status.Clock)
	p.settle()
}

// reached publishes a position and wakes who waits for it.
func (p *progress) reached(mark checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied.Store(mark.position)
	p.folded, p.event = mark.at, mark.eventID
	p.settle()
	for len(p.waiters) > 0 && p.waiters[0].position <= mark.position {
		p.waiters.release(nil)
	}
}

// settle draws the conclusions of a new position or a new head.
func (p *progress) settle() {
	applied := p.applied.Load()
	if !p.heard {
		return
	}
	if p.phase == phaseCatchingUp && applied >= p.target {
		p.phase, p.rebuilding = phaseFollowing, false
		p.answers.Store(true)
	}
	if applied >= p.log.Head {
		p.behind = false
		if p.asked.After(p.current) {
			p.current = p.asked
		}
	}
}

func errStopped() error {
	return fmt.Errorf("%w: %w", domain.Errorf(domain.CodeUnavailable, "this node does not follow the log"), ErrStopped)
}

func (p *progress) serving() error {
	if p.answers.Load() {
		return nil
	}
	return domain.Errorf(domain.CodeUnavailable, "this node has not caught up with the log")
}

// Serving refuses with unavailable before the store has caught up with the
// log for the first time since it was opened, or since a rebuild began: what
// it would answer before that is not wrong but unknown.
func (s *Store) Serving() error { return s.progress.serving() }

// Position is that of the last applied event, 0 before the first.
func (s *Store) Position() uint64 { return s.progress.applied.Load() }

// Applied returns the position of the last applied event, 0 before the first,
// and the event's id, zero for a foreign message.
func (s *Store) Applied() (position uint64, event ulid.ULID) {
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	return s.progress.applied.Load(), s.progress.event
}

// Now is the folded time of the last applied event.
func (s *Store) Now() time.Time {
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	return s.progress.folded
}

// Status gives what the log last said about itself, zero before it said
// anything, and the position applied.
func (s *Store) Status() (status domain.LogStatus, applied uint64) {
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	return s.progress.log, s.progress.applied.Load()
}

// ClockSkew is this node's clock minus the log server's at the last
// heartbeat, as exact as half its round trip; positive when this node is
// ahead, 0 before the first.
func (s *Store) ClockSkew() time.Duration {
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	return s.progress.skew
}

// WaitFor returns nil once the event at position has been applied: at once,
// or as soon as it is. It gives ctx's error when that ends first, and
// [ErrStopped], as unavailable, when the projection has stopped. Before Run is
// called it waits.
func (s *Store) WaitFor(ctx context.Context, position uint64) error {
	p := &s.progress
	if p.applied.Load() >= position {
		return nil
	}
	s.help(position)
	p.mu.Lock()
	switch {
	case p.applied.Load() >= position:
		p.mu.Unlock()
		return nil
	case p.phase == phaseStopped:
		p.mu.Unlock()
		return errStopped()
	}
	w := &waiter{position: position, done: make(chan struct{})}
	heap.Push(&p.waiters, w)
	p.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.index < 0 { // released in the meantime
		return w.err
	}
	heap.Remove(&p.waiters, w.index)
	return ctx.Err()
}

// Ready says nil while the store follows its log and is caught up, else why
// not. The error is for operators.
func (s *Store) Ready() error {
	p := &s.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.phase {
	case phaseIdle:
		return errors.New("projections: not following the log")
	case phaseCatchingUp:
		return p.catchingUp()
	case phaseStopped:
		if p.stopped == nil {
			return ErrStopped
		}
		return fmt.Errorf("%w: %w", ErrStopped, p.stopped)
	case phaseFollowing:
		if p.behind {
			return fmt.Errorf("projections: applied %d events of %d and falling behind", p.applied.Load(), p.log.Head)
		}
	}
	return nil
}

func (p *progress) catchingUp() error {
	switch {
	case p.silence != nil:
		return fmt.Errorf("projections: the log does not answer: %w", p.silence)
	case p.rebuilding:
		return fmt.Errorf("projections: rebuilding: applied %d events of %d", p.applied.Load(), p.target)
	}
	return fmt.Errorf("projections: catching up: applied %d events of %d", p.applied.Load(), p.target)
}

// Fresh refuses with unavailable where the state may be too old to give out
// values or keys: the store has not caught up yet, has stopped with an error,
// or is not known to have held everything that the log held at some moment of
// the last 60 seconds before now.
func (s *Store) Fresh(now time.Time) error {
	p := &s.progress
	if err := p.serving(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.phase == phaseStopped && p.stopped != nil {
		return errStopped()
	}
	if now.Sub(p.current) > freshFor {
		return domain.Errorf(domain.CodeUnavailable, "this node has not heard from the log for too long")
	}
	return nil
}
