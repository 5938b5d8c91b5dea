package slotfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func noContext() context.Context { return context.Background() }

func openTest(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStoreConforms(t *testing.T) {
	kmstest.TestKeyStore(t, func(t *testing.T) kms.KeyStore { return openTest(t, t.TempDir()) })
}

// Invariant 1.
func TestStoreIsDurable(t *testing.T) {
	kmstest.TestDurability(t, func(t *testing.T) kmstest.Held {
		m := newMachine(t, 512, 1)
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
		return kmstest.Held{Store: m.store, Hold: m.hold}
	})
}

// hold holds the fsyncs of both disks.
func (m *machine) hold() (<-chan struct{}, func()) {
	entered, released := make(chan struct{}, 1), make(chan struct{})
	for _, d := range []*disk{m.keys, m.orgs} {
		d.mu.Lock()
		d.held = func() {
			select {
			case entered <- struct{}{}:
			default:
			}
			<-released
		}
		d.mu.Unlock()
	}
	return entered, func() { close(released) }
}

// Invariant 1: those who come while an fsync is in flight share the next one.
func TestOneSyncForAllThatWait(t *testing.T) {
	m := newMachine(t, 512, 1)
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	entered, release := m.hold()
	before := m.keys.syncs
	create := func(i int) error { return m.store.CreateSecretKey(noContext(), fmt.Sprintf("%032x", i), record()) }
	const many = 50
	errs := make([]error, many)
	var writers sync.WaitGroup
	writers.Go(func() { errs[0] = create(0) })
	<-entered
	for i := 1; i < many; i++ {
		writers.Go(func() { errs[i] = create(i) })
	}
	for waiting := 0; waiting < many; { // until all have written
		m.store.writing.Lock()
		waiting = len(m.store.pending)
		m.store.writing.Unlock()
	}
	release()
	writers.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	// Of those that had written, some may not have joined the second round yet.
	if syncs := m.keys.syncs - before; syncs < 2 || syncs > many/2 {
		t.Errorf("%d fsyncs for %d keys", syncs, many)
	}
}

// Writers and readers of the same keys at the same time; for the race
// detector, too.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 30 {
				id, rec := fmt.Sprintf("%032x", w*1000+i), record()
				if err := s.CreateSecretKey(noContext(), id, rec); err != nil {
					t.Error(err)
				}
				if k, err := s.SecretKey(noContext(), id); err != nil || !slices.Equal(k.Record, rec) {
					t.Errorf("key %s: %v", id, err)
				}
				if i%2 == 0 {
					if err := s.EraseSecretKey(noContext(), id); err != nil {
						t.Error(err)
					}
				}
			}
		})
		all.Go(func() {
			for range 20 {
				for _, err := range s.SecretKeys(noContext(), 0) {
					if err != nil {
						t.Error(err)
					}
				}
				_, err := s.SecretKey(noContext(), fmt.Sprintf("%032x", w*1000))
				if err != nil && !errors.Is(err, kms.ErrKeyNotFound) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(s.Verify(noContext()), s.Close()); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, err := range openTest(t, dir).SecretKeys(noContext(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 8*15 {
		t.Errorf("%d keys after a restart", count)
	}
}

// Slots are used again, and files are of their owner alone.
func TestSlotsAreReused(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	for i := range 5000 / 250 {
		var batch sync.WaitGroup
		for j := range 250 {
			batch.Go(func() {
				id := fmt.Sprintf("%032x", i*250+j)
				if err := errors.Join(s.CreateSecretKey(noContext(), id, record()), s.EraseSecretKey(noContext(), id)); err != nil {
					t.Error(err)
				}
			})
		}
		batch.Wait()
	}
	for _, name := range []string{KeysFile, OrgKeysFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
		if name == KeysFile && info.Size() != (4096+headerSlots)*slotSize {
			t.Errorf("%s has %d bytes after 5,000 keys that are all erased", name, info.Size())
		}
	}
}

func TestIDsAreChecked(t *testing.T) {
	s := openTest(t, t.TempDir())
	for _, bad := range []string{"", "*", "a.b", "../x", fmt.Sprintf("%033x", 1), "ABCDEF0123456789abcdef0123456789"} {
		_, err := s.SecretKey(noContext(), bad)
		for _, err := range []error{err, s.CreateSecretKey(noContext(), bad, nil), s.EraseSecretKey(noContext(), bad)} {
			if domain.CodeOf(err) != domain.CodeInvalidID {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if len(bad) < 10 {
			if err := s.CreateOrgKey(noContext(), testOrg, bad, nil); domain.CodeOf(err) != domain.CodeInvalidID {
				t.Errorf("org key %q: %v", bad, err)
			}
			for _, err := range s.OrgKeys(noContext(), bad) {
				if domain.CodeOf(err) != domain.CodeInvalidID {
					t.Errorf("org %q: %v", bad, err)
				}
			}
		}
	}
	if err := s.CreateSecretKey(noContext(), fmt.Sprintf("%032x", 1), make([]byte, maxRecord+1)); err == nil {
		t.Error("a record that is too long was stored")
	}
}

// Read-only: nothing is made, changed or written.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing files: %v", err)
	}
	if missing, err := Missing(dir); err != nil || len(missing) != 2 {
		t.Errorf("missing: %v, %v", missing, err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("%032x", 1)
	if err := errors.Join(s.CreateSecretKey(noContext(), id, record()), s.CreateOrgKey(noContext(), testOrg, "k1", nil)); err != nil {
		t.Fatal(err)
	}
	read := func() (b []byte) {
		for _, name := range []string{KeysFile, OrgKeysFile} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, content...)
		}
		return b
	}
	before := read() // as after a crash
	r, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SecretKey(noContext(), id); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		r.CreateSecretKey(noContext(), fmt.Sprintf("%032x", 2), nil), r.EraseSecretKey(noContext(), id),
		r.CreateOrgKey(noContext(), testOrg, "k2", nil), r.EraseTorn(noContext()),
	} {
		if !errors.Is(err, errReadOnly) {
			t.Errorf("a write: %v", err)
		}
	}
	if err := r.Close(); err != nil || !slices.Equal(before, read()) {
		t.Errorf("changed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
