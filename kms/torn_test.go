package kms_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/slotfile"
)

// slotWorld is a world whose keys lie in slot files.
type slotWorld struct {
	*world
	dir   string
	store *slotfile.Store
}

func newSlotWorld(t *testing.T) *slotWorld {
	t.Helper()
	w := &slotWorld{world: newWorld(t), dir: t.TempDir()}
	w.open()
	t.Cleanup(w.close)
	return w
}

func (w *slotWorld) open() {
	w.t.Helper()
	var err error
	if w.store, err = slotfile.Open(w.dir); err != nil {
		w.t.Fatal(err)
	}
}

func (w *slotWorld) close() {
	w.t.Helper()
	if err := w.store.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *slotWorld) node(change ...func(*kms.Config)) *kms.Keyring {
	return w.world.node(append([]func(*kms.Config){func(c *kms.Config) { c.Store, c.Torn = w.store, w.store }}, change...)...)
}

// tear changes one byte of a key's slot and starts the store anew.
func (w *slotWorld) tear(kek domain.KekID) {
	w.t.Helper()
	w.close()
	path := filepath.Join(w.dir, slotfile.KeysFile)
	content, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	at := strings.Index(string(content), string(kek[:]))
	if at < 0 {
		w.t.Fatal("the key is not in the file")
	}
	content[at+20] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.open()
	if len(w.store.Torn()) == 0 {
		w.t.Fatal("no slot is torn")
	}
}

// Invariant 11: a torn slot is erased once every living secret has its key: it can be a pool
// key's, an unacknowledged one's, or one that was being erased.
func TestTornSlotsThatNobodyNeedsAreErased(t *testing.T) {
	w := newSlotWorld(t)
	k := w.node()
	if err := k.Refill(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	kept := w.create(k, alice, ref("kept")).KekIDs[0]
	deleted := w.create(k, alice, ref("deleted")).KekIDs[0]
	// The crash came between secret.deleted and the erasure of its key.
	if err := w.record(ref("deleted"), domain.SecretDeleted{KekIDs: []domain.KekID{deleted}}); err != nil {
		t.Fatal(err)
	}
	w.tear(deleted)
	r := w.node()
	if _, err := r.Sweep(t.Context()); err != nil || len(w.store.Torn()) != 0 || r.SweepProblem() != nil {
		t.Fatalf("%v, torn %v", err, w.store.Torn())
	}
	if _, err := w.store.SecretKey(t.Context(), kept.String()); err != nil {
		t.Error(err)
	}
	w.close()
	w.open()
	if torn := w.store.Torn(); len(torn) != 0 {
		t.Errorf("torn after a restart: %v", torn)
	}
}

// Invariant 11: while a living secret lacks its key all torn slots are kept, and reported
// with their offsets.
func TestTornSlotsOfALivingSecretAreKept(t *testing.T) {
	w := newSlotWorld(t)
	k := w.node()
	living := w.create(k, alice, ref("living")).KekIDs[0]
	w.create(k, alice, ref("other"))
	w.tear(living)
	offset := fmt.Sprint(w.store.Torn())
	r := w.node()
	for range 2 {
		_, err := r.Sweep(t.Context())
		if !errors.Is(err, kms.ErrTornKept) || !errors.Is(r.SweepProblem(), kms.ErrTornKept) || !strings.Contains(err.Error(), offset) {
			t.Fatalf("%v; offset %s", err, offset)
		}
		if len(w.store.Torn()) != 1 {
			t.Fatal("the slot was erased")
		}
	}
	// The operator gives the secret up.
	if err := w.record(ref("living"), domain.SecretDeleted{KekIDs: []domain.KekID{living}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sweep(t.Context()); err != nil || len(w.store.Torn()) != 0 {
		t.Fatalf("%v, torn %v", err, w.store.Torn())
	}
}

// Invariant 11: what a doubtful log or projection says of the living is not believed.
func TestADoubtfulLogKeepsTornSlots(t *testing.T) {
	broken := errors.New("no answer")
	for name, c := range map[string]struct {
		status func(s kms.LogStatus, call int) (kms.LogStatus, error)
		claims error
		want   error // nil: it waits without a word
	}{
		"lags": {status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { s.Applied--; return s, nil }},
		"lost its tail": {
			status: func(s kms.LogStatus, _ int) (kms.LogStatus, error) { return logAt(s.Head - 1), nil }, want: kms.ErrTornKept,
		},
		"a rebuild begins": {status: func(s kms.LogStatus, call int) (kms.LogStatus, error) {
			if call > 2 {
				s.Applied = 0
			}
			return s, nil
		}, want: kms.ErrTornKept},
		"away":      {status: func(kms.LogStatus, int) (kms.LogStatus, error) { return kms.LogStatus{}, broken }, want: broken},
		"no claims": {claims: broken, want: broken},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSlotWorld(t)
			k := w.node()
			w.create(k, alice, ref("first")) // so that the next key knows a later head
			if err := k.Refill(t.Context(), org); err != nil {
				t.Fatal(err)
			}
			torn := w.create(w.node(), alice, ref("torn")).KekIDs[0]
			if err := w.record(ref("torn"), domain.SecretDeleted{KekIDs: []domain.KekID{torn}}); err != nil {
				t.Fatal(err)
			}
			w.create(w.node(), alice, ref("last"))
			w.tear(torn)
			head := w.status.Head
			w.status = logAt(head - 1) // as the last key knows it
			log := &oddLog{world: w.world, status: c.status}
			r := w.node(func(cfg *kms.Config) {
				cfg.Log = log
				cfg.Claims = &silentClaims{world: w.world, err: c.claims}
			})
			if _, err := r.Sweep(t.Context()); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("got %v", err)
			}
			if len(w.store.Torn()) != 1 {
				t.Error("the slot was erased")
			}
			log.status = nil
			w.status = logAt(head)
			if _, err := w.node().Sweep(t.Context()); err != nil || len(w.store.Torn()) != 0 {
				t.Errorf("afterwards: %v, torn %v", err, w.store.Torn())
			}
		})
	}
}

type silentClaims struct {
	*world
	err error
}

func (c *silentClaims) LivingKeks(ctx context.Context) iter.Seq2[domain.KekID, error] {
	if c.err == nil {
		return c.world.LivingKeks(ctx)
	}
	return func(yield func(domain.KekID, error) bool) { yield(domain.KekID{}, c.err) }
}

// No key is made before the projection has applied anything: its record could
// not say which log it belongs to.
func TestNoKeyBeforeTheFirstEvent(t *testing.T) {
	w := newWorld(t)
	for _, s := range []kms.LogStatus{{}, {FirstEvent: eventAt(1), Head: 4}} {
		w.status = s
		if err := w.node().Refill(t.Context(), org); domain.CodeOf(err) != domain.CodeUnavailable {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if n := len(w.stored()); n != 0 {
		t.Errorf("%d keys were made", n)
	}
}
