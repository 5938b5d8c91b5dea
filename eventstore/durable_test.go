package eventstore

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// TestFailedSyncIsUncertain holds invariant 3: an event that may not be on the
// disk is not called stored, and neither is a later one, until the process
// starts again. What was acknowledged is there then.
func TestFailedSyncIsUncertain(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("the disk is broken")
	var failing atomic.Bool
	e, err := StartEmbeddedWith(t.Context(), dir, EmbeddedOptions{Logger: logger(t), Sync: func(f *os.File) error {
		if failing.Load() {
			return broken
		}
		return f.Sync()
	}})
	noError(t, err)
	nc, err := e.Connect(t.Context())
	noError(t, err)
	l := openLog(t, nc)
	mustAppend(t, l, secretStream("s"), 0, fieldSet(1, 1))
	failing.Store(true)
	if _, err := l.Append(t.Context(), secretStream("s"), 1, fieldSet(2, 2)); !errors.Is(err, ErrUncertain) || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	failing.Store(false)
	if _, err := l.Append(t.Context(), secretStream("t"), 0, fieldSet(3, 1)); !errors.Is(err, ErrUnavailable) || !errors.Is(l.Fault(), broken) {
		t.Errorf("after the disk lost something: %v, fault %v", err, l.Fault())
	}
	if s, err := l.Status(t.Context()); err != nil || s.Stored != 2 {
		t.Errorf("a log that had a fault stores more: %+v, %v", s, err)
	}
	nc.Close()
	if err := e.Shutdown(); !errors.Is(err, broken) {
		t.Errorf("an orderly end: %v", err)
	}

	_, nc = startEmbedded(t, dir)
	l = openLog(t, nc)
	if got, err := readUntil(t, l, false, 1); err != nil || len(got) != 1 {
		t.Errorf("%d events, %v", len(got), err)
	}
	if l.Fault() != nil {
		t.Error(l.Fault())
	}
	mustAppend(t, l, secretStream("u"), 0, fieldSet(4, 1))
}

// TestStrangeRecordStopsAppends: an append is not acknowledged when the file
// holds anything but its record next.
func TestStrangeRecordStopsAppends(t *testing.T) {
	e, err := StartEmbedded(t.Context(), t.TempDir(), logger(t))
	noError(t, err)
	nc, err := e.Connect(t.Context())
	noError(t, err)
	l := openLog(t, nc)
	mustAppend(t, l, secretStream("s"), 0, fieldSet(1, 1))
	for _, path := range logBlocks(t, e.dir, EventsStream) {
		info, err := os.Stat(path)
		noError(t, err)
		noError(t, os.Truncate(path, info.Size()+8192)) // zeros
	}
	if _, err := l.Append(t.Context(), secretStream("s"), 1, fieldSet(2, 2)); !errors.Is(err, ErrUncertain) {
		t.Errorf("got %v", err)
	}
	if l.Fault() == nil {
		t.Error("no fault is kept")
	}
	nc.Close()
	if err := e.Shutdown(); err == nil {
		t.Error("an orderly end")
	}
	// The zeros are cut off: nobody was told of anything behind position 1.
	_, nc = startEmbedded(t, e.dir)
	if status, err := openLog(t, nc).Status(t.Context()); err != nil || status.Head < 1 {
		t.Errorf("%+v, %v", status, err)
	}
}

// logBlocks lists the files of a stream's messages.
func logBlocks(t *testing.T, dir, stream string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	return paths
}

// TestCompressedStreamIsRefused: the embedded log's files must be readable.
func TestCompressedStreamIsRefused(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	info, err := l.info(t.Context())
	noError(t, err)
	config := info.Config
	config.Compression = 1
	_, err = l.js.UpdateStream(t.Context(), config)
	noError(t, err)
	checkSetting(t, l.Verify(t.Context()), EventsStream, "compression")
}
