package kms

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Run keeps the pool filled and sweeps until ctx ends, and returns nil then.
// A failure is logged, kept for [Keyring.SweepProblem] if it is the sweep's,
// and tried again: without a pool, mints and creates make their keys
// themselves and get the error.
func (k *Keyring) Run(ctx context.Context) error {
	var background sync.WaitGroup
	background.Go(func() { k.sweepLoop(ctx) })
	k.refillLoop(ctx)
	background.Wait()
	return nil
}

func (k *Keyring) refillLoop(ctx context.Context) {
	tick := time.NewTicker(k.cfg.RetryEvery)
	defer tick.Stop()
	wake := k.pool.wake
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
			wake = k.pool.wake
		}
		k.pool.age(k.source.now())
		for _, org := range k.pool.lacking(k.source.now()) {
			if err := k.Refill(ctx, org); err != nil && ctx.Err() == nil {
				k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "secret key pool not filled",
					slog.String("org", string(org)), slog.Any("error", err))
				wake = nil // Not before the next tick.
			}
		}
	}
}

func (k *Keyring) sweepLoop(ctx context.Context) {
	known := ""
	for {
		report, err := k.Sweep(ctx)
		if ctx.Err() != nil {
			return
		}
		wait, text := k.cfg.SweepEvery, ""
		if err != nil {
			wait, text = min(k.cfg.RetryEvery, wait), err.Error()
		}
		if text != known && err != nil {
			k.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "sweep of unclaimed keys stopped", slog.Any("error", err))
		}
		known = text
		if report.Erased+report.Skipped > 0 {
			k.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "unclaimed keys swept",
				slog.Int("erased", report.Erased), slog.Int("skipped", report.Skipped))
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// refillers is how many keys are made at once: a store that can makes them
// durable together.
const refillers = 128

// Refill makes the pool keys that org lacks now, several at a time, each
// durable before it can be handed out. Without any demand yet that is
// PoolMin. It begins none after a failure, and gives the first.
func (k *Keyring) Refill(ctx context.Context, org domain.OrgID) error {
	if !k.pool.reserve(org, k.source.now()) {
		return nil
	}
	// Once for all: an earlier head only makes the sweeper's test of it weaker
	// by these milliseconds.
	log, err := k.cfg.Log.Status(ctx)
	if err != nil {
		k.pool.cancel(org)
		return visible(fmt.Errorf("kms: status of the event log: %w", err))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, refillers)
	var making sync.WaitGroup
	for reserved := true; reserved; reserved = context.Cause(ctx) == nil && k.pool.reserve(org, k.source.now()) {
		slots <- struct{}{}
		making.Go(func() {
			defer func() { <-slots }()
			key, err := k.secrets.create(ctx, org, log)
			if err != nil {
				k.pool.cancel(org)
				cancel(err)
				return
			}
			k.pool.add(key)
			key.wipe()
		})
	}
	making.Wait()
	return visible(context.Cause(ctx))
}

// unclaimed gives a key that nobody was given before, from the pool or made
// now, and caches it. The copy is the caller's to clear.
func (k *Keyring) unclaimed(ctx context.Context, org domain.OrgID) (secretKey, error) {
	key, ok := k.pool.take(org, k.source.now())
	if !ok {
		log, err := k.cfg.Log.Status(ctx)
		if err != nil {
			return secretKey{}, fmt.Errorf("kms: status of the event log: %w", err)
		}
		if key, err = k.secrets.create(ctx, org, log); err != nil {
			return secretKey{}, err
		}
	}
	k.secrets.cache.put(key.kek, key)
	return key, nil
}
