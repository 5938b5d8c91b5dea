package natsfile

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestCloseDuringWait: a caller who still waits when the store is closed gets an
// answer, and the note of the orderly end stands.
func TestCloseDuringWait(t *testing.T) {
	dir := t.TempDir()
	hold := make(chan struct{})
	reached := make(chan struct{})
	held := false
	n := start(t, dir, 0, Options{Sync: func(f *os.File) error {
		if filepath.Ext(f.Name()) == blockSuffix && hold != nil && held {
			held = false
			close(reached)
			<-hold
		}
		return f.Sync()
	}})
	n.append(10)
	second := n.publish(10)
	held = true
	ended := make(chan error, 1)
	go func() { ended <- n.stream.Wait(context.Background(), second) }()
	<-reached
	n.stopServer()
	closed := make(chan error, 1)
	go func() { closed <- n.store.Close() }()
	close(hold)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Logf("the wait ended with %v", err)
	}
	_, running, err := readMark(dir)
	if err != nil || running {
		t.Errorf("after an orderly end: running %v, %v", running, err)
	}
}

// TestCloseDuringPoll: a caller who waits for what the server never wrote.
func TestCloseDuringPoll(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, 0, Options{})
	n.append(10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.stream.Wait(ctx, 99) }()
	for {
		n.stream.mu.Lock()
		busy := n.stream.busy
		n.stream.mu.Unlock()
		if busy != nil {
			break
		}
	}
	n.stopServer()
	if err := n.store.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	t.Logf("the wait ended with %v", <-ended)
	_, running, err := readMark(dir)
	if err != nil || running {
		m, _, _ := readMark(dir)
		t.Errorf("after an orderly end: running %v, %v: %+v", running, err, m)
	}
}
