package eventstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// disk is what survives a power loss: each file as it was when it was synced.
type disk struct {
	mu    sync.Mutex
	files map[string][]byte
	err   error
	syncs int
}

// watch puts a disk under a stream's syncs.
func watch(t *testing.T, s *blockSync) *disk {
	t.Helper()
	d := &disk{files: map[string][]byte{}}
	s.fsync = func(f *os.File) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.syncs++
		if d.err != nil {
			return d.err
		}
		content, err := os.ReadFile(f.Name())
		if err == nil { // else a directory
			d.files[f.Name()] = content
		}
		return f.Sync()
	}
	return d
}

// holds says whether a message's record survives.
func (d *disk) holds(raw []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, content := range d.files {
		if bytes.Contains(content, raw) {
			return true
		}
	}
	return false
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// TestAcknowledgedIsOnDisk holds invariant 3 for the embedded server: whoever
// appends, and however many at once, over the borders of blocks too, finds its
// event on the disk when it is told so, and one fsync serves many.
func TestAcknowledgedIsOnDisk(t *testing.T) {
	dir := t.TempDir()
	_, nc := startEmbedded(t, dir)
	l := openLog(t, nc)
	d := watch(t, l.sync)
	const callers, each = 16, 60 // some 20 MB: a block has 8
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			stream, after := secretStream(domain.SecretID(rune('a'+i))), uint64(0)
			for n := range uint64(each) {
				p := fieldSet(uint64(i)<<32|n, n+1)
				p.Event = domain.FieldSet{Field: sealed(p.ID, "host", strings.Repeat("x", 20<<10))}
				r, err := l.Append(context.Background(), stream, after, p)
				if err != nil {
					t.Error(err)
					return
				}
				if !d.holds(r.Raw) {
					t.Errorf("position %d was acknowledged and is not on the disk", r.Position)
					return
				}
				after = r.Position
			}
		})
	}
	all.Wait()
	if files, err := BlockFiles(dir, EventsStream); err != nil || len(files) < 2 {
		t.Errorf("there was no border of a block: %v %v", files, err)
	}
	if d.syncs >= callers*each {
		t.Errorf("%d syncs for %d events", d.syncs, callers*each)
	}
}

// TestFailedSyncIsUncertain holds invariant 3: an event that may not be on the
// disk is not called stored, and neither is a later one.
func TestFailedSyncIsUncertain(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	d := watch(t, l.sync)
	mustAppend(t, l, secretStream("s"), 0, fieldSet(1, 1))
	broken := errors.New("broken")
	d.fail(broken)
	if _, err := l.Append(t.Context(), secretStream("s"), 1, fieldSet(2, 2)); !errors.Is(err, ErrUncertain) || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	d.fail(nil)
	if _, err := l.Append(t.Context(), secretStream("t"), 0, fieldSet(3, 1)); !errors.Is(err, ErrUncertain) {
		t.Errorf("after the kernel said that it lost something: %v", err)
	}
}

// TestUnknownLayoutIsUncertain: a server that keeps messages elsewhere than it
// should makes appends fail.
func TestUnknownLayoutIsUncertain(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	l.sync.stream = AccessStream + "_ELSEWHERE"
	if _, err := l.Append(t.Context(), secretStream("s"), 0, fieldSet(1, 1)); !errors.Is(err, ErrUncertain) {
		t.Errorf("got %v", err)
	}
}

// TestStateOfAnotherBoot: what the server wrote down without syncing is not
// believed once the machine may have gone down under it.
func TestStateOfAnotherBoot(t *testing.T) {
	dir := t.TempDir()
	e, nc := startEmbedded(t, dir)
	appendMany(t, openLog(t, nc), secretStream("s"), 0, 1, 20)
	stopEmbedded(t, e, nc)
	state := filepath.Join(messagesDir(dir, EventsStream), "index.db")
	// In this order: the second removes what the first looks for.
	for _, boot := range []string{"", "another"} {
		kept := boot == ""
		if _, err := os.Stat(state); err != nil {
			t.Fatal(err)
		}
		if boot != "" {
			if err := os.WriteFile(filepath.Join(dir, runningFile), []byte(boot), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d := &Embedded{dir: dir}
		if err := d.distrustState(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(state); (err == nil) != kept {
			t.Errorf("boot %q: %v", boot, err)
		}
		if err := d.trustState(); err != nil {
			t.Fatal(err)
		}
	}
	// A start that comes to nothing does not vouch for what a crash left.
	marker := filepath.Join(dir, runningFile)
	if err := os.WriteFile(marker, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartEmbedded(ended, dir, logger(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	if text, err := os.ReadFile(marker); err != nil || string(text) != "another" {
		t.Errorf("the marker says %q, %v", text, err)
	}
	_, nc = startEmbedded(t, dir)
	if status, err := openLog(t, nc).Status(t.Context()); err != nil || status.Head != 20 {
		t.Errorf("%+v, %v", status, err)
	}
}

// blockOf writes records of sequences as the server does, as far as a sync
// looks at them.
func blockOf(t *testing.T, dir string, number int, sequences ...uint64) string {
	t.Helper()
	var content []byte
	for _, n := range sequences {
		record := make([]byte, BlockRecordEmpty)
		binary.LittleEndian.PutUint32(record, BlockRecordEmpty)
		binary.LittleEndian.PutUint64(record[4:], n)
		content = append(content, record...)
	}
	messages := messagesDir(dir, "S")
	if err := os.MkdirAll(messages, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(messages, strconv.Itoa(number)+BlockSuffix)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAbandonedSyncSkipsNoBlock: a sync that went over into the next block and
// was given up does not make the next one forget the block before, nor the name
// of a new one.
func TestAbandonedSyncSkipsNoBlock(t *testing.T) {
	dir := t.TempDir()
	first := blockOf(t, dir, 1, 1)
	s := newBlockSync(dir, "S")
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	blockOf(t, dir, 1, 1, 2)
	second := blockOf(t, dir, 2, 3)
	var synced []string
	s.fsync = func(f *os.File) error {
		synced = append(synced, f.Name())
		return nil
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.wait(ended, 4); !errors.Is(err, context.Canceled) || len(synced) > 0 {
		t.Fatalf("given up: %v, synced %q", err, synced)
	}
	if err := s.wait(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if want := []string{first, second, messagesDir(dir, "S")}; !slices.Equal(synced, want) {
		t.Errorf("synced %q, want %q", synced, want)
	}
	if err := s.wait(t.Context(), 2); err != nil || len(synced) != 3 {
		t.Errorf("what is on disk was synced again: %q, %v", synced, err)
	}
	// Written anew, as by an erasure: the name is synced with what is appended.
	anew := blockOf(t, dir, 9, 3, 4)
	if err := os.Rename(anew, second); err != nil {
		t.Fatal(err)
	}
	synced = nil
	if err := s.wait(t.Context(), 4); err != nil || !slices.Equal(synced, []string{second, messagesDir(dir, "S")}) {
		t.Errorf("synced %q, %v", synced, err)
	}
	s.forget()
}
