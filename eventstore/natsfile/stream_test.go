package natsfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// TestVersion holds invariant 6. It fails when go.mod raises nats-server alone.
func TestVersion(t *testing.T) {
	if err := CheckVersion(server.VERSION); err != nil {
		t.Error(err)
	}
	if err := CheckVersion("9.9.9"); err == nil || !strings.Contains(err.Error(), "go test ./eventstore/natsfile") {
		t.Errorf("another version: %v", err)
	}
}

// TestOneSyncForMany: callers who wait at the same time share an fsync.
func TestOneSyncForMany(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, dir)
	n := start(t, dir, 0, Options{Sync: d.sync})
	before := d.syncs
	const callers, each = 16, 20
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				n.append(100)
			}
		})
	}
	all.Wait()
	if made := d.syncs - before; made == 0 || made >= callers*each {
		t.Errorf("%d fsyncs for %d messages", made, callers*each)
	}
	if n.stream.Durable() != callers*each {
		t.Errorf("durable to %d", n.stream.Durable())
	}
}

// TestHeldSync: while an fsync is held, what it is for is not durable.
func TestHeldSync(t *testing.T) {
	dir := t.TempDir()
	var hold atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	n := start(t, dir, 0, Options{Sync: func(f *os.File) error {
		if hold.CompareAndSwap(true, false) {
			close(reached)
			<-release
		}
		return f.Sync()
	}})
	first := n.append(10)
	hold.Store(true)
	second := n.publish(10)
	ended := make(chan error, 1)
	go func() { ended <- n.stream.Wait(context.Background(), second) }()
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.stream.Wait(ctx, second); !errors.Is(err, context.Canceled) {
		t.Errorf("before its fsync ended: %v", err)
	}
	if n.stream.Durable() != first {
		t.Errorf("durable to %d", n.stream.Durable())
	}
	close(release)
	if err := <-ended; err != nil || n.stream.Durable() != second {
		t.Errorf("durable to %d, %v", n.stream.Durable(), err)
	}
}

// TestNotWritten: a position that the server has not written ends with the
// caller's time, and is no fault.
func TestNotWritten(t *testing.T) {
	n := start(t, t.TempDir(), 0, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := n.stream.Wait(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	n.append(10)
	if err := n.stream.Fault(); err != nil {
		t.Error(err)
	}
}

// TestStrangeRecords holds invariant 2: anything but the very next whole record
// is a fault that is kept, and makes nothing durable.
func TestStrangeRecords(t *testing.T) {
	for name, tc := range map[string]struct {
		expires bool
		record  func(t *testing.T) []byte
	}{
		"a far sequence":        {false, func(t *testing.T) []byte { return message(t, 1<<40) }},
		"a sequence left out":   {false, func(t *testing.T) []byte { return message(t, 4) }},
		"a sequence again":      {false, func(t *testing.T) []byte { return message(t, 2) }},
		"no sequence":           {false, func(t *testing.T) []byte { return message(t, 0) }},
		"an unknown flag":       {false, func(t *testing.T) []byte { return message(t, 3|1<<61) }},
		"an erased message":     {false, func(t *testing.T) []byte { return message(t, 3|isErased) }},
		"a tombstone":           {false, func(t *testing.T) []byte { return recordOf(t, 1, 2|isTombstone, "", 0) }},
		"no subject":            {false, func(t *testing.T) []byte { return recordOf(t, 1, 3, "", 100) }},
		"another block's":       {false, func(t *testing.T) []byte { return recordOf(t, 2, 3, "test.s", 100) }},
		"a changed byte":        {false, func(t *testing.T) []byte { m := message(t, 3); m[40] ^= 1; return m }},
		"zeros":                 {false, func(*testing.T) []byte { return make([]byte, 200) }},
		"a length beyond any":   {false, func(t *testing.T) []byte { return length(message(t, 3), recordLongest+1) }},
		"a length below any":    {false, func(t *testing.T) []byte { return length(message(t, 3), recordEmpty-1) }},
		"a far tombstone":       {true, func(t *testing.T) []byte { return recordOf(t, 1, 1<<40|isTombstone, "", 0) }},
		"a full tombstone":      {true, func(t *testing.T) []byte { return recordOf(t, 1, 2|isTombstone, "s", 5) }},
		"a gap within a block":  {true, func(t *testing.T) []byte { return message(t, 4) }},
		"an erased one, expiry": {true, func(t *testing.T) []byte { return message(t, 3|isErased) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := writeBlock(t, dir, 1, message(t, 1), message(t, 2))
			syncs := 0
			store, err := Open(dir, Options{Streams: rules(tc.expires), Sync: func(f *os.File) error {
				syncs++
				return f.Sync()
			}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := store.Stream(t.Context(), stream, 2, 0)
			if err != nil {
				t.Fatal(err)
			}
			extend(t, path, tc.record(t))
			before := syncs
			if err := s.Wait(t.Context(), 3); err == nil {
				t.Fatal("durable")
			}
			mark, _, err := readMark(dir)
			if err != nil || mark.faulted[stream] != 2 {
				t.Errorf("the mark: %+v, %v", mark, err)
			}
			// What is right afterwards does not end the fault.
			if err := os.WriteFile(path, bytes.Join([][]byte{message(t, 1), message(t, 2), message(t, 3)}, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Wait(t.Context(), 3); err == nil || s.Fault() == nil || s.Durable() != 2 {
				t.Errorf("durable to %d, %v", s.Durable(), err)
			}
			if err := s.Wait(t.Context(), 2); err != nil {
				t.Errorf("what was durable: %v", err)
			}
			if err := store.Close(); err == nil {
				t.Error("closed as if in order")
			}
			if syncs-before != 4 { // two marks, with their directory
				t.Errorf("%d fsyncs", syncs-before)
			}
		})
	}
}

func length(record []byte, n uint32) []byte {
	binary.LittleEndian.PutUint32(record, n)
	return record
}

// TestReplacedFile: a block that the server replaces, cuts or removes under the
// reader is a fault.
func TestReplacedFile(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"replaced": func(path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return writeFile(path, content, (*os.File).Sync)
		},
		"cut":     func(path string) error { return os.Truncate(path, 100) },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := writeBlock(t, dir, 1, message(t, 1), message(t, 2))
			store, err := Open(dir, Options{Streams: rules(false)})
			if err != nil {
				t.Fatal(err)
			}
			s, err := store.Stream(t.Context(), stream, 2, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			if err := s.Wait(t.Context(), 3); err == nil || s.Fault() == nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestLateRecord: bytes that become a record are waited for.
func TestLateRecord(t *testing.T) {
	dir := t.TempDir()
	path := writeBlock(t, dir, 1, message(t, 1))
	store, err := Open(dir, Options{Streams: rules(false)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Stream(t.Context(), stream, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	second := message(t, 2)
	extend(t, path, second[:60])
	ended := make(chan error, 1)
	go func() { ended <- s.Wait(context.Background(), 2) }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*pollInterval)
	defer cancel()
	if err := s.Wait(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("half a record: %v", err)
	}
	extend(t, path, second[60:])
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestHeadMustBeInTheFiles: a server that keeps its messages elsewhere is found
// before anything is appended.
func TestHeadMustBeInTheFiles(t *testing.T) {
	dir := t.TempDir()
	writeBlock(t, dir, 1, message(t, 1), message(t, 2))
	store, err := Open(dir, Options{Streams: rules(false)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Stream(t.Context(), stream, 3, 0); err == nil {
		t.Error("a head that is not there")
	}
	if _, err := store.Stream(t.Context(), "OTHER", 0, 0); err == nil {
		t.Error("a stream that nobody named")
	}
}

// writeBlock writes a block of the stream.
func writeBlock(t *testing.T, dir string, number uint32, records ...[]byte) string {
	t.Helper()
	b := block{filepath.Join(messagesDir(dir, stream), string(rune('0'+number))+blockSuffix), number}
	if err := os.MkdirAll(filepath.Dir(b.path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path, bytes.Join(records, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return b.path
}

func extend(t *testing.T, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
}
