package projections

import (
	"context"
	"time"

	"go.etcd.io/bbolt"
)

const (
	// flushBytes is how large the young layer grows before it goes into the
	// file, foldBytes while the store catches up: the more rows go at once, the
	// more of them share a page.
	flushBytes, foldBytes = 4 << 20, 32 << 20
	// flushEvery is how long a row waits for others at most.
	flushEvery = 2 * time.Second
)

// flushes writes layers into the file until ctx ends, beside the goroutine
// that folds. A crash loses what is not in the file yet, checkpoint included:
// it is folded again.
func (s *Store) flushes(ctx context.Context) error {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.full:
		case <-ticker.C:
			if !s.progress.answers.Load() {
				continue // catching up: only what is large
			}
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// flush writes what is folded into the file, in one transaction with its
// checkpoint.
func (s *Store) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	l := s.beginFlush()
	if l == nil {
		return nil
	}
	s.file.RLock()
	err := ErrClosed
	switch {
	case s.layers.Load().old != l: // discarded: the file is another one
		err = nil
	case s.db != nil && l.bulk != nil:
		err = l.bulk.flush(s.db, l)
	case s.db != nil:
		err = s.db.Update(func(tx *bbolt.Tx) error { return l.write(tx) })
	}
	s.file.RUnlock()
	if err != nil {
		return err // the layer stays where it is, and questions stay right
	}
	s.endFlush(l)
	return nil
}

// beginFlush puts the young layer in the place of the old one, or gives an old
// one that could not be written. nil: there is nothing.
func (s *Store) beginFlush() *layer {
	s.applying.Lock()
	defer s.applying.Unlock()
	now := s.layers.Load()
	if now.old == nil && now.young.events > 0 {
		now = &layers{young: &layer{bulk: now.young.bulk}, old: now.young, flushes: now.flushes}
		s.layers.Store(now)
	}
	return now.old
}

// endFlush takes a layer away that the file has. A store that was discarded in
// the meantime does not have it any more.
func (s *Store) endFlush(l *layer) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if now := s.layers.Load(); now.old == l {
		s.layers.Store(&layers{young: now.young, flushes: now.flushes + 1})
	}
	select {
	case s.flushed <- struct{}{}:
	default:
	}
}

// flushAll writes every layer into the file. The caller holds flushing and
// applying, and the file is open. What a bulk has not merged is given up.
func (s *Store) flushAll() error {
	if b := s.bulk(); b != nil {
		return b.runs.close()
	}
	now := s.layers.Load()
	if now.old == nil && now.young.events == 0 {
		return nil
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if now.old != nil {
			if err := now.old.write(tx); err != nil {
				return err
			}
		}
		return now.young.write(tx)
	})
	if err == nil {
		s.layers.Store(&layers{young: &layer{}, flushes: now.flushes + 1})
	}
	return err
}

// limit is how large the young layer may grow.
func (s *Store) limit() int {
	if s.progress.answers.Load() {
		return flushBytes
	}
	return s.foldBytes
}

// makeRoom has a full layer flushed. It waits only while the one before is
// still on its way into the file and this one is twice too large.
func (s *Store) makeRoom(ctx context.Context) error {
	for {
		now := s.layers.Load()
		if now.young.bytes < s.limit() {
			return nil
		}
		signal(s.full)
		if now.old == nil || now.young.bytes < 2*s.limit() {
			return nil
		}
		select {
		case <-s.flushed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
