package eventstore

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

func openKeys(t testing.TB, dir string) (k *KeyStore, stop func()) {
	t.Helper()
	e, nc := startEmbedded(t, dir)
	k, err := OpenKeyStore(t.Context(), nc, 1)
	if err != nil {
		t.Fatal(err)
	}
	k.appender.timing = fastTiming()
	return k, func() { stopEmbedded(t, e, nc) }
}

func keyIDs(t *testing.T, keys iter.Seq2[domain.StoredKey, error]) (ids []string) {
	t.Helper()
	var last uint64
	for k, err := range keys {
		if err != nil {
			t.Fatal(err)
		}
		if k.Sequence <= last {
			t.Errorf("sequence %d after %d", k.Sequence, last)
		}
		last = k.Sequence
		ids = append(ids, k.ID)
	}
	return ids
}

func kekText(n int) string { return hex.EncodeToString([]byte{15: byte(n), 14: byte(n >> 8)}) }

func TestSecretKeys(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	k, stop := openKeys(t, dir)
	if _, err := k.SecretKey(ctx, kekText(1)); !errors.Is(err, domain.ErrKeyNotFound) {
		t.Errorf("a missing key: %v", err)
	}
	if err := k.EraseSecretKey(ctx, kekText(1)); err != nil {
		t.Errorf("erasing a missing key: %v", err)
	}
	if err := k.CreateSecretKey(ctx, kekText(1), []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := k.CreateSecretKey(ctx, kekText(1), []byte("other")); !errors.Is(err, domain.ErrKeyExists) {
		t.Errorf("a taken id: %v", err)
	}
	if err := k.CreateSecretKey(ctx, kekText(2), []byte("two")); err != nil {
		t.Fatal(err)
	}
	stop()
	k, _ = openKeys(t, dir)
	got, err := k.SecretKey(ctx, kekText(1))
	if err != nil || got.ID != kekText(1) || got.Org != "" || string(got.Record) != "one" || got.Sequence != 1 {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	if err := k.EraseSecretKey(ctx, kekText(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.SecretKey(ctx, kekText(1)); !errors.Is(err, domain.ErrKeyNotFound) {
		t.Errorf("an erased key: %v", err)
	}
	if ids := keyIDs(t, k.SecretKeys(ctx, 0)); !slices.Equal(ids, []string{kekText(2)}) {
		t.Errorf("left: %v", ids)
	}
	for _, bad := range []string{"", "*", ">", "a.b", kekText(1) + "00", "ABCDEF0123456789abcdef0123456789"} {
		_, err := k.SecretKey(ctx, bad)
		for _, err := range []error{err, k.CreateSecretKey(ctx, bad, nil), k.EraseSecretKey(ctx, bad)} {
			if domain.CodeOf(err) != domain.CodeInvalidID {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	if err := k.Verify(ctx); err != nil {
		t.Error(err)
	}
}

// TestSecretKeysScan: more keys than one request gives, some erased between,
// come in order, from any sequence.
func TestSecretKeysScan(t *testing.T) {
	k, _ := openKeys(t, t.TempDir())
	ctx := t.Context()
	const n = 2*keyBatch + 17
	var want []string
	for i := range n {
		if err := k.CreateSecretKey(ctx, kekText(i), []byte{1}); err != nil {
			t.Fatal(err)
		}
		if i%3 != 0 {
			want = append(want, kekText(i))
		}
	}
	for i := 0; i < n; i += 3 {
		if err := k.EraseSecretKey(ctx, kekText(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.CreateOrgKey(ctx, string(sampleOrg), "k1", []byte{2}); err != nil {
		t.Fatal(err)
	}
	if got := keyIDs(t, k.SecretKeys(ctx, 0)); !slices.Equal(got, want) {
		t.Errorf("%d keys instead of %d", len(got), len(want))
	}
	if got := keyIDs(t, k.SecretKeys(ctx, n-4)); !slices.Equal(got, want[len(want)-3:]) {
		t.Errorf("from the end: %v", got)
	}
	if got := keyIDs(t, k.SecretKeys(ctx, n)); got != nil {
		t.Errorf("beyond the end: %v", got)
	}
	for first, err := range k.SecretKeys(ctx, 0) {
		if err != nil || first.ID != want[0] {
			t.Errorf("%+v, %v", first, err)
		}
		break // which must leave nothing behind: see TestMain
	}
}

func TestOrgKeys(t *testing.T) {
	k, _ := openKeys(t, t.TempDir())
	ctx := t.Context()
	create := func(org domain.OrgID, id string) error { return k.CreateOrgKey(ctx, string(org), id, []byte(id)) }
	if err := errors.Join(create(sampleOrg, "k1"), create(otherOrg, "k1"), create(sampleOrg, "k2")); err != nil {
		t.Fatal(err)
	}
	if err := k.CreateOrgKey(ctx, string(sampleOrg), "k1", []byte("rival")); !errors.Is(err, domain.ErrKeyExists) {
		t.Errorf("a taken id: %v", err)
	}
	if ids := keyIDs(t, k.OrgKeys(ctx, string(sampleOrg))); !slices.Equal(ids, []string{"k1", "k2"}) {
		t.Errorf("of one org: %v", ids)
	}
	var orgs []string
	for key, err := range k.AllOrgKeys(ctx) {
		if err != nil || string(key.Record) != key.ID {
			t.Errorf("%+v, %v", key, err)
		}
		orgs = append(orgs, key.Org)
	}
	if !slices.Equal(orgs, []string{string(sampleOrg), string(otherOrg), string(sampleOrg)}) {
		t.Errorf("of all orgs: %v", orgs)
	}
	for _, bad := range []string{"", "*", ">", "a.b"} {
		for _, err := range k.OrgKeys(ctx, bad) {
			if domain.CodeOf(err) != domain.CodeInvalidID {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if err := k.CreateOrgKey(ctx, string(sampleOrg), bad, nil); domain.CodeOf(err) != domain.CodeInvalidID {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestOrgKeysAmongMany: where an organization's keys end is not found out by
// looking through all that follow.
func TestOrgKeysAmongMany(t *testing.T) {
	k, _ := openKeys(t, t.TempDir())
	ctx := t.Context()
	for i := range byte(12) {
		if err := k.CreateOrgKey(ctx, string(sampleOrg), fmt.Sprintf("k%d", i), []byte{i}); err != nil {
			t.Fatal(err)
		}
		if err := k.CreateSecretKey(ctx, kek(i).String(), []byte{i}); err != nil {
			t.Fatal(err)
		}
	}
	lookups := 0
	k.fault = func(op Op) (bool, error) {
		if op.Kind == OpLookUp {
			lookups++
		}
		return true, nil
	}
	if ids := keyIDs(t, k.OrgKeys(ctx, string(sampleOrg))); len(ids) != 12 || lookups > 12 {
		t.Errorf("%d keys after %d questions", len(ids), lookups)
	}
	lookups = 0
	if ids := keyIDs(t, k.OrgKeys(ctx, string(otherOrg))); len(ids) != 0 || lookups > 0 {
		t.Errorf("%d keys of nobody after %d questions", len(ids), lookups)
	}
}

// TestKeyOneWinner: two nodes that make an organization's first key agree on
// one.
func TestKeyOneWinner(t *testing.T) {
	k, _ := openKeys(t, t.TempDir())
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = k.CreateOrgKey(t.Context(), string(sampleOrg), "k1", []byte{byte(i)}) })
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won < 0:
			won = i
		case !errors.Is(err, domain.ErrKeyExists):
			t.Errorf("%d: %v", i, err)
		}
	}
	for key, err := range k.OrgKeys(t.Context(), string(sampleOrg)) {
		if err != nil || won < 0 || !bytes.Equal(key.Record, []byte{byte(won)}) {
			t.Errorf("winner %d, stored %v, %v", won, key.Record, err)
		}
	}
}

// TestKeyLostAnswer: a key whose acknowledgement was lost is settled as an
// event's is.
func TestKeyLostAnswer(t *testing.T) {
	k, _ := openKeys(t, t.TempDir())
	for i, stored := range []bool{true, false} {
		k.fault = func(op Op) (bool, error) {
			if op.Kind == OpAppend && op.Attempt == 1 {
				return stored, errLost
			}
			return true, nil
		}
		if err := k.CreateSecretKey(t.Context(), kekText(i), []byte("key")); err != nil {
			t.Errorf("stored %v: %v", stored, err)
		}
	}
	k.fault = func(op Op) (bool, error) { return false, errLost }
	if err := k.CreateSecretKey(t.Context(), kekText(9), []byte("key")); !errors.Is(err, ErrUncertain) {
		t.Errorf("settling fails: %v", err)
	}
	k.fault = nil
	if ids := keyIDs(t, k.SecretKeys(t.Context(), 0)); len(ids) != 2 {
		t.Errorf("stored: %v", ids)
	}
}

// TestEraseLeavesNothing holds invariant 7, for a key among others, for the
// newest one, and for one that was replaced.
func TestEraseLeavesNothing(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	k, stop := openKeys(t, dir)
	boxes := make([][]byte, 5)
	for i := range boxes {
		boxes[i] = make([]byte, 60)
		if _, err := rand.Read(boxes[i]); err != nil {
			t.Fatal(err)
		}
		record := append([]byte(`{"box":"`+base64.StdEncoding.EncodeToString(boxes[i])+`","raw":"`), boxes[i]...)
		if err := k.CreateSecretKey(ctx, kekText(i), record); err != nil {
			t.Fatal(err)
		}
	}
	// A second message of the same key, as replacing a record leaves it for a
	// moment.
	second := append([]byte("second"), boxes[1]...)
	if _, err := k.js.Publish(ctx, secretKeyPrefix+kekText(1), second, jetstream.WithExpectLastSequencePerSubject(2)); err != nil {
		t.Fatal(err)
	}
	for i, box := range boxes {
		if n := occurrences(t, dir, box); n == 0 {
			t.Fatalf("box %d is not found before erasing: the search is wrong", i)
		}
	}
	for _, i := range []int{1, 4} {
		if err := k.EraseSecretKey(ctx, kekText(i)); err != nil {
			t.Fatal(err)
		}
		if n := occurrences(t, dir, boxes[i]); n != 0 {
			t.Errorf("box %d is left %d times", i, n)
		}
	}
	stop()
	for _, i := range []int{1, 4} {
		if n := occurrences(t, dir, boxes[i]); n != 0 {
			t.Errorf("after a shutdown box %d is left %d times", i, n)
		}
	}
	k, _ = openKeys(t, dir)
	if ids := keyIDs(t, k.SecretKeys(ctx, 0)); !slices.Equal(ids, []string{kekText(0), kekText(2), kekText(3)}) {
		t.Errorf("left: %v", ids)
	}
}

// occurrences counts a box and any eight bytes of it, also in base64 at every
// alignment, in all files below dir.
func occurrences(t *testing.T, dir string, box []byte) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		encoded := base64.StdEncoding.EncodeToString(box)
		for i := 0; i+8 <= len(box); i++ {
			n += bytes.Count(data, box[i:i+8])
		}
		for i := 0; i+12 <= len(encoded); i++ {
			n += bytes.Count(data, []byte(encoded[i:i+12]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
