package kmstest

import (
	"context"
	"testing"

	"github.com/chancery-dev/chancery/kms"
)

// Held is a key store whose way to the disk a test can hold.
type Held struct {
	Store kms.KeyStore
	// Hold holds every fsync that begins from now on. entered receives once
	// for the first of them; release lets them all go on.
	Hold func() (entered <-chan struct{}, release func())
}

// TestDurability checks that no write of a store is answered before an fsync
// that began after it has ended. open gives a new, empty store.
func TestDurability(t *testing.T, open func(t *testing.T) Held) {
	t.Helper()
	for name, write := range map[string]func(context.Context, kms.KeyStore) error{
		"an org key":   func(ctx context.Context, s kms.KeyStore) error { return s.CreateOrgKey(ctx, orgA, "k1", []byte("x")) },
		"a secret key": func(ctx context.Context, s kms.KeyStore) error { return s.CreateSecretKey(ctx, kekB, []byte("x")) },
		"an erasure":   func(ctx context.Context, s kms.KeyStore) error { return s.EraseSecretKey(ctx, kekA) },
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			must(t, h.Store.CreateSecretKey(t.Context(), kekA, []byte("x")))
			entered, release := h.Hold()
			answered := make(chan error, 1)
			go func() { answered <- write(t.Context(), h.Store) }()
			select {
			case <-entered:
			case err := <-answered:
				t.Fatalf("answered without an fsync: %v", err)
			}
			select {
			case err := <-answered:
				t.Fatalf("answered while the fsync is held: %v", err)
			default:
			}
			release()
			must(t, <-answered)
		})
	}
}
