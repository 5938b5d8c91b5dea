package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// TestCheck holds invariant 10: each way of spoiling the file is named, open
// or closed.
func TestCheck(t *testing.T) {
	key := func(b *bbolt.Bucket, n int) []byte {
		c := b.Cursor()
		k, _ := c.First()
		for range n {
			k, _ = c.Next()
		}
		return bytes.Clone(k)
	}
	firstRun := func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(tableRuns)).Bucket(positionKey(1)) }
	for name, tt := range map[string]struct {
		spoil func(tx *bbolt.Tx) error
		named string
	}{
		"message altered": {func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(tableMessages))
			raw := bytes.Replace(b.Get(positionKey(3)), []byte("agt_1"), []byte("agt_2"), 1)
			return b.Put(positionKey(3), raw)
		}, "message at position 3 is altered"},
		"message dropped":   {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tableMessages)).Delete(positionKey(3)) }, "message at position 3 is missing"},
		"message added":     {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tableMessages)).Put(positionKey(1000), encode(nil)) }, "too much"},
		"message of no log": {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tableMessages)).Put([]byte("x"), nil) }, ""},
		"row dropped":       {func(tx *bbolt.Tx) error { return firstRun(tx).Delete(key(firstRun(tx), 1)) }, "is missing"},
		"row altered": {func(tx *bbolt.Tx) error {
			k := key(firstRun(tx), 0)
			row := bytes.Clone(firstRun(tx).Get(k))
			row[0]++
			return firstRun(tx).Put(k, row)
		}, "is missing"},
		"row that cannot be read": {func(tx *bbolt.Tx) error { return firstRun(tx).Put(key(firstRun(tx), 0), []byte{0x80}) }, "row"},
		"row added": {func(tx *bbolt.Tx) error {
			k := keyOf(kindActor, "org_a", "agt_9")
			var c chunk
			c.add(entry{place: place{Position: 1}, time: 1})
			return firstRun(tx).Put(chunkKey(k, c.last.place), c.row)
		}, "too much"},
		"last read dropped": {func(tx *bbolt.Tx) error {
			s := sample(0)
			k := secretKey(kindLastRead, refOf(&s))
			return firstRun(tx).Delete(k[:])
		}, "is missing"},
		"run dropped": {func(tx *bbolt.Tx) error { return tx.Bucket([]byte(tableRuns)).DeleteBucket(positionKey(1)) }, "has no rows"},
		"header altered": {func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(tableHeaders))
			h, err := decodeHeader(positionKey(1), b.Get(positionKey(1)))
			h.max--
			return errors.Join(err, b.Put(positionKey(1), h.encode()))
		}, "header is altered"},
		"leaf altered": {func(tx *bbolt.Tx) error {
			row, err := tilesOf(tx).Tile(0, 0)
			row = bytes.Clone(row)
			row[40] ^= 1
			return errors.Join(err, tilesOf(tx).PutTile(0, 0, row))
		}, "the leaf of position 2 is not"},
		"node altered": {func(tx *bbolt.Tx) error {
			row, err := tilesOf(tx).Tile(1, 0)
			row = bytes.Clone(row)
			row[1] ^= 1
			return errors.Join(err, tilesOf(tx).PutTile(1, 0, row))
		}, "of level 0 is not that"},
		"tile dropped": {func(tx *bbolt.Tx) error { return tilesOf(tx).rows.Delete(tileKey(0, 1)) }, "tile 1 of level 0"},
		"tile added":   {func(tx *bbolt.Tx) error { return tilesOf(tx).PutTile(5, 0, make([]byte, 32)) }, "too much"},
		"checkpoint altered": {func(tx *bbolt.Tx) error {
			m, err := readMark(tx)
			m.leaf[0]++
			return errors.Join(err, writeMark(tx, m))
		}, "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			l := filled(300, 2)
			s := caughtUp(t, l, nil)
			if err := Check(t.Context(), s, l); err != nil {
				t.Fatal(err)
			}
			if err := s.db.Update(tt.spoil); err != nil {
				t.Fatal(err)
			}
			named := func(err error) {
				t.Helper()
				if _, ok := errors.AsType[*CheckError](err); !ok || !strings.Contains(err.Error(), tt.named) {
					t.Errorf("got %v", err)
				}
			}
			named(Check(t.Context(), s, l))
			path := filepath.Join(t.TempDir(), "copy.db")
			copyFile(t, s.c.Path, path)
			c := testConfig(path, l)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = CheckFile(t.Context(), c, l)
			named(err)
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("checking changed the file: %v", err)
			}
		})
	}
}

// Memory that differs from the file is named.
func TestCheckMemory(t *testing.T) {
	l := filled(10, 2)
	s := caughtUp(t, l, nil)
	s.state.Load().tail.add(10, []domain.Access{sample(9)})
	if err := Check(t.Context(), s, l); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("got %v", err)
	}
}

// TestDamage: whatever byte of the file is changed, it is found, refused or of
// no importance; and opening it ends in a store that serves the log.
func TestDamage(t *testing.T) {
	l := filled(40, 5)
	s := caughtUp(t, l, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.c.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir, files := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		b := bytes.Clone(whole)
		for range rapid.IntRange(1, 4).Draw(rt, "bytes") {
			b[rapid.IntRange(0, len(b)-1).Draw(rt, "at")] ^= rapid.ByteRange(1, 255).Draw(rt, "by")
		}
		b = b[:len(b)-rapid.SampledFrom([]int{0, 0, 0, len(b) / 2, len(b) - 100}).Draw(rt, "cut")]
		files++
		path := filepath.Join(dir, fmt.Sprint(files)) // bbolt may keep a damaged one locked
		if err := os.WriteFile(path, b, 0o600); err != nil {
			rt.Fatal(err)
		}
		c := testConfig(path, l)
		_, err := CheckFile(t.Context(), c, l)
		if _, ok := errors.AsType[*CheckError](err); err != nil && !ok {
			rt.Fatal(err)
		}
		if err != nil {
			return
		}
		again, err := Open(c)
		if err != nil {
			rt.Fatal(err)
		}
		defer again.Close()
		if err := again.CatchUp(t.Context(), l); err != nil {
			rt.Fatal(err)
		}
		if n := len(pages(rt, again, domain.AccessQuery{Target: "org_a", Limit: 1000})); n != 200 {
			rt.Fatalf("%d records of a file that was found sound", n)
		}
	})
}

// TestFileIsTrusted holds invariant 6.
func TestFileIsTrusted(t *testing.T) {
	l := filled(40, 5)
	for name, tt := range map[string]struct {
		end    func(s *Store, path string)
		change func(*Config)
		kept   bool
	}{
		"kill":               {func(s *Store, path string) { copyFile(t, s.c.Path, path); s.Close() }, func(*Config) {}, true},
		"kill, another boot": {func(s *Store, path string) { copyFile(t, s.c.Path, path); s.Close() }, func(c *Config) { c.BootID = "boot-2" }, false},
		"closed, another boot": {
			func(s *Store, path string) { s.Close(); copyFile(t, s.c.Path, path) },
			func(c *Config) { c.BootID = "boot-2" }, true,
		},
		"runs of another length": {
			func(s *Store, path string) { s.Close(); copyFile(t, s.c.Path, path) },
			func(c *Config) { c.RunRecords = 51 }, false,
		},
		"cut off": {
			func(s *Store, path string) { s.Close(); copyFile(t, s.c.Path, path); truncate(t, path) },
			func(*Config) {}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "second.db")
			tt.end(caughtUp(t, l, nil), path)
			c := testConfig(path, l)
			tt.change(&c)
			s := mustOpen(t, c)
			defer s.Close()
			if kept := s.Position() == 40; kept != tt.kept {
				t.Errorf("position %d", s.Position())
			}
			if err := s.CatchUp(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			mustCheck(t, s, l)
		})
	}
}

// A file that another store has open is neither used nor discarded.
func TestFileInUse(t *testing.T) {
	s := caughtUp(t, filled(3, 3), nil)
	second, err := Open(s.c)
	if err == nil {
		second.Close()
		t.Fatal("opened twice")
	}
	if errors.Is(err, cachefile.ErrDamaged) || len(all(t, s)) != 9 {
		t.Errorf("got %v", err)
	}
}

// FuzzRows: a row of any bytes is read as what would write it, or refused.
func FuzzRows(f *testing.F) {
	var c chunk
	c.add(entry{place: place{Position: 7, Index: 3}, time: -5})
	c.add(entry{place: place{Position: 7, Index: 4}, time: 9})
	f.Add(c.row)
	f.Add(appendReads(nil, []fieldRead{{field: "user", place: place{Position: 3}}}))
	f.Fuzz(func(t *testing.T, row []byte) {
		if entries, err := parseChunk(row, nil); err == nil {
			var again chunk
			for _, e := range entries {
				again.add(e)
			}
			same, err := parseChunk(again.row, nil)
			if err != nil || len(same) != len(entries) {
				t.Errorf("%v: %d entries instead of %d", err, len(same), len(entries))
			}
		}
		if reads, err := parseReads(row); err == nil && len(appendReads(nil, reads)) > len(row) {
			t.Error("a row of last reads is longer than what it was read from")
		}
		if h, err := decodeHeader(positionKey(1), row); err == nil {
			if again, err := decodeHeader(positionKey(1), h.encode()); err != nil || again != h {
				t.Errorf("%v: %+v instead of %+v", err, again, h)
			}
		}
		if m, err := decodeMark(row); err == nil {
			if again, err := decodeMark(m.encode()); err != nil || again != m {
				t.Errorf("%v: %+v instead of %+v", err, again, m)
			}
		}
	})
}

func truncate(t *testing.T, path string) {
	if err := os.Truncate(path, 10_000); err != nil {
		t.Fatal(err)
	}
}
