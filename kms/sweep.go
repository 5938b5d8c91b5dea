package kms

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// SweepAge is how old an unclaimed key must be to be swept. It is twice
	// MaxClaimAge, so no create that is under way can still claim it.
	SweepAge = 2 * time.Hour
	// sweepBatch bounds the memory of a sweep.
	sweepBatch = 1024
)

// ErrSweepStopped reports that unclaimed keys are not swept: the event log or
// the projection is not what it was when the keys were made, so the absence of
// a claim proves nothing. An operator must look, except that a projection that
// lags catches up.
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
	trust  logTrust

	problemMu sync.Mutex
	problem   error
}

// candidate is a key that is old enough.
type candidate struct {
	sequence uint64
	kek      domain.KekID
	first    ulid.ULID // of the event log, as the record says
	head     logPosition
	skip     bool
}

// Sweep first erases the torn slots of the store, if it has any that no living
// secret can need, and then the secret keys that are older than [SweepAge] and
// that no event has claimed (invariant 5). It looks at each key once, from
// where the sweep before it ended up to the first key that is too young. An
// error leaves the key it is about for the next sweep.
func (k *Keyring) Sweep(ctx context.Context) (SweepReport, error) {
	k.sweeper.mu.Lock()
	defer k.sweeper.mu.Unlock()
	var report SweepReport
	err := errors.Join(k.eraseTorn(ctx), k.sweep(ctx, &report))
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
		before, err := k.logStatus(ctx)
		if err != nil {
			return err
		}
		batch, more, err := k.sweepable(ctx)
		if err != nil || len(batch) == 0 {
			return err
		}
		k.sweeper.trust.forget()
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
		r, err := decodeSecretKeyRecord(stored.Record)
		age := now.Sub(r.created)
		// A key that can't be read or comes from the future must not hold up
		// those behind it, and is left alone.
		skip := err != nil || stored.ID != r.kek.String() || age < -maxClockSkew
		if !skip && age <= SweepAge {
			return batch, false, nil
		}
		batch = append(batch, candidate{sequence: stored.Sequence, kek: r.kek, first: r.first, head: r.head, skip: skip})
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

// unclaimedForSure reports whether no event claims c. A claim is believed at
// once. Its absence must be found twice while the log can be trusted before
// and after: a projection whose rebuild begins in between knows no claims.
func (k *Keyring) unclaimedForSure(ctx context.Context, c candidate, before LogStatus) (bool, error) {
	for range 2 {
		claimed, err := k.cfg.Claims.KekClaimed(c.kek)
		if err != nil {
			return false, fmt.Errorf("kms: claims: %w", err)
		}
		if claimed {
			return false, nil
		}
		if err := k.trustLog(ctx, before, &c); err != nil {
			return false, err
		}
	}
	return true, nil
}
