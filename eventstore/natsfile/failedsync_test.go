package natsfile

import (
	"errors"
	"testing"
)

// TestFaultOfTheWholeDisk holds invariant 3 where every fsync fails, the note's
// too: the next process is told all the same.
func TestFaultOfTheWholeDisk(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	n := start(t, dir, 0, Options{Sync: d.sync})
	n.append(100)
	d.fail(true)
	if err := n.stream.Wait(t.Context(), n.publish(100)); !errors.Is(err, errDisk) {
		t.Fatalf("got %v", err)
	}
	// Here the process is killed.
	last, running, err := readMark(dir)
	if err != nil || !running {
		t.Fatal(running, err)
	}
	if durable, ok := last.faulted[stream]; !ok || durable != 1 {
		t.Errorf("the mark does not say that the stream had a fault: %+v", last)
	}
}

// TestFailedSyncAtTheEnds holds invariant 3 where the fsync that fails is the
// one of the start or of the end: the next start writes the blocks anew.
func TestFailedSyncAtTheEnds(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, d *disk, n *node){
		"start": func(t *testing.T, d *disk, n *node) {
			n.stopServer() // as if the process was killed
			store, err := Open(n.dir, Options{Streams: rules(false), Sync: d.sync})
			if err != nil {
				t.Fatal(err)
			}
			n.store = store
			n.startServer()
			d.fail(true)
			if _, err := store.Stream(t.Context(), stream, 2, 0); !errors.Is(err, errDisk) {
				t.Errorf("got %v", err)
			}
			d.fail(false)
			_ = n.close()
		},
		"end": func(t *testing.T, d *disk, n *node) {
			n.stopServer()
			d.fail(true)
			if err := n.store.Close(); !errors.Is(err, errDisk) {
				t.Errorf("got %v", err)
			}
			d.fail(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDisk(t, dir)
			n := start(t, dir, 0, Options{Sync: d.sync})
			n.append(100)
			n.publish(100) // and nobody made it durable
			fail(t, d, n)
			last, running, err := readMark(dir)
			if _, ok := last.faulted[stream]; err != nil || !running || !ok {
				t.Errorf("running %v, %+v, %v", running, last, err)
			}
			if last.faulted[stream] > 1 {
				t.Errorf("it is believed up to %d", last.faulted[stream])
			}
			n = start(t, dir, 0, Options{Sync: d.sync})
			if n.stream.Durable() != 2 {
				t.Errorf("durable to %d", n.stream.Durable())
			}
			if err := n.close(); err != nil {
				t.Error(err)
			}
		})
	}
}
