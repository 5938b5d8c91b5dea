package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

var errSilent = errors.New("no answer")

// memLog is an access log in memory whose faults tests choose.
type memLog struct {
	mu       sync.Mutex
	messages []domain.AccessMessage // all that ever were
	first    uint64
	created  time.Time
	silent   bool
	epoch    int
	moved    chan struct{}
	tree     proof.Tree
}

func newLog() *memLog {
	return &memLog{
		first: 1, created: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.UTC),
		moved: make(chan struct{}), tree: proof.Tree{Tiles: memoryTiles{}},
	}
}

func (l *memLog) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.moved)
	l.moved = make(chan struct{})
}

// append makes one message of records.
func (l *memLog) append(records ...domain.Access) {
	raw := encode(records)
	l.change(func() {
		l.messages = append(l.messages, domain.AccessMessage{Position: uint64(len(l.messages)) + 1, Raw: raw, Records: records})
		if err := l.tree.Append([]hash{proof.LeafHash(raw)}); err != nil {
			panic(err)
		}
	})
}

// lose drops the newest messages behind a position.
func (l *memLog) lose(after int) {
	l.change(func() {
		kept := slices.Clone(l.messages[:after])
		l.messages, l.epoch, l.tree = kept, l.epoch+1, proof.Tree{Tiles: memoryTiles{}}
		for _, m := range kept {
			if err := l.tree.Append([]hash{proof.LeafHash(m.Raw)}); err != nil {
				panic(err)
			}
		}
	})
}

// expire lets go what is before a position.
func (l *memLog) expire(first uint64) { l.change(func() { l.first = max(l.first, first) }) }

func (l *memLog) head() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.messages))
}

func (l *memLog) after(position uint64) ([]domain.AccessMessage, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := min(max(position, l.first-1), uint64(len(l.messages)))
	return slices.Clone(l.messages[from:]), l.moved
}

func (l *memLog) Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(domain.AccessMessage{}, err)
			return
		}
		messages, _ := l.after(after)
		for _, m := range messages {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func (l *memLog) Follow(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		for ctx.Err() == nil {
			messages, moved := l.after(after)
			for _, m := range messages {
				if !yield(m, nil) {
					return
				}
				after = m.Position
			}
			select {
			case <-moved:
			case <-ctx.Done():
			}
		}
	}
}

func (l *memLog) Status(ctx context.Context) (domain.LogStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent {
		return domain.LogStatus{}, errSilent
	}
	return domain.LogStatus{Created: l.created, First: l.first, Head: uint64(len(l.messages))}, ctx.Err()
}

// resume is Config.Resume over the log's own tree.
func (l *memLog) resume(_ context.Context, _ uint64, into proof.Tiles) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows, err := l.tree.Frontier(l.tree.Size)
	if err != nil {
		return 0, err
	}
	_, _, err = proof.Restore(into, l.tree.Size, rows)
	return l.tree.Size, err
}

func encode(records []domain.Access) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, r := range records {
		if err := e.Encode(r); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func decode(raw []byte) ([]domain.Access, error) {
	var records []domain.Access
	for line := range bytes.Lines(raw) {
		var a domain.Access
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, err
		}
		records = append(records, a)
	}
	return records, nil
}

func decodeAt(raw []byte, index int) (domain.Access, error) {
	for line := range bytes.Lines(raw) {
		if index == 0 {
			var a domain.Access
			return a, json.Unmarshal(line, &a)
		}
		index--
	}
	return domain.Access{}, errors.New("no such record")
}

const testBoot = "boot-1"

func testConfig(path string, l *memLog) Config {
	return Config{
		Path: path, BootID: testBoot, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Decode: decode, DecodeAt: decodeAt, Resume: l.resume, RunRecords: 50, Heartbeat: 10 * time.Millisecond,
	}
}

func mustOpen(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// caughtUp gives a store of what the log has; in its cleanup it is checked.
func caughtUp(t *testing.T, l *memLog, change func(*Config)) *Store {
	t.Helper()
	c := testConfig(filepath.Join(t.TempDir(), "access.db"), l)
	if change != nil {
		change(&c)
	}
	s := mustOpen(t, c)
	t.Cleanup(func() { s.Close() })
	if err := s.CatchUp(context.Background(), l); err != nil {
		t.Fatal(err)
	}
	return s
}

func mustCheck(t testing.TB, s *Store, l *memLog) {
	t.Helper()
	if err := Check(context.Background(), s, l); err != nil {
		t.Error(err)
	}
}
