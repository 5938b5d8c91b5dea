package natsfile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// pollInterval is between two reads of a block that does not have an
// acknowledged message yet.
const pollInterval = time.Millisecond

// errClosed is the fault of every stream of a closed store.
var errClosed = errors.New("natsfile: the store is closed")

// Stream makes one stream's messages durable. Callers who come while an fsync
// is running share the next one. Safe for concurrent use.
type Stream struct {
	name  string
	store *Store

	mu      sync.Mutex
	durable uint64
	busy    chan struct{} // closed when the caller that syncs is done; nil: there is none
	fault   error

	// Of the caller that syncs.
	follower follower
	noted    uint32 // the block that was the newest when the store noted a durable position
}

// Durable returns the highest position that is durable, with every position
// before it.
func (s *Stream) Durable() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.durable
}

// Fault returns why no further position becomes durable in this process, or
// nil.
func (s *Stream) Fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// Wait returns nil once a position is durable, with every position before it.
// The server must have acknowledged the position. Errors: ctx's, where the
// server did not write the message in time, and [Stream.Fault]'s. After an
// error the message may be durable or not.
func (s *Stream) Wait(ctx context.Context, position uint64) error {
	for {
		s.mu.Lock()
		busy := s.busy
		switch {
		case s.durable >= position:
			s.mu.Unlock()
			return nil
		case s.fault != nil:
			s.mu.Unlock()
			return s.fault
		case busy == nil:
			s.busy = make(chan struct{})
			s.mu.Unlock()
			if err := s.advance(ctx, position); err != nil {
				return err
			}
			continue
		}
		s.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// advance makes everything durable up to a position, or further. It is the
// caller's turn.
func (s *Stream) advance(ctx context.Context, position uint64) error {
	durable, fault := uint64(0), fmt.Errorf("natsfile: following stream %s ended in a panic", s.name) // stands after a panic
	defer func() {
		if fault != nil {
			s.store.noteFault(s.name, s.Durable())
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.durable = max(s.durable, durable)
		if s.fault == nil {
			s.fault = fault
		}
		close(s.busy)
		s.busy = nil
	}()
	for {
		reached, err := s.follower.reach(position)
		if err != nil {
			fault = fmt.Errorf("natsfile: %w", err)
			return fault
		}
		if reached {
			break
		}
		select {
		case <-ctx.Done():
			fault = nil
			return ctx.Err()
		case <-s.store.ended:
			fault = nil
			return errClosed
		case <-time.After(pollInterval):
		}
	}
	if err := s.follower.sync(); err != nil {
		fault = fmt.Errorf("natsfile: fsync failed: %w", err)
		return fault
	}
	durable, fault = s.follower.chain.last, s.note()
	return fault
}

// note has the store note what is durable once in a block.
func (s *Stream) note() error {
	if s.noted == s.follower.block.number && s.follower.file != nil {
		return nil
	}
	s.noted = s.follower.block.number
	if err := s.store.noteDurable(s.name, s.follower.chain.last); err != nil {
		return fmt.Errorf("natsfile: noting what is durable: %w", err)
	}
	return nil
}

// fail keeps a fault that was found beside the following.
func (s *Stream) fail(fault error) {
	s.store.noteFault(s.name, s.Durable())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = fault
	}
}

// end waits for the caller that syncs, lets go of the files and returns the
// fault, if there was one. No position becomes durable after it.
func (s *Stream) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy != nil {
		busy := s.busy
		s.mu.Unlock()
		<-busy
		s.mu.Lock()
	}
	s.follower.close()
	if s.fault != nil {
		return s.fault
	}
	s.fault = errClosed
	return nil
}
