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
