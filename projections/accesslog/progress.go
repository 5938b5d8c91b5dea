package accesslog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// phase says what the store is doing.
type phase uint8

const (
	phaseIdle       phase = iota // nobody has told it to follow a log
	phaseCatchingUp              // up to the head as of the start
	phaseFollowing
	phaseStopped
)

// progress is how far the store has come, and who waits for it. Few wait, the
// questions of auditors: each new position wakes all of them.
type progress struct {
	mu         sync.Mutex
	phase      phase
	stopped    error // why, nil after the end of Run's context
	rebuilding bool
	answers    bool // caught up since it was opened or a rebuild began
	applied    uint64
	target     uint64 // the head to be reached before answering
	head       uint64 // as the log said last
	heard      bool
	behind     bool          // two heartbeats in a row found the same head not reached
	silence    error         // of the last heartbeat
	moved      chan struct{} // closed with the next change, nil when nobody waits
}

// change runs under the lock and wakes all who wait.
func (p *progress) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	if p.heard {
		if p.phase == phaseCatchingUp && p.applied >= p.target {
			p.phase, p.rebuilding, p.answers = phaseFollowing, false, true
		}
		p.behind = p.behind && p.applied < p.head
	}
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

func (p *progress) restart(position uint64, rebuilding bool) {
	p.change(func() {
		p.answers, p.applied, p.rebuilding, p.heard, p.behind = false, position, rebuilding, false, false
	})
}

func (p *progress) begin() {
	p.change(func() {
		p.phase, p.stopped, p.heard, p.behind, p.silence = phaseCatchingUp, nil, false, false, nil
	})
}

func (p *progress) rest() { p.change(func() { p.phase = phaseIdle }) }

func (p *progress) stop(err error) { p.change(func() { p.phase, p.stopped = phaseStopped, err }) }

func (p *progress) silent(err error) { p.change(func() { p.silence = err }) }

// beat notes what the log said its head is.
func (p *progress) beat(head uint64) {
	p.change(func() {
		if p.heard {
			p.behind = p.applied < p.head
		} else {
			p.target = head
		}
		p.heard, p.silence, p.head = true, nil, head
	})
}

func (p *progress) reached(position uint64) {
	p.change(func() { p.applied, p.head = position, max(p.head, position) })
}

// wanted says whether anybody waits for what comes next.
func (p *progress) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved != nil || p.phase != phaseFollowing
}

func (p *progress) serving() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers {
		return nil
	}
	return domain.Errorf(domain.CodeUnavailable, "this node has not caught up with the access log")
}

// Serving refuses with unavailable before the store has caught up with the
// log for the first time since it was opened, or since a rebuild began.
func (s *Store) Serving() error { return s.progress.serving() }

// Position is that of the last applied message, 0 before the first.
func (s *Store) Position() uint64 { return s.state.Load().mark.position }

// Lag is how many messages of the log are known of and not applied yet.
func (s *Store) Lag() uint64 {
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	return s.progress.head - min(s.progress.head, s.progress.applied)
}

// WaitFor returns nil once the message at position has been applied. It gives
// ctx's error when that ends first, and [ErrStopped], as unavailable, when the
// projection has stopped. Before Run is called it waits.
func (s *Store) WaitFor(ctx context.Context, position uint64) error {
	p := &s.progress
	for {
		p.mu.Lock()
		applied, stopped := p.applied >= position, p.phase == phaseStopped
		if p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		switch {
		case applied:
			return nil
		case stopped:
			return fmt.Errorf("%w: %w", domain.Errorf(domain.CodeUnavailable, "this node does not follow the access log"), ErrStopped)
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ready says nil while the store follows its log and is caught up, else why
// not. The error is for operators.
func (s *Store) Ready() error {
	p := &s.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.phase {
	case phaseIdle:
		return errors.New("accesslog: not following the log")
	case phaseCatchingUp:
		switch {
		case p.silence != nil:
			return fmt.Errorf("accesslog: the log does not answer: %w", p.silence)
		case p.rebuilding:
			return fmt.Errorf("accesslog: rebuilding: applied %d messages of %d", p.applied, p.target)
		}
		return fmt.Errorf("accesslog: catching up: applied %d messages of %d", p.applied, p.target)
	case phaseStopped:
		if p.stopped == nil {
			return ErrStopped
		}
		return fmt.Errorf("%w: %w", ErrStopped, p.stopped)
	case phaseFollowing:
		if p.behind {
			return fmt.Errorf("accesslog: applied %d messages of %d and falling behind", p.applied, p.head)
		}
	}
	return nil
}
