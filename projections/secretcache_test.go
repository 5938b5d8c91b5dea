package projections

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// TestSecretsInMemory: a secret that was read is kept, changes with its events,
// and is nobody's to change. Check compares what is kept when the test ends.
func TestSecretsInMemory(t *testing.T) {
	w, ref := plain()
	s := openStore(t, w.log, nil)
	stop := start(t, s, w.log)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	read := func() domain.Secret {
		t.Helper()
		got, err := s.Secret(ref)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, _ := s.secrets.get(ref); ok != got.Exists {
			t.Errorf("kept: %v, exists: %v", ok, got.Exists)
		}
		return got
	}
	first := read()
	for _, f := range first.Fields {
		if f.Value == nil {
			t.Errorf("field %s has no value", f.Key)
		}
	}
	again := read()
	if !reflect.DeepEqual(first, again) {
		t.Error("another secret from memory")
	}
	again.Tags[0], again.KekIDs[0], again.Fields[0].Value = "x", domain.KekID{}, nil
	if !reflect.DeepEqual(first, read()) {
		t.Error("a reader changed what is kept")
	}
	w.change(ref, extra(w))
	waitFor(t, s, w.log.head())
	if got := read(); got.Head != w.log.head() || reflect.DeepEqual(first.Fields, got.Fields) {
		t.Errorf("after a change: head %d of %d", got.Head, w.log.head())
	}
	w.change(ref, domain.DeleteSecret{})
	waitFor(t, s, w.log.head())
	if got := read(); got.Exists {
		t.Error("a deleted secret exists")
	}
	w.change(ref, domain.CreateSecret{Name: "again", Category: "c", Fields: []domain.Field{w.sealed("plain")}})
	waitFor(t, s, w.log.head())
	if got := read(); got.Name != "again" {
		t.Errorf("made again it is %q", got.Name)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := s.discard(); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := s.secrets.get(ref); ok {
		t.Error("kept after the file was discarded")
	}
	if _, err := s.Secret(ref); domain.CodeOf(err) != domain.CodeUnavailable {
		t.Errorf("a store that has not caught up answered: %v", err)
	}
	start(t, s, w.log)
	eventually(t, "ready again", func() bool { return s.Ready() == nil })
}

// TestSecretCacheIsBounded: the bytes of both generations stay below the bound,
// what is asked for stays, and what was read before a change is not kept after.
func TestSecretCacheIsBounded(t *testing.T) {
	one := domain.Secret{Ref: domain.SecretRef{ID: "s00000"}, Exists: true, Name: "n"}
	c := secretCache{capacity: 20 * sizeOfSecret(&one)}
	ref := func(n int) domain.SecretRef { return domain.SecretRef{ID: domain.SecretID(fmt.Sprintf("s%05d", n))} }
	for n := range 1000 {
		secret := one
		secret.Ref = ref(n)
		c.put(secret, 0)
		if _, ok, _ := c.get(ref(0)); !ok {
			t.Fatalf("%d: what is asked for all the time is gone", n)
		}
		total := 0
		for _, generation := range []map[domain.SecretRef]*domain.Secret{c.young, c.old} {
			for _, kept := range generation {
				total += sizeOfSecret(kept)
			}
		}
		if total > c.capacity {
			t.Fatalf("%d bytes of %d", total, c.capacity)
		}
	}
	_, _, before := c.get(ref(0))
	c.forget([]domain.Recorded{{Stream: domain.SecretStream{Ref: ref(0)}}})
	c.put(one, before)
	if _, ok, _ := c.get(ref(0)); ok {
		t.Error("what was read before a change is kept")
	}
	large := one
	large.Name = string(make([]byte, c.capacity))
	_, _, now := c.get(ref(0))
	if c.put(large, now); c.bytes > c.capacity {
		t.Error("what is larger than all of it is kept")
	}
}

// TestSecretsInMemoryAreNotOld: once a position is applied, no reader finds an
// older state, however reads and events interleave.
func TestSecretsInMemoryAreNotOld(t *testing.T) {
	w, ref := plain()
	s := openStore(t, w.log, nil)
	start(t, s, w.log)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				applied := s.Position()
				got, err := s.Secret(ref)
				if err != nil || got.Head < applied {
					t.Errorf("head %d at position %d: %v", got.Head, applied, err)
					return
				}
			}
		})
	}
	for range 300 {
		w.change(ref, extra(w))
		waitFor(t, s, w.log.head())
	}
	close(done)
	readers.Wait()
}
