package accesslog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

var (
	// errOtherLog says that the checkpoint is not one of this log.
	errOtherLog = errors.New("accesslog: the log is not the one that was indexed")
	// errExpired says that the log let go what was not applied yet.
	errExpired = errors.New("accesslog: messages expired before they were indexed")
	// errEnded is a source that broke its contract.
	errEnded = errors.New("accesslog: the log ended")
)

// logError is a log that ended: what its Follow gave.
type logError struct{ err error }

// Error implements error.
func (e *logError) Error() string { return e.err.Error() }

// Unwrap gives the log's own error.
func (e *logError) Unwrap() error { return e.err }

// Run follows a log until ctx ends, then gives nil. It checks that the file is
// of this log, discards it if not, catches up, and goes on; what the log lets
// go it drops. A log that doesn't answer is asked again for as long as it
// takes.
//
// A message that can't be read or applied, a gap that retention did not make,
// or a failed transaction ends it with an error, which [Store.Ready] repeats.
func (s *Store) Run(ctx context.Context, log Source) error {
	if !s.following.TryLock() {
		return ErrBusy
	}
	defer s.following.Unlock()
	fruitless := 0
	for {
		s.progress.begin()
		position := s.Position()
		err := s.follow(ctx, log)
		if s.Position() != position {
			fruitless = 0
		}
		_, ended := errors.AsType[*logError](err)
		_, wrong := errors.AsType[*integrityError](err)
		switch {
		case ctx.Err() != nil:
			s.progress.stop(nil)
			return nil
		case errors.Is(err, errOtherLog):
			s.c.Logger.WarnContext(ctx, "the access log's index is made anew", slog.Any("reason", err))
			if err := s.discard(); err != nil {
				s.progress.stop(err)
				return err
			}
		case errors.Is(err, errExpired):
		case (ended || wrong) && fruitless == 0:
			// The log may have been replaced, or let messages go: the next round
			// finds that out. One that ends again in the same place means it.
			s.c.Logger.WarnContext(ctx, "following the access log ended", slog.Any("error", err))
		default:
			s.progress.stop(err)
			return err
		}
		fruitless++
	}
}

// follow applies messages until something ends it.
func (s *Store) follow(ctx context.Context, log Source) error {
	if err := s.greet(ctx, log); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(nil)
	q := newQueue(s.c.BatchMessages, s.c.BatchBytes)
	parts.Go(func() { q.fill(ctx, log.Follow(ctx, s.Position())) })
	parts.Go(func() { s.heartbeats(ctx, log, cancel) })
	for {
		batch, err := q.take(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return &logError{err: err}
		}
		if err := s.apply(batch); err != nil {
			return err
		}
		if len(batch) < gathered && !s.progress.wanted() {
			// A transaction costs the same for one message and for many.
			s.gather(ctx)
		}
	}
}

const (
	// gathered is how many messages make a transaction worth while.
	gathered = 256
	// gatherTime is how long fewer of them wait for more, unless somebody
	// waits for them already.
	gatherTime = 25 * time.Millisecond
)

func (s *Store) gather(ctx context.Context) {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// greet hears from the log for the first time, however long that takes, and
// makes the file one that can be gone on with.
func (s *Store) greet(ctx context.Context, log Source) error {
	ticker := time.NewTicker(s.c.Heartbeat)
	defer ticker.Stop()
	for {
		err := s.beat(ctx, log)
		if errors.Is(err, errExpired) {
			if err = s.restart(ctx, log, err); err == nil {
				continue
			}
		}
		if err == nil || errors.Is(err, errOtherLog) || ctx.Err() != nil {
			return err
		}
		if _, wrong := errors.AsType[*integrityError](err); wrong {
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

// restart begins anew on a log that let go what was not applied yet.
func (s *Store) restart(ctx context.Context, log Source, reason error) error {
	s.c.Logger.WarnContext(ctx, "the access log's index is made anew", slog.Any("reason", reason))
	if err := s.discard(); err != nil {
		return err
	}
	return s.resume(ctx, log)
}

// heartbeats asks the log for its status until ctx ends, and drops what it let
// go.
func (s *Store) heartbeats(ctx context.Context, log Source, end context.CancelCauseFunc) {
	ticker := time.NewTicker(s.c.Heartbeat)
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
		case errors.Is(err, errOtherLog), errors.Is(err, errExpired), errors.Is(err, errFile):
			end(err)
			return
		case err != nil:
			s.note(ctx, err)
		}
	}
}

func (s *Store) note(ctx context.Context, err error) {
	s.progress.silent(err)
	s.c.Logger.WarnContext(ctx, "the access log does not answer", slog.Any("error", err))
}

// errFile marks a failure of our own file.
var errFile = errors.New("accesslog: writing the file failed")

// beat asks the log for its status, and whether it has the checkpoint's
// message and the one that it confirmed last. The second finds a tail that was
// lost and given out again and has been followed beyond in the meantime.
//
// The checkpoint is taken first: what the log says later must include it.
func (s *Store) beat(ctx context.Context, log Source) error {
	asking, cancel := context.WithTimeout(ctx, max(s.c.Heartbeat, time.Second))
	defer cancel()
	s.applying.Lock()
	m, anchor := s.state.Load().mark, s.anchor
	s.applying.Unlock()
	status, err := log.Status(asking)
	if err != nil {
		return fmt.Errorf("asking the access log for its status: %w", err)
	}
	switch {
	case !m.created.IsZero() && !m.created.Equal(status.Created), status.Head < m.position:
		return fmt.Errorf("%w: it was made anew or ends before position %d", errOtherLog, m.position)
	case status.First > m.position+1:
		return fmt.Errorf("%w: it begins at position %d, after %d", errExpired, status.First, m.position)
	}
	for _, known := range []mark{m, anchor} {
		if err := identify(asking, log, known, status.First); err != nil {
			return err
		}
	}
	s.confirmed(m, status.Created)
	s.progress.beat(status.Head)
	if err := s.release(ctx, status.First); err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	return nil
}

// identify compares the message at a checkpoint, if the log still has it.
func identify(ctx context.Context, log Source, m mark, first uint64) error {
	if m.position < max(first, 1) || m.leaf == (mark{}).leaf {
		return nil
	}
	next, stop := iter.Pull2(log.Read(ctx, m.position-1))
	defer stop()
	found, err, ok := next()
	switch {
	case err != nil:
		return fmt.Errorf("reading the checkpoint's message: %w", err)
	case ok && found.Position == m.position && proof.LeafHash(found.Raw) == m.leaf:
		return nil
	case ok && found.Position > m.position:
		return nil // it expired since the status was given
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: it has another message at position %d", errOtherLog, m.position)
}

// confirmed notes what the log has confirmed, and for an empty file which log
// it begins to index.
func (s *Store) confirmed(anchor mark, created time.Time) {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.anchor = anchor
	if st := s.state.Load(); st.mark.created.IsZero() {
		next := *st
		next.mark.created = created.UTC()
		s.state.Store(&next)
	}
}

// CatchUp applies everything up to the log's head as of now and returns. Like
// Run it first discards a file that is not of this log. Afterwards the store
// answers questions.
func (s *Store) CatchUp(ctx context.Context, log Source) error {
	if !s.following.TryLock() {
		return ErrBusy
	}
	defer s.following.Unlock()
	return s.catchUp(ctx, log)
}

// Rebuild discards the file and indexes the log from its first message to its
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
		s.c.Logger.WarnContext(ctx, "the access log's index is made anew", slog.Any("reason", err))
		if err = s.discard(); err == nil {
			err = s.beat(ctx, log)
		}
	}
	if errors.Is(err, errExpired) {
		if err = s.restart(ctx, log, err); err == nil {
			err = s.beat(ctx, log)
		}
	}
	if err == nil {
		err = s.readAll(log.Read(ctx, s.Position()))
	}
	if lag := s.Lag(); err == nil && lag > 0 {
		err = fmt.Errorf("%w %d messages before its head", errEnded, lag)
	}
	if err != nil {
		s.progress.stop(err)
		return err
	}
	s.progress.rest()
	return nil
}

// readAll applies messages in large batches.
func (s *Store) readAll(messages iter.Seq2[domain.AccessMessage, error]) error {
	var batch []domain.AccessMessage
	size := 0
	for m, err := range messages {
		if err != nil {
			return errors.Join(err, s.apply(batch))
		}
		if len(batch) == s.c.BatchMessages || len(batch) > 0 && size+len(m.Raw) > s.c.BatchBytes {
			if err := s.apply(batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
		batch, size = append(batch, m), size+len(m.Raw)
	}
	return s.apply(batch)
}
