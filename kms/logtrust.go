package kms

import (
	"context"
	"fmt"

	"github.com/oklog/ulid/v2"
)

// logTrust is what is known of the log that the stored keys were made with.
type logTrust struct {
	// surveyed is the first event of the log that highest is about: the
	// newest position of it that any stored key names.
	surveyed ulid.ULID
	highest  logPosition
	seen     uint64 // the highest head of a log that has highest, as seen by this process
	// confirmed are the positions found in the log since the last forget.
	confirmed map[logPosition]struct{}
}

func (t *logTrust) forget() { t.confirmed = map[logPosition]struct{}{} }

func (k *Keyring) logStatus(ctx context.Context) (LogStatus, error) {
	s, err := k.cfg.Log.Status(ctx)
	if err != nil {
		return LogStatus{}, fmt.Errorf("kms: status of the event log: %w", err)
	}
	return s, nil
}

// trustLog returns nil if the absence of a claim can be believed: the log
// reaches and holds the newest position that any stored key names, has not
// become shorter, and everything that was in it at before is applied. With a
// candidate, the log must also be the one that its key was made with.
// Otherwise the error wraps [ErrSweepStopped].
//
// A claim always lies behind the position that its key names. A log that lost
// its tail could lack just the claim; keys made later show that.
func (k *Keyring) trustLog(ctx context.Context, before LogStatus, c *candidate) error {
	t := &k.sweeper.trust
	now, err := k.logStatus(ctx)
	if err != nil {
		return err
	}
	if err := k.survey(ctx, before); err != nil {
		return err
	}
	reached := max(t.highest.position, t.seen)
	if c != nil {
		reached = max(reached, c.head.position)
	}
	switch head := min(now.Head, before.Head); {
	case head == 0:
		return fmt.Errorf("%w: the event log is empty", ErrSweepStopped)
	case now.FirstEvent != before.FirstEvent:
		return fmt.Errorf("%w: the event log was replaced", ErrSweepStopped)
	case c != nil && c.first != now.FirstEvent:
		return fmt.Errorf("%w: the event log begins with event %s, but secret key %s was made with a log that begins with %s",
			ErrSweepStopped, now.FirstEvent, c.kek, c.first)
	case head < reached:
		return fmt.Errorf("%w: the event log ends at %d and has been at %d", ErrSweepStopped, head, reached)
	case now.Applied < max(before.Head, before.Stored):
		// A claim may be stored and, while the disk fails, never become durable
		// before a restart finds it: nobody is shown it until then.
		return fmt.Errorf("%w: the projection has applied %d of %d", ErrSweepStopped, now.Applied, max(before.Head, before.Stored))
	}
	if err := k.confirm(ctx, t.highest); err != nil {
		return err
	}
	t.seen = max(t.seen, before.Head)
	if c == nil {
		return nil
	}
	return k.confirm(ctx, c.head)
}

// confirm checks that the log has the event that a key names.
func (k *Keyring) confirm(ctx context.Context, p logPosition) error {
	t := &k.sweeper.trust
	if _, ok := t.confirmed[p]; ok || p.position == 0 {
		return nil
	}
	event, err := k.cfg.Log.EventAt(ctx, p.position)
	if err != nil {
		return fmt.Errorf("kms: reading the event log at %d: %w", p.position, err)
	}
	if event != p.event {
		return fmt.Errorf("%w: the event log has event %s at %d, but a secret key was made with a log that has %s there",
			ErrSweepStopped, event, p.position, p.event)
	}
	t.confirmed[p] = struct{}{}
	return nil
}

// survey learns how far the log has been: all stored keys are read once for
// each log.
func (k *Keyring) survey(ctx context.Context, log LogStatus) error {
	t := &k.sweeper.trust
	if t.surveyed != log.FirstEvent {
		var highest logPosition
		for stored, err := range k.cfg.Store.SecretKeys(ctx, 0) {
			if err != nil {
				return fmt.Errorf("kms: reading secret keys: %w", err)
			}
			r, err := decodeSecretKeyRecord(stored.Record)
			if err == nil && r.first == log.FirstEvent && r.head.position > highest.position {
				highest = r.head
			}
		}
		*t = logTrust{surveyed: log.FirstEvent, highest: highest}
		t.forget()
	}
	return nil
}
