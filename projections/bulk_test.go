package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// seeded chooses by a seed.
type seeded struct{ *rand.Rand }

func (s seeded) below(n int) int { return s.IntN(n) }

// bulkStore fills an empty file in bulk, in many layers.
func bulkStore(t testing.TB, log *sliceLog, change func(*Options)) *Store {
	t.Helper()
	s := openStore(t, log, change)
	s.bulkWorth, s.foldBytes = 1, 8<<10
	return s
}

// TestBulkIsTheSameFold: an empty file that is filled in bulk is the file that
// is filled event by event, and goes on as that one does.
func TestBulkIsTheSameFold(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(seeded{rand.New(rand.NewPCG(seed, 1))})
			for range 1500 {
				w.step()
			}
			small := func(o *Options) { o.BatchEvents = 20 }
			one, bulk := openStore(t, w.log, small), bulkStore(t, w.log, small)
			same := func() {
				t.Helper()
				if diff := cmp.Diff(dump(t, one), dump(t, bulk)); diff != "" {
					t.Fatal(diff)
				}
			}
			ctx := context.Background()
			for _, s := range []*Store{one, bulk} {
				if err := s.CatchUp(ctx, w.log); err != nil {
					t.Fatal(err)
				}
			}
			same()
			for range 300 {
				w.step()
			}
			start(t, one, w.log)
			start(t, bulk, w.log)
			for _, s := range []*Store{one, bulk} {
				waitFor(t, s, w.log.head())
			}
			same()
			if left, err := filepath.Glob(bulk.o.Path + ".*"); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// TestBulkTells: how far a bulk has come is told from its first event to its
// last row.
func TestBulkTells(t *testing.T) {
	w := newWorld(seeded{rand.New(rand.NewPCG(3, 1))})
	for range 800 {
		w.step()
	}
	var applied, merged, total uint64
	steps := 0
	s := bulkStore(t, w.log, func(o *Options) {
		o.BatchEvents = 20
		o.Applied = func(batch []domain.Recorded) { applied = batch[len(batch)-1].Position }
		o.Merged = func(done, of uint64) {
			if done < merged || done > of || steps > 0 && of != total {
				t.Errorf("%d of %d, after %d of %d", done, of, merged, total)
			}
			merged, total = done, of
			steps++
		}
	})
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	if applied != w.log.head() || steps < 3 || total == 0 || merged != total {
		t.Errorf("%d of %d events, %d of %d bytes in %d steps", applied, w.log.head(), merged, total, steps)
	}
}

// TestBulkFollows: a server that starts with a long log and no file answers once
// the file is whole.
func TestBulkFollows(t *testing.T) {
	w := newWorld(seeded{rand.New(rand.NewPCG(9, 1))})
	for range 800 {
		w.step()
	}
	s := bulkStore(t, w.log, func(o *Options) { o.BatchEvents = 10 })
	start(t, s, w.log)
	eventually(t, "it serves", func() bool { return s.Serving() == nil })
	if s.bulk() != nil {
		t.Error("it answers out of a bulk")
	}
	for ref, want := range w.secrets {
		if got, err := s.Secret(ref); err != nil || got.Version != want.Version {
			t.Errorf("%v: version %d, want %d: %v", ref, got.Version, want.Version, err)
		}
	}
}

// TestBulkInterrupted: what a bulk has left is not taken for a fold, however
// the process ended, and an event that can't be read stops it in its place.
func TestBulkInterrupted(t *testing.T) {
	w := newWorld(seeded{rand.New(rand.NewPCG(5, 1))})
	for range 800 {
		w.step()
	}
	head := w.log.head()
	cancelled := func(t *testing.T, s *Store) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		s.o.Applied = func(batch []domain.Recorded) {
			if batch[0].Position > head/2 {
				cancel()
			}
		}
		if err := s.CatchUp(ctx, w.log); !errors.Is(err, context.Canceled) || s.bulk() == nil {
			t.Errorf("catching up gave %v", err)
		}
	}
	for name, end := range map[string]func(t *testing.T, s *Store) error{
		"cancelled": func(t *testing.T, s *Store) error {
			cancelled(t, s)
			return s.Close()
		},
		"unreadable": func(t *testing.T, s *Store) error {
			w.log.change(func() { w.log.unreadable = head / 2 })
			defer w.log.change(func() { w.log.unreadable = 0 })
			if err := s.CatchUp(context.Background(), w.log); !errors.Is(err, errUnreadable) || s.Position() != head/2-1 {
				t.Errorf("catching up gave %v at %d", err, s.Position())
			}
			return s.Close()
		},
		"killed": func(t *testing.T, s *Store) error {
			cancelled(t, s)
			left := filepath.Join(t.TempDir(), "left")
			copyFile(t, s.o.Path, left)
			err := s.Close()
			copyFile(t, left, s.o.Path)
			return err
		},
		"killed while merging": func(t *testing.T, s *Store) error {
			cancelled(t, s)
			for now := s.layers.Load(); now.old != nil || now.young.events > 0; now = s.layers.Load() {
				if err := s.flush(); err != nil {
					return err
				}
			}
			w := bulkWriter{db: s.db, table: tableSecrets, fill: mergeFill, rows: 10}
			if err := w.end(w.drain(s.bulk().runs.ordered(tableSecrets))); err != nil || w.done == 0 {
				t.Errorf("%d rows were merged: %v", w.done, err)
			}
			left := filepath.Join(t.TempDir(), "left")
			copyFile(t, s.o.Path, left)
			copyFile(t, runsPath(s.o.Path), left+"runs")
			err := s.Close()
			copyFile(t, left, s.o.Path)
			copyFile(t, left+"runs", runsPath(s.o.Path))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(filepath.Join(t.TempDir(), "state.db"))
			o.BatchEvents = 20
			s := mustOpen(t, o)
			s.bulkWorth, s.foldBytes = 1, 8<<10
			if err := end(t, s); err != nil {
				t.Fatal(err)
			}
			found, err := Inspect(o.Path, o.BootID)
			if err != nil || found.Reason != "its filling was not finished" {
				t.Errorf("the file is %q, %v", found.Reason, err)
			}
			again := mustOpen(t, o)
			defer again.Close()
			if _, err := os.Stat(runsPath(o.Path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the runs are left: %v", err)
			}
			if again.Position() != 0 {
				t.Errorf("it goes on at %d", again.Position())
			}
			if err := again.CatchUp(context.Background(), w.log); err != nil {
				t.Fatal(err)
			}
			if err := Check(context.Background(), again, w.log); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSortedRuns: of rows in many runs the newest of each key comes back, in
// the order of the keys.
func TestSortedRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs")
	rapid.Check(t, func(t *rapid.T) {
		runs, err := newSortedRuns(path, 100)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for range rapid.IntRange(0, 6).Draw(t, "runs") {
			var l layer
			tree := newLayerTable()
			for range rapid.IntRange(0, 30).Draw(t, "rows") {
				key := rapid.StringN(1, 3, -1).Draw(t, "key")
				row := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "row")
				if want[key] = string(row); rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
					delete(want, key)
					row = nil
				}
				l.loose[tableNames].put([]byte(key), row)
				l.loose[tableTags].put([]byte("other"), []byte("row"))
				tree.Set(entry{key: []byte(key), row: row})
			}
			l.tables[tableSecrets] = tree
			if err := runs.add(&l); err != nil {
				t.Fatal(err)
			}
		}
		sought := func(key string) []byte {
			hash, _ := runs.mayHave([]byte(key))
			return runs.get(tableSecrets, []byte(key), hash)
		}
		for range 20 {
			key := rapid.StringN(1, 3, -1).Draw(t, "sought")
			row, ok := want[key]
			if got := sought(key); ok != (got != nil) || row != string(got) || runs.err() != nil {
				t.Errorf("%q: %q, want %q, %v", key, got, row, runs.err())
			}
		}
		for key, row := range want {
			if got := sought(key); got == nil || string(got) != row {
				t.Errorf("%q: %q, want %q", key, got, row)
			}
		}
		got, last := map[string]string{}, ""
		if err := runs.merge(tableNames, func(key, row []byte) error {
			if len(got) > 0 && string(key) <= last {
				t.Errorf("%q follows %q", key, last)
			}
			last = string(key)
			got[last] = string(row)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(want, got) {
			t.Error(cmp.Diff(want, got))
		}
		if err := runs.close(); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the runs are left: %v", err)
	}
}

// TestBloom: no key is forgotten, and few others are taken for one.
func TestBloom(t *testing.T) {
	const keys = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	b, added := newBloom(keys), make([]uint64, keys)
	for i := range added {
		added[i] = random.Uint64()
		b.add(added[i])
	}
	wrong := 0
	for _, hash := range added {
		if !b.has(hash) {
			t.Fatalf("%x is forgotten", hash)
		}
		if b.has(random.Uint64()) {
			wrong++
		}
	}
	if wrong > keys/50 {
		t.Errorf("%d of %d answers are wrong", wrong, keys)
	}
}
