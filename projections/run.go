package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// errOtherLog says that the checkpoint is not one of this log.
var errOtherLog = errors.New("projections: the log is not the one that was folded")

// logError is a log that ended: what its Follow gave.
type logError struct{ err error }

// Error implements error.
func (e *logError) Error() string { return e.err.Error() }

// Unwrap gives the log's own error.
func (e *logError) Unwrap() error { return e.err }

// Run follows a log until ctx ends, then gives nil. It checks that the file
// is a fold of this log, discards it if not, catches up, and goes on. A log
// that doesn't answer is asked again for as long as it takes.
//
// An event that can't be read or applied, a gap, or a failed transaction ends
// it with an error, which [Store.Ready] repeats; the events before are
// applied.
func (s *Store) Run(ctx context.Context, log Source) error {
	if !s.following.TryLock() {
		return ErrBusy
	}
	defer s.following.Unlock()
	fruitless := 0
	for {
		s.progress.begin()
		before := s.Position()
		err := s.follow(ctx, log)
		if s.Position() != before {
			fruitless = 0
		}
		switch ended, ok := errors.AsType[*logError](err); {
		case ctx.Err() != nil:
			s.progress.stop(nil)
			return nil
		case errors.Is(err, errOtherLog):
			s.o.Logger.WarnContext(ctx, "the projection is folded anew", slog.Any("reason", err))
			if err := s.discard(); err != nil {
				s.progress.stop(err)
				return err
			}
		case ok && fruitless == 0:
			// The log may have ended because it was replaced: the next round
			// finds that out. One that ends again on the same event means it.
			s.o.Logger.WarnContext(ctx, "following the log ended", slog.Any("error", ended))
		default:
			s.progress.stop(err)
			return err
		}
		fruitless++
	}
}

// follow applies events until something ends it.
func (s *Store) follow(ctx context.Context, log Source) error {
	if err := s.greet(ctx, log); err != nil {
		return err
	}
	if err := s.beginBulk(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(nil)
	q := s.newQueue()
	parts.Go(func() { q.fill(ctx, log.Follow(ctx, s.Position())) })
	s.setRecent(log)
	defer s.setRecent(nil)
	parts.Go(func() { s.heartbeats(ctx, log, cancel) })
	parts.Go(func() {
		if err := s.flushes(ctx); err != nil {
			cancel(err)
		}
	})
	for batch := []domain.Recorded(nil); ; {
		var err error
		batch, err = q.take(ctx, batch)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return &logError{err: err}
		}
		if err := s.take(ctx, batch); err != nil {
			return err
		}
	}
}

// take applies a batch and leaves room for the next. A bulk ends before it
// reaches the position from which on the store answers.
func (s *Store) take(ctx context.Context, batch []domain.Recorded) error {
	if b := s.bulk(); b != nil && batch[len(batch)-1].Position >= b.until {
		if err := s.finishBulk(); err != nil {
			return err
		}
	}
	return errors.Join(s.apply(batch), s.makeRoom(ctx))
}

// greet hears from the log for the first time, however long that takes, and
// checks that the file is a fold of it.
func (s *Store) greet(ctx context.Context, log Source) error {
	ticker := time.NewTicker(s.o.Heartbeat)
	defer ticker.Stop()
	for {
		err := s.beat(ctx, log)
		if err == nil || errors.Is(err, errOtherLog) || ctx.Err() != nil {
			return err
		}
		s.note(ctx, err)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// heartbeats asks the log for its status until ctx ends. One that is another
// log ends the following.
func (s *Store) heartbeats(ctx context.Context, log Source, end context.CancelCauseFunc) {
	ticker := time.NewTicker(s.o.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		switch err := s.beat(ctx, log); {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errOtherLog):
			end(err)
			return
		case err != nil:
			s.note(ctx, err)
		}
	}
}

func (s *Store) note(ctx context.Context, err error) {
	s.progress.silent(err)
	s.o.Logger.WarnContext(ctx, "the log does not answer", slog.Any("error", err))
}

// beat asks the log for its status, and whether it has the checkpoint's event
// and the one that it confirmed last. The second finds a tail that was lost and
// given out again and has been followed beyond in the meantime.
//
// The checkpoint is taken first: what the log says later must include it.
func (s *Store) beat(ctx context.Context, log Source) error {
	ctx, cancel := context.WithTimeout(ctx, max(s.o.Heartbeat, time.Second))
	defer cancel()
	mark, anchor := s.checkpoint()
	asked := s.o.Now()
	status, err := log.Status(ctx)
	if err != nil {
		return fmt.Errorf("asking the log for its status: %w", err)
	}
	answered := s.o.Now()
	if !mark.confirms(status) {
		return fmt.Errorf("%w: it was made anew or ends before position %d", errOtherLog, mark.position)
	}
	if err := identify(ctx, log, mark); err != nil {
		return err
	}
	if anchor.position != mark.position {
		if err := identify(ctx, log, anchor); err != nil {
			return err
		}
	}
	s.confirmed(mark, status.Created)
	s.progress.beat(status, asked, answered)
	return nil
}

// identify compares the event at the checkpoint.
func identify(ctx context.Context, log Source, mark checkpoint) error {
	if mark.position == 0 {
		return nil
	}
	next, stop := iter.Pull2(log.Read(ctx, mark.position-1))
	defer stop()
	r, err, ok := next()
	switch {
	case err != nil:
		return fmt.Errorf("reading the checkpoint's event: %w", err)
	case ok && r.Position == mark.position && r.ID == mark.eventID:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: it has another event at position %d", errOtherLog, mark.position)
}

// confirmed notes what the log has confirmed, and for an empty file which log
// it begins to fold.
func (s *Store) confirmed(anchor checkpoint, created time.Time) {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.anchor = anchor
	if s.mark.created.IsZero() {
		s.mark.created = created.UTC()
	}
}

// CatchUp applies everything up to the log's head as of now and returns. Like
// Run it first discards a file that is not a fold of this log. Afterwards the
// store answers questions.
func (s *Store) CatchUp(ctx context.Context, log Source) error {
	if !s.following.TryLock() {
		return ErrBusy
	}
	defer s.following.Unlock()
	return s.catchUp(ctx, log)
}

// Rebuild discards the file and folds the log from its first event to its
// head as of now.
func (s *Store) Rebuild(ctx context.Context, log Source) error {
	if !s.following.TryLock() {
		return ErrBusy
	}
	defer s.following.Unlock()
	if err := s.discard(); err != nil {
		return err
	}
	return s.catchUp(ctx, log)
}

func (s *Store) catchUp(ctx context.Context, log Source) error {
	s.progress.begin()
	err := s.beat(ctx, log)
	if errors.Is(err, errOtherLog) {
		s.o.Logger.WarnContext(ctx, "the projection is folded anew", slog.Any("reason", err))
		if err = s.discard(); err == nil {
			err = s.beat(ctx, log)
		}
	}
	if err == nil {
		err = s.beginBulk()
	}
	if err == nil {
		err = s.readAll(ctx, log.Read(ctx, s.Position()))
	}
	if head, applied := s.Status(); err == nil && applied < head.Head {
		err = fmt.Errorf("%w at position %d before its head %d", errEnded, applied, head.Head)
	}
	if err != nil {
		s.progress.stop(err)
		return err
	}
	s.progress.rest()
	return nil
}

// readAll applies events in large batches. On nil all of them are in the file.
func (s *Store) readAll(ctx context.Context, events iter.Seq2[domain.Recorded, error]) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var writing sync.WaitGroup
	writing.Go(func() {
		if err := s.flushes(ctx); err != nil {
			cancel(err)
		}
	})
	err := s.applyAll(ctx, events)
	cancel(nil)
	writing.Wait()
	return errors.Join(err, s.flush())
}

// applyAll applies what another goroutine reads meanwhile.
func (s *Store) applyAll(ctx context.Context, events iter.Seq2[domain.Recorded, error]) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	q := s.newQueue()
	reading.Go(func() { q.fill(ctx, events) })
	for batch := []domain.Recorded(nil); ; {
		var err error
		batch, err = q.take(ctx, batch)
		switch {
		case errors.Is(err, errEnded):
			return nil
		case err != nil:
			return err
		}
		if err := s.take(ctx, batch); err != nil {
			return err
		}
	}
}
