package slotfile

import (
	"errors"
	"fmt"
	"sync"

	"github.com/chancery-dev/chancery/kms"
)

// ErrFailed reports that an fsync of a key file failed. What the kernel could
// not write it may call clean from then on, so no later fsync proves anything:
// this process writes no key any more. It wraps [kms.ErrUnavailable].
var ErrFailed = fmt.Errorf("%w: an fsync of the key files failed: they take no more writes until the server is started anew", kms.ErrUnavailable)

// latch keeps the first failed fsync of either file.
type latch struct {
	mu  sync.Mutex
	err error
}

func (l *latch) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *latch) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = errors.Join(ErrFailed, err)
	}
	return l.err
}

// group makes writes durable: one fsync is for all that were written before it
// began.
type group struct {
	sync  func() error
	latch *latch

	mu   sync.Mutex
	busy bool
	next *round // of those who wait for the next fsync, nil: nobody does
}

// round is one fsync.
type round struct {
	lead chan struct{} // of capacity 1: whoever takes it does the fsync
	done chan struct{}
	err  error // read after done
}

// wait returns nil once everything that was written before the call is
// durable. It returns an error that wraps [ErrFailed] after an fsync failed.
func (g *group) wait() error {
	g.mu.Lock()
	r := g.next
	if r == nil {
		r = &round{lead: make(chan struct{}, 1), done: make(chan struct{})}
		g.next = r
		if !g.busy {
			r.lead <- struct{}{}
		}
	}
	g.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-r.lead:
	}

	g.mu.Lock()
	g.busy, g.next = true, nil
	g.mu.Unlock()
	if r.err = g.latch.failed(); r.err == nil {
		if err := g.sync(); err != nil {
			r.err = g.latch.fail(err)
		}
	}
	g.mu.Lock()
	g.busy = false
	if g.next != nil {
		g.next.lead <- struct{}{}
	}
	g.mu.Unlock()
	close(r.done)
	return r.err
}
