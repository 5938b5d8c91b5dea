package slotfile

import (
	"sync/atomic"
	"testing"
)

// Nobody writes while the files are closed: requests that outlast the grace of a stop are
// cut off, and run on. An erasure whose zeros came after the last fsync would be answered
// by the next process, which finds a free slot and nothing to sync.
func TestNobodyWritesDuringClose(t *testing.T) {
	m := newMachine(t, 512, 1)
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	if err := m.create(); err != nil {
		t.Fatal(err)
	}
	var fsyncs, open atomic.Int32
	m.keys.held = func() {
		fsyncs.Add(1)
		if m.store.writing.TryLock() {
			m.store.writing.Unlock()
			open.Add(1)
		}
	}
	if err := m.store.Close(); err != nil || fsyncs.Load() == 0 || open.Load() > 0 {
		t.Errorf("%v: of %d fsyncs %d let others write", err, fsyncs.Load(), open.Load())
	}
}
