package kms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// SweepAge is how old an unclaimed key must be to be swept. It is twice
	// MaxClaimAge, so no create that is under way can still claim it.
	SweepAge = 2 * time.Hour
	// sweepBatch bounds the memory of a sweep.
	sweepBatch = 1024
)

// ErrSweepStopped is why unclaimed keys are not swept: the event log or the
// projection is not what it was when they were made, so that a key looks
// unclaimed proves nothing. An operator must look, except that a projection
// which is behind catches up.
var ErrSweepStopped = errors.New("kms: unclaimed keys are not swept")

// SweepReport counts what one sweep did.
type SweepReport struct {
	Looked  int // keys that were old enough, or skipped
	Erased  int // unclaimed ones
	Skipped int // unreadable, or from the future; looked at again after a restart
}

type sweeper struct {
	swept atomic.Uint64

	mu     sync.Mutex // one sweep at a time
	cursor uint64     // every key up to this sequence has been dealt with
	// highest is the furthest that the log made at surveyed is known to have
	// reached: what any stored key or any sweep of this process says.
	surveyed time.Time
	highest  uint64

	problemMu sync.Mutex
	problem   error
}

// candidate is a key that is old enough.
type candidate struct {
	sequence uint64
	kek      domain.KekID
	created  time.Time // of the event log, as the record says
	head     uint64
	skip     bool
}

// Sweep erases the secret keys that are older than [SweepAge] and that no
// event has claimed (invariant 5). It looks at each key once, from where the
// sweep before it ended up to the first key that is too young. An error leaves
// the key it is about for the next sweep.
//
// What it can't see: a log that was put back to an older state under its old
// identity and has since grown past every head that a stored key tells of.
func (k *Keyring) Sweep(ctx context.Context) (SweepReport, error) {
	k.sweeper.mu.Lock()
	defer k.sweeper.mu.Unlock()
	var report SweepReport
	err := k.sweep(ctx, &report)
	if ctx.Err() == nil {
		k.sweeper.problemMu.Lock()
		k.sweeper.problem = err
		k.sweeper.problemMu.Unlock()
	}
	return report, err
}

// SweepProblem is why the last sweep stopped before its end, or nil.
func (k *Keyring) SweepProblem() error {
	k.sweeper.problemMu.Lock()
	defer k.sweeper.problemMu.Unlock()
	return k.sweeper.problem
}

func (k *Keyring) sweep(ctx context.Context, report *SweepReport) error {
	for {
		// The order makes it safe: what was in the log before the batch was
		// read must be applied before claims are looked up. A claim that comes
		// later can't be of a key this old.
		before, err := k.cfg.Log.Status(ctx)
		if err != nil {
			return fmt.Errorf("kms: status of the event log: %w", err)
		}
		batch, more, err := k.sweepable(ctx)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, c := range batch {
			if err := k.sweepOne(ctx, c, before, report); err != nil {
				return err
			}
			k.sweeper.cursor = c.sequence
		}
		if !more {
			return nil
		}
	}
}

// sweepable reads the next keys that are old enough, and says whether more
// may follow.
func (k *Keyring) sweepable(ctx context.Context) (batch []candidate, more bool, err error) {
	now := k.source.now()
	for stored, err := range k.cfg.Store.SecretKeys(ctx, k.sweeper.cursor) {
		if err != nil {
			return nil, false, fmt.Errorf("kms: reading secret keys: %w", err)
		}
		k.orgs.stored.Store(stored.Sequence)
		r, kek, err := decodeSecretKeyRecord(stored.Record)
		age := now.Sub(r.CreatedAt)
		// A key that can't be read or comes from the future must not hold up
		// those behind it, and is left alone.
		skip := err != nil || stored.ID != kek.String() || age < -maxClockSkew
		if !skip && age <= SweepAge {
			return batch, false, nil
		}
		batch = append(batch, candidate{sequence: stored.Sequence, kek: kek, created: r.EventsCreated, head: r.EventsHead, skip: skip})
		if len(batch) == sweepBatch {
			return batch, true, nil
		}
	}
	return batch, false, nil
}

func (k *Keyring) sweepOne(ctx context.Context, c candidate, before LogStatus, report *SweepReport) error {
	if c.skip {
		report.Looked++
		report.Skipped++
		return nil
	}
	free, err := k.unclaimedForSure(ctx, c, before)
	if err != nil {
		return err
	}
	if free {
		// A crash before the erasure leaves the key for the next process, one
		// after it leaves nothing.
		if err := k.secrets.destroy(ctx, []domain.KekID{c.kek}); err != nil {
			return err
		}
		k.handOuts.end(c.kek)
		k.sweeper.swept.Add(1)
		report.Erased++
	}
	report.Looked++
	return nil
}

// unclaimedForSure says whether no event claims c. "Claimed" is believed at
// once. "Unclaimed" must be said again while the log is trustworthy before
// and after: a projection whose rebuild begins in the middle knows no claims.
func (k *Keyring) unclaimedForSure(ctx context.Context, c candidate, before LogStatus) (bool, error) {
	for range 2 {
		claimed, err := k.cfg.Claims.KekClaimed(c.kek)
		if err != nil {
			return false, fmt.Errorf("kms: claims: %w", err)
		}
		if claimed {
			return false, nil
		}
		now, err := k.cfg.Log.Status(ctx)
		if err != nil {
			return false, fmt.Errorf("kms: status of the event log: %w", err)
		}
		if err := k.survey(ctx, before); err != nil {
			return false, err
		}
		if err := trustworthy(c, k.sweeper.highest, before, now); err != nil {
			return false, err
		}
	}
	return true, nil
}

// survey learns how far the log has been. A claim always lies behind the head
// that its key tells of, so a log that lost its tail could lack just the
// claim; keys made later tell more. All are read once for each log.
func (k *Keyring) survey(ctx context.Context, log LogStatus) error {
	if !k.sweeper.surveyed.Equal(log.Created) {
		var highest uint64
		for stored, err := range k.cfg.Store.SecretKeys(ctx, 0) {
			if err != nil {
				return fmt.Errorf("kms: reading secret keys: %w", err)
			}
			r, _, err := decodeSecretKeyRecord(stored.Record)
			if err == nil && r.EventsCreated.Equal(log.Created) {
				highest = max(highest, r.EventsHead)
			}
		}
		k.sweeper.surveyed, k.sweeper.highest = log.Created, highest
	}
	k.sweeper.highest = max(k.sweeper.highest, log.Head)
	return nil
}

// trustworthy says whether "unclaimed" can be believed for c.
func trustworthy(c candidate, highest uint64, before, now LogStatus) error {
	switch head := min(now.Head, before.Head); {
	case !now.Created.Equal(c.created) || !before.Created.Equal(c.created):
		return fmt.Errorf("%w: the event log was made at %s, but secret key %s with a log made at %s",
			ErrSweepStopped, now.Created.UTC().Format(time.RFC3339Nano), c.kek, c.created.Format(time.RFC3339Nano))
	case head < max(c.head, highest):
		return fmt.Errorf("%w: the event log ends at %d and has been at %d", ErrSweepStopped, head, max(c.head, highest))
	case now.Applied < max(before.Head, before.Stored):
		// A claim may be stored and, while the disk fails, never become durable
		// before a restart finds it: nobody is shown it until then.
		return fmt.Errorf("%w: the projection has applied %d of %d", ErrSweepStopped, now.Applied, max(before.Head, before.Stored))
	default:
		return nil
	}
}
