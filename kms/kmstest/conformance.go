package kmstest

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/kms"
)

const (
	orgA = "org_01JB0000000000000000000000"
	orgB = "org_01JB0000000000000000000001"
	kekA = "00112233445566778899aabbccddeeff"
	kekB = "ff112233445566778899aabbccddeeff"
	kekC = "0f112233445566778899aabbccddeeff"
)

// TestKeyStore checks the contract of [kms.KeyStore] but durability, which
// [TestDurability] checks. open
// gives a new, empty store.
func TestKeyStore(t *testing.T, open func(t *testing.T) kms.KeyStore) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, kms.KeyStore){
		"org keys":           testOrgKeys,
		"secret keys":        testSecretKeys,
		"erasing":            testErasing,
		"one of many wins":   testOneWins,
		"a reader may stop":  testReaderStops,
		"an ended context":   testEndedContext,
		"empty and not":      testEmpty,
		"records are copied": testCopies,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func testOrgKeys(t *testing.T, s kms.KeyStore) {
	ctx := t.Context()
	must(t, s.CreateOrgKey(ctx, orgA, "k1", []byte("a1")))
	must(t, s.CreateOrgKey(ctx, orgB, "k1", []byte("b1")))
	must(t, s.CreateOrgKey(ctx, orgA, "k2", []byte("a2")))
	must(t, s.CreateSecretKey(ctx, kekA, []byte("no org key")))
	if err := s.CreateOrgKey(ctx, orgA, "k1", []byte("again")); !errors.Is(err, kms.ErrKeyExists) {
		t.Fatalf("a second key of one id: %v", err)
	}
	equal(t, s.OrgKeys(ctx, orgA), key(orgA, "k1", "a1"), key(orgA, "k2", "a2"))
	equal(t, s.OrgKeys(ctx, orgB), key(orgB, "k1", "b1"))
	equal(t, s.OrgKeys(ctx, "org_01JB0000000000000000000002"))
	equal(t, s.AllOrgKeys(ctx), key(orgA, "k1", "a1"), key(orgB, "k1", "b1"), key(orgA, "k2", "a2"))
}

func testSecretKeys(t *testing.T, s kms.KeyStore) {
	ctx := t.Context()
	must(t, s.CreateSecretKey(ctx, kekB, []byte("b")))
	must(t, s.CreateOrgKey(ctx, orgA, "k1", []byte("no secret key")))
	must(t, s.CreateSecretKey(ctx, kekA, []byte("a")))
	must(t, s.CreateSecretKey(ctx, kekC, []byte("c")))
	if err := s.CreateSecretKey(ctx, kekA, []byte("again")); !errors.Is(err, kms.ErrKeyExists) {
		t.Fatalf("a second key of one id: %v", err)
	}
	got, err := s.SecretKey(ctx, kekA)
	must(t, err)
	if got.ID != kekA || string(got.Record) != "a" || got.Sequence == 0 {
		t.Fatalf("another key: id %s, record %s", got.ID, got.Record)
	}
	all := equal(t, s.SecretKeys(ctx, 0), key("", kekB, "b"), key("", kekA, "a"), key("", kekC, "c"))
	equal(t, s.SecretKeys(ctx, all[0].Sequence), key("", kekA, "a"), key("", kekC, "c"))
	equal(t, s.SecretKeys(ctx, all[2].Sequence))
	equal(t, s.SecretKeys(ctx, all[2].Sequence+1000))
	if got.Sequence != all[1].Sequence {
		t.Fatalf("one key at sequence %d and %d", got.Sequence, all[1].Sequence)
	}
}

func testErasing(t *testing.T, s kms.KeyStore) {
	ctx := t.Context()
	must(t, s.CreateSecretKey(ctx, kekA, []byte("a")))
	must(t, s.CreateSecretKey(ctx, kekB, []byte("b")))
	must(t, s.EraseSecretKey(ctx, kekA))
	if _, err := s.SecretKey(ctx, kekA); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Fatalf("an erased key: %v", err)
	}
	equal(t, s.SecretKeys(ctx, 0), key("", kekB, "b"))
	must(t, s.EraseSecretKey(ctx, kekA))
	must(t, s.EraseSecretKey(ctx, kekC))
	must(t, s.EraseSecretKey(ctx, kekB))
	equal(t, s.SecretKeys(ctx, 0))
}

func testOneWins(t *testing.T, s kms.KeyStore) {
	for name, create := range map[string]func(context.Context) error{
		"org":    func(ctx context.Context) error { return s.CreateOrgKey(ctx, orgA, "k1", []byte("x")) },
		"secret": func(ctx context.Context) error { return s.CreateSecretKey(ctx, kekA, []byte("x")) },
	} {
		const rivals = 16
		errs := make([]error, rivals)
		var wg sync.WaitGroup
		for i := range rivals {
			wg.Go(func() { errs[i] = create(t.Context()) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, kms.ErrKeyExists):
				t.Errorf("%s key: %v", name, err)
			}
		}
		if won != 1 {
			t.Errorf("%s key: %d rivals won", name, won)
		}
	}
}

func testReaderStops(t *testing.T, s kms.KeyStore) {
	for _, k := range []string{kekA, kekB, kekC} {
		must(t, s.CreateSecretKey(t.Context(), k, []byte("x")))
	}
	seen := 0
	for _, err := range s.SecretKeys(t.Context(), 0) {
		must(t, err)
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 {
		t.Fatalf("saw %d", seen)
	}
}

func testEndedContext(t *testing.T, s kms.KeyStore) {
	must(t, s.CreateSecretKey(t.Context(), kekA, []byte("x")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.SecretKey(ctx, kekA); !errors.Is(err, context.Canceled) {
		t.Errorf("SecretKey: %v", err)
	}
	for _, err := range s.SecretKeys(ctx, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("SecretKeys: %v", err)
		}
	}
	must(t, s.EraseSecretKey(t.Context(), kekA))
}

func testEmpty(t *testing.T, s kms.KeyStore) {
	check := func(want bool) {
		t.Helper()
		empty, err := kms.StoreEmpty(t.Context(), s)
		must(t, err)
		if empty != want {
			t.Fatalf("empty: %v", empty)
		}
	}
	check(true)
	must(t, s.CreateSecretKey(t.Context(), kekA, []byte("x")))
	check(false)
	must(t, s.EraseSecretKey(t.Context(), kekA))
	check(true)
	must(t, s.CreateOrgKey(t.Context(), orgA, "k1", []byte("x")))
	check(false)
}

func testCopies(t *testing.T, s kms.KeyStore) {
	record := []byte("record")
	must(t, s.CreateSecretKey(t.Context(), kekA, record))
	clear(record)
	got, err := s.SecretKey(t.Context(), kekA)
	must(t, err)
	if string(got.Record) != "record" {
		t.Fatal("the store keeps the caller's slice")
	}
	clear(got.Record)
	again, err := s.SecretKey(t.Context(), kekA)
	must(t, err)
	if string(again.Record) != "record" {
		t.Fatal("the store hands out its own slice")
	}
}

func key(org, id, record string) kms.StoredKey {
	return kms.StoredKey{Org: org, ID: id, Record: []byte(record)}
}

// equal compares all but sequences, which must ascend, and gives what it read.
func equal(t *testing.T, seq iter.Seq2[kms.StoredKey, error], want ...kms.StoredKey) []kms.StoredKey {
	t.Helper()
	var got, bare []kms.StoredKey
	for k, err := range seq {
		must(t, err)
		if k.Sequence == 0 || len(got) > 0 && k.Sequence <= got[len(got)-1].Sequence {
			t.Errorf("sequence %d", k.Sequence)
		}
		got = append(got, k)
		k.Sequence = 0
		bare = append(bare, k)
	}
	if d := cmp.Diff(want, bare); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
