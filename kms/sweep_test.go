package kms_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

func (w *world) sweep(k *kms.Keyring) kms.SweepReport {
	w.t.Helper()
	r, err := k.Sweep(w.t.Context())
	if err != nil || k.SweepProblem() != nil {
		w.t.Fatal(err, k.SweepProblem())
	}
	return r
}

// Invariants 4 and 5: the life of pool keys. Given out up to 30 minutes,
// claimed up to 60, swept after two hours, by whoever runs then.
func TestPoolKeysAreClaimedExpiredAndSweptAcrossACrash(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	if err := k.Refill(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	pool := w.stored()
	if len(pool) != 8 || k.Stats().Pooled != 8 {
		t.Fatalf("%d stored, %d pooled", len(pool), k.Stats().Pooled)
	}
	claimed := w.create(k, alice, ref("claimed")).KekIDs[0]
	minted := w.mint(k, alice, ref("minted"), "f")
	if !slices.Contains(pool, claimed.String()) || !slices.Contains(pool, minted.KekID.String()) || len(w.stored()) != 8 {
		t.Fatal("the pool was not used")
	}

	// A crash: the next process adopts nothing.
	k = w.node()
	if e := w.create(k, alice, ref("next")); slices.Contains(pool, e.KekIDs[0].String()) {
		t.Fatal("a key of the process before was given out")
	}
	// But what was minted before is still good.
	if _, err := w.release(k, alice, ref("minted"), "f", minted.Ciphertext); err != nil {
		t.Fatal(err)
	}
	if r := w.sweep(k); r.Erased != 0 {
		t.Fatalf("swept at once: %+v", r)
	}
	w.wait(kms.SweepAge)
	if r := w.sweep(k); r.Looked != 0 {
		t.Fatalf("swept at exactly the age: %+v", r)
	}
	w.wait(time.Millisecond)
	if r := w.sweep(k); r.Erased != 7 || r.Looked != 9 || r.Skipped != 0 {
		t.Fatalf("%+v", r)
	}
	if ids := w.stored(); len(ids) != 2 || !slices.Contains(ids, claimed.String()) {
		t.Fatalf("left: %v", ids)
	}
	if r := w.sweep(k); r.Looked != 0 {
		t.Fatalf("looked at keys twice: %+v", r)
	}
	if k.Stats().Swept != 7 {
		t.Errorf("stats count %d", k.Stats().Swept)
	}
}

func TestPoolKeyAges(t *testing.T) {
	for _, c := range []struct {
		age    time.Duration
		pooled bool
	}{{kms.MaxPoolAge - time.Millisecond, true}, {kms.MaxPoolAge, false}} {
		w := newWorld(t)
		k := w.node()
		if err := k.Refill(t.Context(), org); err != nil {
			t.Fatal(err)
		}
		pool := w.stored()
		w.wait(c.age)
		if m := w.mint(k, alice, ref("db"), "f"); slices.Contains(pool, m.KekID.String()) != c.pooled {
			t.Errorf("after %v: from the pool %v", c.age, !c.pooled)
		}
	}
}

// The last claim: handed out at 30 minutes, minted for at 45, claimed at 60,
// and not later even if the data key is young.
func TestClaimAge(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	if err := k.Refill(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	pool := w.stored()
	w.wait(kms.MaxPoolAge - time.Millisecond)
	first := w.mint(k, alice, r, "f")
	w.wait(15 * time.Minute)
	last := w.mint(k, alice, r, "f")
	if first.KekID != last.KekID || !slices.Contains(pool, last.KekID.String()) {
		t.Fatal("not the oldest pool key")
	}
	w.wait(15 * time.Minute)
	create := domain.SecretCreated{Fields: []domain.Field{encrypted("f", last.Ciphertext)}}
	if _, err := w.write(k, alice, r, create); err != nil {
		t.Fatalf("at 60 minutes: %v", err)
	}

	// A key that lay longer than any data key under it, as after a clock step:
	// refused by its own age.
	w.wait(time.Millisecond)
	old := w.node(func(c *kms.Config) { c.Now = func() time.Time { return w.clock().Add(-5 * time.Second) } })
	young, err := old.Mint(t.Context(), kms.MintRequest{Ref: r, Field: "f", Agent: alice, Keys: []domain.KekID{last.KekID}})
	if err != nil {
		t.Fatal(err)
	}
	w.wait(2 * time.Millisecond)
	_, err = w.write(k, alice, r, domain.SecretCreated{Fields: []domain.Field{encrypted("f", young.Ciphertext)}})
	wantCode(t, "a young data key under a key past its age", err, domain.CodeDataKeyMismatch)
	_, err = w.release(k, alice, r, "f", young.Ciphertext)
	wantCode(t, "its release", err, domain.CodeDataKeyMismatch)
}

// Invariant 5: a lost, emptied, shortened or exchanged log, or a projection
// that lags, never makes a key look unclaimed.
func TestADoubtfulLogStopsTheSweep(t *testing.T) {
	lost := errors.New("the log is away")
	other := eventAt(1 << 40)
	for name, c := range map[string]struct {
		status  func(s kms.LogStatus, call int) (kms.LogStatus, error)
		eventAt func(position uint64) (ulid.ULID, error)
		cause   error
	}{
		"another log":   {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { s.FirstEvent = other; return s, nil }},
		"emptied":       {status: func(kms.LogStatus, int) (kms.LogStatus, error) { return kms.LogStatus{}, nil }},
		"lost its tail": {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { return logAt(s.Head - 1), nil }},
		"another log, longer": {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) {
			s = logAt(s.Head + 100)
			s.FirstEvent = other
			return s, nil
		}},
		"lost its tail and grew": {
			status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { return logAt(s.Head + 100), nil },
			eventAt: func(position uint64) (ulid.ULID, error) {
				if position > 4 {
					return other, nil
				}
				return eventAt(position), nil
			},
		},
		"a foreign message in place of an event": {eventAt: func(uint64) (ulid.ULID, error) { return ulid.ULID{}, nil }},
		"an event can't be read":                 {eventAt: func(uint64) (ulid.ULID, error) { return ulid.ULID{}, lost }, cause: lost},
		"the projection lags":                    {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { s.Applied--; return s, nil }},
		"not durable":                            {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { s.Stored = s.Head + 1; return s, nil }},
		"nothing applied":                        {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { s.Applied = 0; return s, nil }},
		"away":                                   {status: func(kms.LogStatus, int) (kms.LogStatus, error) { return kms.LogStatus{}, lost }, cause: lost},
		"exchanged meanwhile": {status: func(s kms.LogStatus, call int) (kms.LogStatus, error) {
			if call > 1 {
				s.FirstEvent = other
			}
			return s, nil
		}},
		"another before": {status: func(s kms.LogStatus, call int) (kms.LogStatus, error) {
			if call == 1 {
				s.FirstEvent = other
			}
			return s, nil
		}},
		"rebuild begins meanwhile": {status: func(s kms.LogStatus, call int) (kms.LogStatus, error) {
			if call > 2 {
				s.Applied = 0
			}
			return s, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(w.node(), alice, ref("db"), plain("p", "v")) // So that the head was not 0.
			if err := w.node().Refill(t.Context(), org); err != nil {
				t.Fatal(err)
			}
			w.mu.Lock()
			clear(w.claimed) // As an emptied projection has it.
			w.mu.Unlock()
			w.wait(kms.SweepAge + time.Hour)
			before := w.stored()
			log := &oddLog{world: w, status: c.status, eventAt: c.eventAt}
			k := w.node(func(cfg *kms.Config) { cfg.Log = log })
			for range 3 {
				log.calls = 0
				report, err := k.Sweep(t.Context())
				cause := c.cause
				if cause == nil {
					cause = kms.ErrSweepStopped
				}
				if !errors.Is(err, cause) || !errors.Is(k.SweepProblem(), cause) || report.Erased != 0 {
					t.Fatalf("%+v, error %v, problem %v", report, err, k.SweepProblem())
				}
			}
			if after := w.stored(); !slices.Equal(before, after) {
				t.Fatalf("%d keys became %d", len(before), len(after))
			}
			log.status, log.eventAt = nil, nil // Restored: the sweep goes on by itself.
			if r := w.sweep(k); r.Erased != len(before) {
				t.Fatalf("after the log came back: %+v", r)
			}
		})
	}
}

type oddLog struct {
	*world
	status  func(s kms.LogStatus, call int) (kms.LogStatus, error)
	eventAt func(position uint64) (ulid.ULID, error)
	calls   int
}

func (l *oddLog) EventAt(ctx context.Context, position uint64) (ulid.ULID, error) {
	if l.eventAt == nil {
		return l.world.EventAt(ctx, position)
	}
	return l.eventAt(position)
}

func (l *oddLog) Status(ctx context.Context) (kms.LogStatus, error) {
	s, err := l.world.Status(ctx)
	if err != nil || l.status == nil {
		return s, err
	}
	l.calls++
	return l.status(s, l.calls)
}

// A log that was seen longer than any key tells of has lost its tail too.
func TestAShrinkingLogStopsTheSweep(t *testing.T) {
	w := newWorld(t)
	head := func(n uint64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.status = logAt(n)
	}
	for n := range uint64(2) { // Two processes, an hour apart.
		head(4 + n)
		if err := w.node().Refill(t.Context(), org); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Hour)
	}
	w.wait(time.Minute)
	k := w.node()
	head(14)
	if r := w.sweep(k); r.Erased != 8 {
		t.Fatalf("%+v", r)
	}
	w.wait(time.Hour)
	head(10)
	if r, err := k.Sweep(t.Context()); !errors.Is(err, kms.ErrSweepStopped) || r.Erased != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	head(14)
	if r := w.sweep(k); r.Erased != 8 {
		t.Fatalf("%+v", r)
	}
}

// Claimed keys are passed whatever the log looks like: they are not at stake.
func TestClaimedKeysNeedNoLog(t *testing.T) {
	w := newWorld(t)
	w.create(w.node(), alice, ref("db"))
	w.wait(kms.SweepAge + time.Hour)
	k := w.node(func(cfg *kms.Config) {
		cfg.Log = &oddLog{world: w, status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { s.Applied = 0; return s, nil }}
	})
	if r := w.sweep(k); r.Looked != 1 || r.Erased != 0 {
		t.Fatalf("%+v", r)
	}
}

// A claim that is applied between the first look and the erasure counts.
func TestAClaimIsLookedUpTwice(t *testing.T) {
	w := newWorld(t)
	if err := w.node().Refill(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	w.wait(kms.SweepAge + time.Hour)
	k := w.node(func(cfg *kms.Config) { cfg.Claims = &lateClaims{world: w, seen: map[domain.KekID]bool{}} })
	if r := w.sweep(k); r.Looked != 8 || r.Erased != 0 {
		t.Fatalf("%+v", r)
	}
}

type lateClaims struct {
	*world
	seen map[domain.KekID]bool
}

func (c *lateClaims) KekClaimed(k domain.KekID) (bool, error) {
	again := c.seen[k]
	c.seen[k] = true
	return again, nil
}

// Junk and keys from the future neither stop the sweep nor are erased.
func TestOddRecordsAreSkipped(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ahead := w.node(func(c *kms.Config) { c.Now = func() time.Time { return w.clock().Add(1000 * time.Hour) } })
	if err := w.store.CreateSecretKey(ctx, strings.Repeat("0", 32), []byte("junk")); err != nil {
		t.Fatal(err)
	}
	if err := ahead.Refill(ctx, org); err != nil {
		t.Fatal(err)
	}
	k := w.node()
	if err := k.Refill(ctx, org); err != nil {
		t.Fatal(err)
	}
	for stored, err := range w.store.SecretKeys(ctx, 0) { // A record under another name.
		if err == nil && string(stored.Record) != "junk" {
			err = w.store.CreateSecretKey(ctx, strings.Repeat("1", 32), stored.Record)
		}
		if err != nil && !errors.Is(err, kms.ErrKeyExists) {
			t.Fatal(err)
		}
	}
	w.wait(kms.SweepAge + time.Minute)
	if r := w.sweep(k); r.Erased != 8 || r.Skipped != 10 {
		t.Fatalf("%+v", r)
	}
	if n := len(w.stored()); n != 10 {
		t.Fatalf("%d keys left", n)
	}
}

// More than one batch, and a failure in the middle that loses nothing.
func TestSweepGoesOnAfterAFailure(t *testing.T) {
	w := newWorld(t)
	k := w.node(func(c *kms.Config) { c.PoolMin, c.PoolMax = 2500, 2500 })
	if err := k.Refill(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	w.wait(kms.SweepAge + time.Minute)
	failing, n := fmt.Errorf("%w: a fault", kms.ErrUnavailable), 0
	w.store.SetFault(func(op kmstest.Op, _ string) (bool, error) {
		if op == kmstest.OpEraseSecretKey {
			if n++; n%1000 == 0 {
				return n%2000 == 0, failing // Failed and applied, or failed and not.
			}
		}
		return true, nil
	})
	erased, failures := 0, 0
	for range 10 {
		r, err := k.Sweep(t.Context())
		erased += r.Erased
		if err == nil {
			break
		}
		if !errors.Is(err, failing) || !errors.Is(k.SweepProblem(), failing) {
			t.Fatal(err)
		}
		failures++
	}
	if left := w.stored(); len(left) != 0 || failures != 2 || k.SweepProblem() != nil {
		t.Fatalf("%d keys left, %d erased, %d failures", len(left), erased, failures)
	}
}
