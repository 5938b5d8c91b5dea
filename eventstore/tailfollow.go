package eventstore

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// follow yields what lies behind a position and what comes: from the tail
// where only this process appends, else from consumers.
func (l *reader[T]) follow(ctx context.Context, after uint64, yield func(T, error) bool) {
	if l.tail == nil {
		l.deliver(ctx, delivery{last: after}, yield)
		return
	}
	var none T
	f := tailFollower[T]{log: l, last: after, yield: yield}
	told := "" // a fault of the files stays for ever
	for pause := firstPause; ctx.Err() == nil; {
		before := f.last
		err := f.run(ctx)
		if f.last > before {
			pause, told = firstPause, ""
		}
		switch {
		case errors.Is(err, errLeft), ctx.Err() != nil:
			return
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrReplaced):
			yield(none, err)
			return
		}
		if cause := err.Error(); cause != told {
			l.logger.LogAttrs(ctx, slog.LevelWarn, "following the log goes on", slog.Uint64("position", f.last), slog.String("cause", cause))
			told = cause
		}
		sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// tailFollower is one call of follow.
type tailFollower[T any] struct {
	log   *reader[T]
	last  uint64
	yield func(T, error) bool
	// created is the stream's, once it is known.
	created time.Time
}

// run yields until something is wrong.
func (f *tailFollower[T]) run(ctx context.Context) error {
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
				f.last, _ = f.log.tail.place(r)
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

// compare asks the log whether it has more than this process knows to be
// durable, makes that durable by waiting for it, and reads it: an append whose
// outcome was never found out, a message from elsewhere, or an append that is
// just being acknowledged.
func (f *tailFollower[T]) compare(ctx context.Context) error {
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
	if _, now, _, _, _ := f.log.tail.after(f.last); head <= f.last || now > known {
		return nil // or the tail has more now
	}
	if f.log.expires && info.State.FirstSeq > head { // no block has it any more
		f.last = head
		f.log.tail.reached(head)
		return nil
	}
	if known > f.last {
		head = known // acknowledged, so it waits for no sync
	} else if err := f.log.durable(ctx, head); err != nil {
		return err
	}
	if err := f.read(ctx, head); err != nil {
		return err
	}
	f.log.tail.reached(head)
	return nil
}

// read yields from the log up to a position what is still there.
func (f *tailFollower[T]) read(ctx context.Context, until uint64) (err error) {
	left := false
	f.log.deliver(ctx, delivery{last: f.last, until: until}, func(r T, failed error) bool {
		if failed != nil {
			err = failed
			return false
		}
		f.last, _ = f.log.tail.place(r)
		left = !f.yield(r, nil)
		return !left
	})
	switch {
	case left:
		return errLeft
	case err == nil:
		f.last = max(f.last, until) // the rest has expired
	}
	return err
}
