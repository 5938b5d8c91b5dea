package projections

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// TestFileIsTrusted holds invariant 5: which files are used again.
func TestFileIsTrusted(t *testing.T) {
	w := full(t)
	kill := func(*testing.T, string, *Store) {} // kill -9: the file stays as it is
	closed := func(t *testing.T, path string, s *Store) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		copyFile(t, s.o.Path, path)
	}
	for name, tt := range map[string]struct {
		end  func(t *testing.T, path string, s *Store)
		boot string
		kept bool
	}{
		"kill":                     {kill, testBoot, true},
		"kill, another boot":       {kill, "boot-2", false},
		"closed":                   {closed, testBoot, true},
		"closed, another boot":     {closed, "boot-2", true},
		"kill after a clean start": {killAfterCleanStart, "boot-2", false},
		"another schema": {func(t *testing.T, path string, s *Store) {
			overwrite(t, s, tableMeta, cachefile.KeySchema, []byte{schema + 1})
			copyFile(t, s.o.Path, path)
		}, testBoot, false},
		"no checkpoint that can be read": {func(t *testing.T, path string, s *Store) {
			overwrite(t, s, tableMeta, keyCheckpoint, []byte{1})
			copyFile(t, s.o.Path, path)
		}, testBoot, false},
		"a table is missing": {func(t *testing.T, path string, s *Store) {
			if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("tags")) }); err != nil {
				t.Fatal(err)
			}
			copyFile(t, s.o.Path, path)
		}, testBoot, false},
		"cut off": {func(t *testing.T, path string, _ *Store) { truncate(t, path, 3) }, testBoot, false},
		"a stub":  {func(t *testing.T, path string, _ *Store) { truncate(t, path, 1000) }, testBoot, false},
		"empty":   {func(t *testing.T, path string, _ *Store) { truncate(t, path, 1<<30) }, testBoot, false},
		"garbage": {func(t *testing.T, path string, _ *Store) { garble(t, path) }, testBoot, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(filepath.Join(t.TempDir(), "first.db"))
			s := mustOpen(t, o)
			defer s.Close()
			if err := s.CatchUp(context.Background(), w.log); err != nil {
				t.Fatal(err)
			}
			want := dump(t, s)
			path := filepath.Join(t.TempDir(), "second.db")
			copyFile(t, o.Path, path)
			tt.end(t, path, s)
			o.Path, o.BootID = path, tt.boot
			again := mustOpen(t, o)
			defer again.Close()
			if kept := again.Position() == w.log.head(); kept != tt.kept || !kept && again.Position() != 0 {
				t.Fatalf("position %d of %d", again.Position(), w.log.head())
			}
			if err := again.CatchUp(context.Background(), w.log); err != nil {
				t.Fatal(err)
			}
			check(t, again, w.log)
			if got := dump(t, again); len(got) != len(want) {
				t.Errorf("%d rows instead of %d", len(got), len(want))
			}
		})
	}
}

// killAfterCleanStart leaves a file that was closed cleanly once, opened
// again, and then not closed: the old mark must be gone.
func killAfterCleanStart(t *testing.T, path string, s *Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, s.o)
	t.Cleanup(func() { again.Close() })
	copyFile(t, s.o.Path, path)
}

func overwrite(t *testing.T, s *Store, table table, key string, value []byte) {
	t.Helper()
	if err := s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(table.String())).Put([]byte(key), value)
	}); err != nil {
		t.Fatal(err)
	}
}

// truncate leaves one part of so many of the file.
func truncate(t *testing.T, path string, part int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/part); err != nil {
		t.Fatal(err)
	}
}

// garble overwrites every page but the two with the file's metadata.
func garble(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * os.Getpagesize(); i < len(b); i++ {
		b[i] = 0xa5
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file of an unknown boot counts only if it was closed cleanly.
func TestUnknownBoot(t *testing.T) {
	w := full(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := mustOpen(t, testOptions(path))
	defer s.Close()
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	if reason := trust(t, s, ""); reason == "" {
		t.Error("an unclean file of an unknown boot is trusted")
	}
	if reason := trust(t, s, testBoot); reason != "" {
		t.Errorf("the file of this boot is not trusted: %s", reason)
	}
	overwrite(t, s, tableHost, cachefile.KeyBoot, nil)
	if reason := trust(t, s, ""); reason == "" {
		t.Error("two unknown boots are taken for the same")
	}
}

func trust(t *testing.T, s *Store, boot string) (reason string) {
	t.Helper()
	if err := s.db.View(func(tx *bbolt.Tx) error { reason = distrusted(tx, boot); return nil }); err != nil {
		t.Fatal(err)
	}
	return reason
}

// A file that another store has open is neither used nor discarded.
func TestFileInUse(t *testing.T) {
	w, ref := plain()
	s := caughtUp(t, w.log)
	if second, err := Open(s.o); err == nil {
		second.Close()
		t.Fatal("opened twice")
	}
	if secret, err := s.Secret(ref); err != nil || !secret.Exists {
		t.Errorf("got %v %v", secret.Exists, err)
	}
}

// After Close everything is refused, and a second Close does nothing.
func TestClosed(t *testing.T) {
	w, ref := plain()
	s := mustOpen(t, testOptions(filepath.Join(t.TempDir(), "state.db")))
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Secret(ref); err != ErrClosed { //nolint:errorlint // exactly this.
		t.Errorf("got %v", err)
	}
	if err := s.CatchUp(context.Background(), w.log); err == nil && s.Position() != w.log.head() {
		t.Errorf("got %v", err)
	}
	w.change(ref, extra(w))
	if err := s.CatchUp(context.Background(), w.log); err == nil {
		t.Error("a closed store goes on")
	}
}
