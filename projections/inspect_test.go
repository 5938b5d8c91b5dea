package projections

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// closedFile folds a full world into a file, has change spoil the open store,
// and closes it.
func closedFile(t *testing.T, w *world, change func(*testing.T, *Store)) Options {
	t.Helper()
	o := testOptions(filepath.Join(t.TempDir(), "state.db"))
	s := mustOpen(t, o)
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

// unclean takes the mark of a clean shutdown from a closed file.
func unclean(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, options(false))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(tableHost.String())).Delete([]byte(cachefile.KeyClean))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// overwriteBytes writes over a part of the file.
func overwriteBytes(t *testing.T, path string, from, to int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[from:to], bytes.Repeat([]byte{0xa5}, to-from))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFileChangesNothing: a file that Open would discard, or that differs
// from the log, is a finding with its reason, what is left of its position can
// still be read, and no byte of it changes. One that is sound is compared up
// to its checkpoint.
func TestCheckFileChangesNothing(t *testing.T) {
	w := full(t)
	head := w.log.head()
	for name, tt := range map[string]struct {
		change func(*testing.T, *Store)
		spoil  func(t *testing.T, path string)
		boot   string
		reason string // that Inspect gives
		want   string // finding of CheckFile
		at     uint64 // position that Inspect gives
	}{
		"sound":                     {boot: testBoot, at: head},
		"closed, another boot":      {boot: "boot-2", at: head},
		"killed":                    {spoil: unclean, boot: testBoot, at: head},
		"killed, then another boot": {spoil: unclean, boot: "boot-2", reason: "the machine stopped while it was in use", want: "the machine stopped", at: head},
		"another schema": {
			change: func(t *testing.T, s *Store) { overwrite(t, s, tableMeta, cachefile.KeySchema, []byte{schema + 1}) },
			boot:   testBoot, reason: "written by another version", want: "another version", at: head,
		},
		"a table is missing": {
			change: func(t *testing.T, s *Store) {
				if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("tags")) }); err != nil {
					t.Fatal(err)
				}
			},
			boot: testBoot, reason: "incomplete", want: "incomplete", at: head,
		},
		"no checkpoint that can be read": {
			change: func(t *testing.T, s *Store) { overwrite(t, s, tableMeta, keyCheckpoint, []byte{1}) },
			boot:   testBoot, reason: "damaged", want: "damaged",
		},
		"a directory row that can't be read": {
			change: func(t *testing.T, s *Store) { overwrite(t, s, tableScopes, "junk", []byte{1}) },
			boot:   testBoot, want: "damaged", at: head,
		},
		"the begin is overwritten": {
			spoil: func(t *testing.T, path string) { overwriteBytes(t, path, 0, 16<<10) },
			boot:  testBoot, reason: "damaged", want: "damaged",
		},
		"a page is overwritten": {spoil: overwriteSecrets, boot: testBoot, want: "damaged", at: head},
		"cut off":               {spoil: func(t *testing.T, path string) { truncate(t, path, 3) }, boot: testBoot, want: "damaged", at: head},
	} {
		t.Run(name, func(t *testing.T) {
			o := closedFile(t, w, tt.change)
			o.BootID = tt.boot
			if tt.spoil != nil {
				tt.spoil(t, o.Path)
			}
			before := readAll(t, o.Path)
			found, err := Inspect(o.Path, o.BootID)
			want := Inspection{Position: tt.at, Reason: tt.reason}
			if diff := cmp.Diff(want, found); err != nil || diff != "" {
				t.Errorf("Inspect: %v (-want +got):\n%s", err, diff)
			}
			position, err := CheckFile(t.Context(), o, w.log)
			differs, ok := errors.AsType[*CheckError](err)
			switch {
			case tt.want == "" && (err != nil || position != head):
				t.Errorf("CheckFile: position %d of %d, %v", position, head, err)
			case tt.want != "" && (!ok || !strings.Contains(differs.Error(), tt.want)):
				t.Errorf("CheckFile: %v; want a finding that says %q", err, tt.want)
			}
			if !bytes.Equal(before, readAll(t, o.Path)) {
				t.Error("the file was changed")
			}
			if left, err := os.ReadDir(filepath.Dir(o.Path)); err != nil || len(left) != 1 {
				t.Errorf("beside the file: %v, %v", left, err)
			}
		})
	}
}

// Whatever bytes of the file are altered, CheckFile ends with an answer and
// leaves the file as it is. Most often the answer is a finding; bytes of free
// pages and behind the last row of a page mean nothing.
func TestCheckFileSurvivesAnyDamage(t *testing.T) {
	w := full(t)
	o := closedFile(t, w, nil)
	sound := readAll(t, o.Path)
	findings := 0
	rapid.Check(t, func(r *rapid.T) {
		spoiled := bytes.Clone(sound)
		size := os.Getpagesize()
		for range rapid.IntRange(1, 4).Draw(r, "places") {
			// Heads of pages, where sizes and page numbers lie, more often.
			at := rapid.IntRange(0, len(sound)/size-1).Draw(r, "page") * size
			at += rapid.OneOf(rapid.IntRange(0, 63), rapid.IntRange(0, size-16)).Draw(r, "offset")
			copy(spoiled[at:], rapid.SliceOfN(rapid.Byte(), 1, 16).Draw(r, "bytes"))
		}
		if err := os.WriteFile(o.Path, spoiled, 0o600); err != nil {
			r.Fatal(err)
		}
		_, err := CheckFile(context.Background(), o, w.log)
		if _, differs := errors.AsType[*CheckError](err); differs {
			findings++
		} else if err != nil {
			r.Fatalf("no verdict: %v", err)
		}
		if !bytes.Equal(spoiled, readAll(t, o.Path)) {
			r.Fatal("the file was changed")
		}
	})
	if findings == 0 {
		t.Error("nothing was ever found")
	}
}

// overwriteSecrets writes over the first leaf page of the secrets.
func overwriteSecrets(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, options(true))
	if err != nil {
		t.Fatal(err)
	}
	page := 0
	err = db.View(func(tx *bbolt.Tx) error {
		page = int(tx.Bucket([]byte(tableSecrets.String())).RootPage())
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if page == 0 {
		t.Fatal("the secrets have no page of their own")
	}
	size := os.Getpagesize()
	overwriteBytes(t, path, page*size, (page+1)*size)
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A file that is not there, or has no byte, is empty and no cause for
// distrust; so is one that no event was folded into.
func TestInspectEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	look := func(what string) {
		t.Helper()
		if found, err := Inspect(path, testBoot); err != nil || found != (Inspection{Empty: true}) {
			t.Errorf("%s: %+v, %v", what, found, err)
		}
	}
	look("no file")
	if _, err := CheckFile(t.Context(), testOptions(path), newLog()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CheckFile without a file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look("no byte")
	if position, err := CheckFile(t.Context(), testOptions(path), newLog()); err != nil || position != 0 {
		t.Errorf("CheckFile of no byte: %d, %v", position, err)
	}
	if err := mustOpen(t, testOptions(path)).Close(); err != nil {
		t.Fatal(err)
	}
	look("no event")
}

// A file that a store has open is not looked into: what it says may be half
// written.
func TestInspectInUse(t *testing.T) {
	w, _ := plain()
	s := caughtUp(t, w.log)
	if found, err := Inspect(s.o.Path, testBoot); err == nil {
		t.Errorf("%+v", found)
	}
	if _, err := CheckFile(t.Context(), s.o, w.log); err == nil {
		t.Error("CheckFile of an open file")
	}
}
