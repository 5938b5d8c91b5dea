package projections

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// tb is what testing.TB and rapid.TB share.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

type drawn struct{ t *rapid.T }

func (d drawn) below(n int) int { return rapid.IntRange(0, n-1).Draw(d.t, "n") }

const testBoot = "boot-1"

func testOptions(path string) Options {
	return Options{
		Path: path, BootID: testBoot, Logger: slog.New(slog.DiscardHandler),
		Now: time.Now, Heartbeat: 5 * time.Millisecond,
	}
}

func mustOpen(t tb, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	return s
}

// openStore opens a store whose cleanup checks it against the log.
func openStore(t testing.TB, log *sliceLog, change func(*Options)) *Store {
	t.Helper()
	o := testOptions(filepath.Join(t.TempDir(), "state.db"))
	if change != nil {
		change(&o)
	}
	s := mustOpen(t, o)
	t.Cleanup(func() {
		if err := Check(context.Background(), s, log); err != nil {
			t.Errorf("check: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// caughtUp is a store that has folded the whole log.
func caughtUp(t testing.TB, log *sliceLog) *Store {
	t.Helper()
	s := openStore(t, log, nil)
	if err := s.CatchUp(context.Background(), log); err != nil {
		t.Fatalf("catching up: %v", err)
	}
	return s
}

// start runs the store until the test ends, or stop is called, which gives
// what Run gave.
func start(t testing.TB, s *Store, log Source) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, log) }()
	ended, result := false, error(nil)
	stop = func() error {
		if !ended {
			cancel()
			ended, result = true, <-done
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func waitFor(t testing.TB, s *Store, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.WaitFor(ctx, position); err != nil {
		t.Fatalf("waiting for %d: %v", position, err)
	}
}

// eventually polls what nobody signals.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for range 30_000 {
		if holds() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// dump gives every row of every folded table.
func dump(t tb, s *Store) map[string]string {
	t.Helper()
	if err := s.flush(); err != nil {
		t.Fatalf("flushing: %v", err)
	}
	rows := map[string]string{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		for _, table := range folded() {
			if err := tx.Bucket([]byte(table.String())).ForEach(func(k, v []byte) error {
				rows[fmt.Sprintf("%s %q", table, k)] = string(v)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("dumping: %v", err)
	}
	return rows
}

func copyFile(t tb, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatalf("copying: %v", err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatalf("copying: %v", err)
	}
}

// plain is a world with one organization and a living secret with two fields.
func plain() (*world, domain.SecretRef) {
	w := newWorld(&counter{})
	ref := domain.SecretRef{Org: w.newOrg(), Scope: domain.Scope{Kind: domain.ScopeProject, ID: "p"}, ID: "s"}
	w.change(ref, domain.CreateSecret{
		Name: "a name", Category: "category", Tags: []string{"tag"},
		Fields: []domain.Field{w.sealed("plain"), w.envelope("secret")},
	})
	return w, ref
}

func (w *world) sealed(key domain.FieldKey) domain.Field {
	return domain.Field{Key: key, Value: domain.Sealed{KekID: w.kek(), EventID: w.ulid(w.now), Box: []byte(w.kek().String())}}
}

func (w *world) envelope(key domain.FieldKey) domain.Field {
	dek := domain.DekID(w.ulid(w.now))
	w.deks = append(w.deks, dek)
	return domain.Field{Key: key, DekID: dek, Value: domain.Envelope{Ciphertext: []byte(dek.String()), DataKey: "data key"}}
}
