package cachefile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testFormat() Format { return Format{Schema: 3, Tables: []string{"rows"}} }

// look gives why the file can't be used, and whether it was shown.
func look(t *testing.T, f Format, path, boot string) (reason string, shown bool) {
	t.Helper()
	reason, err := f.Look(path, boot, func(*bbolt.Tx) error { shown = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return reason, shown
}

// TestTrust holds invariants 1 and 2: which files count on which boot.
func TestTrust(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	if reason, shown := look(t, testFormat(), path, "one"); reason != "" || shown {
		t.Errorf("no file: %q %v", reason, shown)
	}
	db, err := testFormat().Open(path, "one")
	if err != nil {
		t.Fatal(err)
	}
	unclean := filepath.Join(t.TempDir(), "unclean.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(unclean, b, 0o600), Close(db)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, boot string
		schema     uint64
		table      string
		used       bool
	}{
		{path, "one", 3, "rows", true},
		{path, "two", 3, "rows", true},
		{path, "", 3, "rows", true},
		{unclean, "one", 3, "rows", true},
		{unclean, "two", 3, "rows", false},
		{unclean, "", 3, "rows", false},
		{path, "one", 4, "rows", false},
		{path, "one", 3, "others", false},
	} {
		reason, shown := look(t, Format{Schema: tt.schema, Tables: []string{tt.table}}, tt.path, tt.boot)
		if used := reason == ""; used != tt.used || shown != used {
			t.Errorf("%+v: %q, shown: %v", tt, reason, shown)
		}
	}
	// An opening takes the mark, before anything is written.
	if db, err = testFormat().Open(path, "two"); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		if reason := testFormat().Distrusted(tx, "three"); reason == "" {
			t.Error("an opened file has the mark of a clean shutdown")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := testFormat().Look(path, "two", func(*bbolt.Tx) error { return nil }); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a file in use: %v", err)
	}
}

// TestDamaged holds invariant 3.
func TestDamaged(t *testing.T) {
	if err := Guarded(func() error { panic("a page") }); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "cache.db")
	if err := os.WriteFile(path, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if reason, shown := look(t, testFormat(), path, "one"); reason != ReasonDamaged || shown {
		t.Errorf("%q, shown: %v", reason, shown)
	}
	if _, err := testFormat().Open(path, "one"); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if err := SoundPages(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(Remove(path), Remove(path)); err != nil {
		t.Error(err)
	}
}
