package slotfile

import (
	"bytes"
	"testing"
)

// Invariant 2: an erasure that a crash cut is not answered as done while bytes of the
// key are left in a torn slot, whatever the order in which the keyring asks.
func TestAnErasureIsNotAnsweredBesideTornSlots(t *testing.T) {
	cut := 0
	for seed := range uint64(200) {
		m := newMachine(t, 128, seed)
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
		if err := m.create(); err != nil {
			t.Fatal(err)
		}
		var id string
		var rec []byte
		for id, rec = range m.there {
		}
		m.power.mu.Lock()
		m.power.goes = m.power.steps + 1 // with the write of the zeros
		m.power.mu.Unlock()
		if err := m.erase(); err == nil {
			t.Fatal("the power went on")
		}
		m.crash()
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
		if len(m.store.Torn()) == 0 {
			continue
		}
		cut++
		if err := m.store.EraseSecretKey(noContext(), id); err == nil {
			for at := 0; at+8 <= len(rec); at++ {
				if bytes.Contains(m.keys.durable, rec[at:at+8]) {
					t.Fatalf("seed %d: the erasure was answered, and bytes of the key are in the file", seed)
				}
			}
		}
		if err := m.store.EraseTorn(noContext()); err != nil {
			t.Fatal(err)
		}
		if err := m.store.EraseSecretKey(noContext(), id); err != nil {
			t.Fatalf("after the torn slots were erased: %v", err)
		}
	}
	if cut == 0 {
		t.Fatal("no crash cut an erasure")
	}
}
