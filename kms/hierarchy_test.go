package kms_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

// brittle is a provider with injected faults.
type brittle struct {
	kms.Provider
	mu   sync.Mutex
	wrap error
	open error
}

func (b *brittle) fail(wrap, open error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrap, b.open = wrap, open
}

func (b *brittle) Wrap(ctx context.Context, key, aad []byte) (kms.Wrapped, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrap != nil {
		return kms.Wrapped{}, b.wrap
	}
	return b.Provider.Wrap(ctx, key, aad)
}

func (b *brittle) Unwrap(ctx context.Context, w kms.Wrapped, aad []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil {
		return nil, b.open
	}
	return b.Provider.Unwrap(ctx, w, aad)
}

// Every bit of a stored secret key's box counts, and no record opens under
// another name, organization or generation.
func TestStoredSecretKeysAreBound(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	e := w.create(k, alice, ref("db"), plain("p", "value"))
	foreign := ref("db")
	foreign.Org = org2
	other := w.create(k, alice, foreign)
	if err := k.OrgReady(t.Context(), org2); err != nil {
		t.Fatal(err)
	}
	sealed, kek := sealedOf(t, e.Fields[0]), e.KekIDs[0].String()
	stored, err := w.store.SecretKey(t.Context(), kek)
	if err != nil {
		t.Fatal(err)
	}
	open := func(record []byte) error {
		if !w.store.Replace(kek, record) {
			t.Fatal("the key is not there")
		}
		_, err := openOne(t, w.node(), ref("db"), "p", sealed)
		return err
	}
	if err := open(stored.Record); err != nil {
		t.Fatal(err)
	}
	changed := func(at int, xor byte) []byte {
		b := bytes.Clone(stored.Record)
		b[at] ^= xor
		return b
	}
	for bit := range 60 * 8 { // of the box
		if err := open(changed(41+bit/8, 1<<(bit%8))); !errors.Is(err, kms.ErrAuth) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for name, record := range map[string][]byte{
		"generation":   changed(40, 1^2),
		"organization": changed(32, 1), // org2
	} {
		if err := open(record); !errors.Is(err, kms.ErrAuth) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	theirs, err := w.store.SecretKey(t.Context(), other.KekIDs[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if err := open(theirs.Record); !errors.Is(err, kms.ErrRecord) {
		t.Errorf("another key's record: %v", err)
	}
	renamed := bytes.Clone(theirs.Record)
	copy(renamed[1:17], e.KekIDs[0][:])
	if err := open(renamed); !errors.Is(err, kms.ErrAuth) {
		t.Errorf("another key's record under this name: %v", err)
	}
}

// Nodes that make an organization's first key at the same time end up with
// one, and each opens what the others wrapped.
func TestOneOrgKeyAmongManyNodes(t *testing.T) {
	w := newWorld(t)
	nodes := make([]*kms.Keyring, 8)
	for i := range nodes {
		nodes[i] = w.node()
	}
	var wg sync.WaitGroup
	minted := make([]kms.Minted, len(nodes))
	for i, k := range nodes {
		wg.Go(func() {
			if i%2 == 0 {
				if err := k.OrgReady(t.Context(), org); err != nil {
					t.Error(err)
				}
			}
			m, err := k.Mint(t.Context(), kms.MintRequest{Ref: ref("db"), Field: "f", Agent: alice})
			if err != nil {
				t.Error(err)
			}
			minted[i] = m
		})
	}
	wg.Wait()
	for _, k := range nodes {
		for _, m := range minted {
			if _, err := w.release(k, alice, ref("db"), "f", m.Ciphertext); err != nil {
				t.Error(err)
			}
		}
	}
	if n, err := kms.CheckProvider(t.Context(), w.root, w.store); err != nil || n != 1 {
		t.Fatalf("%d org keys, error %v", n, err)
	}
}

// Also a mistaken caller gets no key across organizations.
func TestKeysStayInTheirOrganization(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	e := w.create(k, alice, ref("db"))
	foreign := ref("db")
	foreign.Org = org2
	_, err := k.Mint(t.Context(), kms.MintRequest{Ref: foreign, Field: "f", Agent: alice, Keys: e.KekIDs})
	if !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("mint: %v", err)
	}
	for stored, err := range w.store.OrgKeys(t.Context(), string(org)) {
		if err == nil {
			err = w.store.CreateOrgKey(t.Context(), string(org2), stored.ID, stored.Record)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.node().OrgReady(t.Context(), org2); !errors.Is(err, kms.ErrRecord) {
		t.Errorf("an org key under another organization's name: %v", err)
	}
}

func TestCheckProvider(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	for _, o := range []domain.OrgID{org, org2} {
		if err := k.OrgReady(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := kms.CheckProvider(t.Context(), w.root, w.store); err != nil || n != 2 {
		t.Fatalf("%d org keys, error %v", n, err)
	}
	other, err := kms.CreateLocal(filepath.Join(t.TempDir(), "other.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := kms.CheckProvider(t.Context(), other, w.store); !errors.Is(err, kms.ErrAuth) || n != 0 {
		t.Fatalf("another key file: %d org keys, error %v", n, err)
	}
	if err := w.store.CreateOrgKey(t.Context(), string(org2), "k2", []byte("junk")); err != nil {
		t.Fatal(err)
	}
	if _, err := kms.CheckProvider(t.Context(), w.root, w.store); !errors.Is(err, kms.ErrRecord) {
		t.Fatalf("a junk org key: %v", err)
	}
}

// What a caller sees of a provider's four ways to fail.
func TestProviderFailures(t *testing.T) {
	for _, c := range []struct {
		failure             error
		mint, read, release domain.Code
	}{
		{kms.ErrUnavailable, domain.CodeUnavailable, domain.CodeUnavailable, domain.CodeUnavailable},
		{kms.ErrDenied, domain.CodeInternal, domain.CodeInternal, domain.CodeInternal},
		{kms.ErrAuth, domain.CodeInternal, domain.CodeInternal, domain.CodeInternal},
		{kms.ErrDestroyed, domain.CodeInternal, domain.CodeInternal, domain.CodeDataKeyMismatch},
	} {
		w := newWorld(t)
		b := &brittle{Provider: w.root}
		w.root = b
		k, r := w.node(), ref("db")
		b.fail(fmt.Errorf("wrap: %w", c.failure), nil)
		wantCode(t, "OrgReady", k.OrgReady(t.Context(), org), c.mint)
		_, err := k.Mint(t.Context(), kms.MintRequest{Ref: r, Field: "f", Agent: alice})
		wantCode(t, "mint", err, c.mint)
		_, err = w.write(k, alice, r, domain.SecretCreated{})
		wantCode(t, "create", err, c.mint)
		wantCode(t, "refill", k.Refill(t.Context(), org), c.mint)
		if n := k.Stats().Pooled; n != 0 || len(w.stored()) != 0 {
			t.Errorf("%v: %d pooled, %d stored", c.failure, n, len(w.stored()))
		}
		b.fail(nil, nil) // Back again: nothing was kept of the failure.
		m := w.mint(k, alice, r, "f")
		e := w.create(k, alice, r, encrypted("f", m.Ciphertext), plain("p", "v"))

		cold := w.node()
		b.fail(nil, fmt.Errorf("unwrap: %w", c.failure))
		_, err = openOne(t, cold, r, "p", sealedOf(t, e.Fields[1]))
		wantCode(t, "open", err, c.read)
		_, err = w.release(cold, alice, r, "f", m.Ciphertext)
		wantCode(t, "release", err, c.release)
		if _, err := w.release(k, alice, r, "f", m.Ciphertext); err != nil {
			t.Errorf("%v: a warm node needs no provider: %v", c.failure, err)
		}
		b.fail(nil, nil)
		if _, err := w.release(cold, alice, r, "f", m.Ciphertext); err != nil {
			t.Errorf("after %v: %v", c.failure, err)
		}
	}
}

// Invariant 3, and writes that fail though they were stored, or fail and were
// not: no key is ever used that may not be there.
func TestStoreFailures(t *testing.T) {
	away := fmt.Errorf("%w: a fault", kms.ErrUnavailable)
	for _, applied := range []bool{false, true} {
		w := newWorld(t)
		k, r := w.node(), ref("db")
		failing := func(ops ...kmstest.Op) {
			w.store.SetFault(func(op kmstest.Op, _ string) (bool, error) {
				for _, o := range ops {
					if o == op {
						return applied, away
					}
				}
				return true, nil
			})
		}
		failing(kmstest.OpCreateOrgKey)
		_, err := k.Mint(t.Context(), kms.MintRequest{Ref: r, Field: "f", Agent: alice})
		wantCode(t, "mint without an org key", err, domain.CodeUnavailable)
		var refused *domain.Error
		if !errors.As(err, &refused) || refused.RetryAfter <= 0 {
			t.Error("no advice when to retry")
		}
		failing(kmstest.OpCreateSecretKey)
		_, err = k.Mint(t.Context(), kms.MintRequest{Ref: r, Field: "f", Agent: alice})
		wantCode(t, "mint without a secret key", err, domain.CodeUnavailable)
		wantCode(t, "refill", k.Refill(t.Context(), org), domain.CodeUnavailable)
		if s := k.Stats(); s.Pooled != 0 || s.OpenMints != 0 || s.Cached != 0 {
			t.Errorf("kept of a failed write: %+v", s)
		}
		failing()
		doubtful := w.stored()
		m := w.mint(k, alice, r, "f")
		for _, id := range doubtful {
			if id == m.KekID.String() {
				t.Error("a key of a failed write was used")
			}
		}
		e := w.create(k, alice, r, encrypted("f", m.Ciphertext), plain("p", "v"))
		failing(kmstest.OpSecretKey)
		cold := w.node()
		_, err = openOne(t, cold, r, "p", sealedOf(t, e.Fields[1]))
		wantCode(t, "read", err, domain.CodeUnavailable)
		_, err = w.release(cold, alice, r, "f", m.Ciphertext)
		wantCode(t, "release", err, domain.CodeUnavailable)
		_, err = w.write(cold, alice, r, domain.FieldSet{Field: plain("p", "v")})
		wantCode(t, "write", err, domain.CodeUnavailable)

		failing(kmstest.OpEraseSecretKey)
		wantCode(t, "destroy", k.Destroy(t.Context(), e.KekIDs), domain.CodeUnavailable)
		if s := k.Stats(); s.Cached != 0 {
			t.Error("a key whose erasure is in doubt stays in memory")
		}
		failing()
		if err := k.Destroy(t.Context(), e.KekIDs); err != nil {
			t.Error(err)
		}
	}
}

// One of several keys that can't be erased does not save the others.
func TestDestroyGoesOn(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	a, b := w.mint(k, alice, ref("a"), "f").KekID, w.mint(k, alice, ref("b"), "f").KekID
	w.store.SetFault(func(op kmstest.Op, id string) (bool, error) {
		if op == kmstest.OpEraseSecretKey && id == a.String() {
			return false, errors.New("a fault")
		}
		return true, nil
	})
	if err := k.Destroy(t.Context(), []domain.KekID{a, b}); err == nil {
		t.Fatal("no error")
	}
	if ids := w.stored(); len(ids) != 1 || ids[0] != a.String() {
		t.Fatalf("left: %v", ids)
	}
}

// Invariant 6: a load that began before the destruction comes to nothing.
func TestDestroyDuringALoad(t *testing.T) {
	w := newWorld(t)
	r := ref("db")
	e := w.create(w.node(), alice, r, plain("p", "v"))
	held := make(chan struct{})
	gate := &gatedProvider{Provider: w.root, begun: make(chan struct{}), gate: held}
	w.root = gate
	k := w.node()
	result := make(chan error, 1)
	go func() {
		_, err := openOne(t, k, r, "p", sealedOf(t, e.Fields[0]))
		result <- err
	}()
	<-gate.begun // It has read the record and unwraps.
	w.delete(k, r)
	close(held)
	if err := <-result; !errors.Is(err, kms.ErrKeyNotFound) {
		t.Fatalf("the load gave the key: %v", err)
	}
	if s := k.Stats(); s.Cached != 0 {
		t.Fatal("the destroyed key is in memory")
	}
}

type gatedProvider struct {
	kms.Provider
	begun chan struct{}
	gate  chan struct{}
}

func (g *gatedProvider) Unwrap(ctx context.Context, w kms.Wrapped, aad []byte) ([]byte, error) {
	close(g.begun)
	<-g.gate
	return g.Provider.Unwrap(ctx, w, aad)
}
