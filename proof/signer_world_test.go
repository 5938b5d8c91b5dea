package proof_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/proof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errConflict = errors.New("another note came first")
	errFault    = errors.New("injected")
)

// noteStore keeps notes as the contract says, with faults.
type noteStore struct {
	mu    sync.Mutex
	notes map[string][][]byte
	// fault, if set, says of an Add whether it is applied, and its error.
	fault func(log string) (apply bool, err error)
}

func (s *noteStore) Latest(_ context.Context, log string) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.notes[log])
	if n == 0 {
		return nil, 0, nil
	}
	return s.notes[log][n-1], uint64(n), nil
}

func (s *noteStore) Add(_ context.Context, log string, revision uint64, signed []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	apply, err := true, error(nil)
	if s.fault != nil {
		apply, err = s.fault(log)
	}
	if uint64(len(s.notes[log])) != revision {
		return 0, errConflict
	}
	if apply {
		s.notes[log] = append(s.notes[log], append([]byte(nil), signed...))
	}
	return revision + 1, err
}

func (s *noteStore) all(log string) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.notes[log]...)
}

func (s *noteStore) drop(log string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes[log] = s.notes[log][:len(s.notes[log])-n]
}

// treeLog is a log that a test lets grow.
type treeLog struct {
	mu   sync.Mutex
	tree *proof.Tree
	salt byte // logs of another salt have other leaves
}

func newTreeLog(salt byte) *treeLog { return &treeLog{tree: &proof.Tree{Tiles: tileMap{}}, salt: salt} }

func (l *treeLog) add(t testing.TB, n int) *treeLog {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		if err := l.tree.Append([]hash{proof.LeafHash(append(leaf(l.tree.Size), l.salt))}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// view is a read view: what the signer gets can't grow under its hands.
func (l *treeLog) view(f func(*proof.Tree) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	tree := *l.tree
	return f(&tree)
}

func (l *treeLog) root(t testing.TB, size uint64) hash {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	root, err := l.tree.Root(size)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// newSigner makes a signer of the events log.
func newSigner(t testing.TB, store *noteStore, l *treeLog, change ...func(*proof.SignerConfig)) *proof.Signer {
	t.Helper()
	cfg := proof.SignerConfig{
		Store: store, Logs: []proof.Log{{Name: proof.LogEvents, View: l.view}}, Organization: testOrg, Key: signingKey(t, 1),
		Now: func() time.Time { return testTime }, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := proof.NewSigner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newNoteStore() *noteStore { return &noteStore{notes: map[string][][]byte{}} }

// checkChain opens all notes and checks that sizes and times never go back
// and that every root is that of the log.
func checkChain(t testing.TB, store *noteStore, l *treeLog) []proof.SignedCheckpoint {
	t.Helper()
	var chain []proof.SignedCheckpoint
	for i, raw := range store.all(proof.LogEvents) {
		c, err := logKey(t, 1, testOrigin).Open(raw)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && (c.Size < chain[i-1].Size || c.Time.Before(chain[i-1].Time)) {
			t.Fatalf("checkpoint %d goes back to size %d, %s", i, c.Size, c.Time)
		}
		if c.Root != l.root(t, c.Size) {
			t.Fatalf("checkpoint %d is of another log at size %d", i, c.Size)
		}
		chain = append(chain, c)
	}
	return chain
}
