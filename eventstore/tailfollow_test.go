package eventstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// TestFaultIsToldOnce: a follower that meets a fault of the files, which stays,
// does not fill the process's log.
func TestFaultIsToldOnce(t *testing.T) {
	var failing atomic.Bool
	e, err := StartEmbeddedWith(t.Context(), t.TempDir(), EmbeddedOptions{Logger: logger(t), Sync: func(f *os.File) error {
		if failing.Load() {
			return errors.New("the disk is broken")
		}
		return f.Sync()
	}})
	noError(t, err)
	nc, err := e.Connect(t.Context())
	noError(t, err)
	var told bytes.Buffer
	l, err := OpenJetStream(t.Context(), nc, Options{Logger: slog.New(slog.NewTextHandler(&told, nil))})
	noError(t, err)
	failing.Store(true)
	if _, err := l.Append(t.Context(), secretStream("s"), 0, fieldSet(1, 1)); !errors.Is(err, ErrUncertain) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // many of its tries
	defer cancel()
	for r, err := range l.Follow(ctx, 0) {
		t.Errorf("%d, %v", r.Position, err)
	}
	if n := bytes.Count(told.Bytes(), []byte("following the log goes on")); n != 1 {
		t.Errorf("told %d times", n)
	}
	nc.Close()
	_ = e.Shutdown()
}
