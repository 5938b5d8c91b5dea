package kms_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

// run starts Run and gives what stops it and waits.
func run(t *testing.T, k *kms.Keyring) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestRunFillsThePoolAndSweeps(t *testing.T) {
	w := newWorld(t)
	if err := w.node().Refill(t.Context(), org2); err != nil { // A process that died.
		t.Fatal(err)
	}
	w.wait(kms.SweepAge + time.Minute)
	k := w.node(func(c *kms.Config) { c.RetryEvery, c.SweepEvery = time.Millisecond, time.Millisecond })
	stop := run(t, k)
	eventually(t, "the old pool is swept", func() bool { return k.Stats().Swept == 8 })
	if k.Stats().Pooled != 0 {
		t.Error("a pool without demand")
	}
	m := w.mint(k, alice, ref("db"), "f")
	eventually(t, "the pool is filled", func() bool { return k.Stats().Pooled >= 8 })
	if e := w.create(k, alice, ref("db"), encrypted("f", m.Ciphertext)); len(e.KekIDs) != 1 {
		t.Errorf("claimed %v", e.KekIDs)
	}
	w.wait(kms.MaxPoolAge + time.Minute)
	eventually(t, "the pool is too old", func() bool {
		empty := k.Stats().Pooled == 0
		if !empty { // some were still being made while the time went by
			w.wait(kms.MaxPoolAge)
		}
		return empty
	})
	stop()
	if err := k.SweepProblem(); err != nil {
		t.Error(err)
	}
}

func TestRunOutlivesFailures(t *testing.T) {
	w := newWorld(t)
	k := w.node(func(c *kms.Config) { c.RetryEvery, c.SweepEvery = time.Millisecond, time.Millisecond })
	w.mint(k, alice, ref("db"), "f")
	away := fmt.Errorf("%w: a fault", kms.ErrUnavailable)
	w.store.SetFault(func(kmstest.Op, string) (bool, error) { return false, away })
	stop := run(t, k)
	eventually(t, "the sweep's problem is known", func() bool { return errors.Is(k.SweepProblem(), away) })
	w.store.SetFault(nil)
	eventually(t, "it recovers", func() bool { return k.SweepProblem() == nil && k.Stats().Pooled >= 8 })
	stop()
	if !strings.Contains(w.logs.String(), "sweep of unclaimed keys stopped") {
		t.Errorf("the log says nothing of it:\n%s", w.logs.String())
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	w := newWorld(t)
	good := kms.Config{Provider: w.root, Store: w.store, Log: w, Claims: w, Now: w.clock}
	if _, err := kms.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*kms.Config){
		"Provider":                func(c *kms.Config) { c.Provider = nil },
		"Store":                   func(c *kms.Config) { c.Store = nil },
		"Log":                     func(c *kms.Config) { c.Log = nil },
		"Claims":                  func(c *kms.Config) { c.Claims = nil },
		"Now":                     func(c *kms.Config) { c.Now = nil },
		"CacheSize below 0":       func(c *kms.Config) { c.CacheSize = -1 },
		"PoolMax below PoolMin":   func(c *kms.Config) { c.PoolMin, c.PoolMax = 9, 8 },
		"PoolMax below a default": func(c *kms.Config) { c.PoolMax = 7 },
	} {
		bad := good
		change(&bad)
		if _, err := kms.New(bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Invariant 9: a value and a data key put through everything appear in no
// error, no log line and no stored record.
func TestNothingSecretLeaks(t *testing.T) {
	const canary = "canary-value-4242"
	w := newWorld(t)
	k, r := w.node(), ref("db")
	m := w.mint(k, alice, r, "f")
	var errs []error
	note := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("no error to look at")
		}
		errs = append(errs, err)
	}
	e := w.create(k, alice, r, encrypted("f", m.Ciphertext), plain("p", canary))
	sealed := sealedOf(t, e.Fields[1])
	_, err := openOne(t, k, r, "q", sealed)
	note(err)
	_, err = openOne(t, k, ref("x"), "p", sealed)
	note(err)
	_, err = w.write(k, alice, r, domain.FieldSet{Field: encrypted("g", m.Ciphertext)})
	note(err)
	_, err = w.write(k, alice, r, domain.FieldSet{Field: encrypted("f", m.Ciphertext)})
	note(err)
	_, err = w.release(k, alice, r, "f", m.Ciphertext+canary)
	note(err)
	_, err = k.Seal(t.Context(), kms.SealRequest{Ref: r, Event: domain.FieldSet{Field: plain("p", canary)}})
	note(err)
	w.store.SetFault(func(kmstest.Op, string) (bool, error) { return false, kms.ErrUnavailable })
	_, err = openOne(t, w.node(), r, "p", sealed)
	note(err)
	w.store.SetFault(nil)

	texts := []string{w.logs.String(), fmt.Sprintf("%v %+v %#v", e, e, m), fmt.Sprintf("%v %+v %s", m, k, []any{m})}
	for _, err := range errs {
		texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
	for stored, err := range w.store.SecretKeys(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(stored.Record))
	}
	for _, text := range texts {
		for _, secret := range []string{canary, m.Ciphertext, m.Ciphertext[64:96], string(m.PlaintextKey), fmt.Sprintf("%x", m.PlaintextKey), fmt.Sprint(m.PlaintextKey)} {
			if strings.Contains(text, secret) {
				t.Errorf("it stands in %.300q", text)
			}
		}
	}
}
