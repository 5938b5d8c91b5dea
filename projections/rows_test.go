package projections

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

// TestRowsAreOneTable verifies that a table read through its layers is the map
// that was written, whatever lies in the file, the old and the young layer, and
// whichever way a cursor goes.
func TestRowsAreOneTable(t *testing.T) {
	s := mustOpen(t, testOptions(filepath.Join(t.TempDir(), "state.db")))
	defer s.Close()
	const table = tableTags
	rapid.Check(t, func(t *rapid.T) {
		model := map[string]string{}
		key := rapid.StringMatching(`[a-e]{1,2}`)
		change := func(where string, put func(key, row []byte) error) {
			for range rapid.IntRange(0, 12).Draw(t, where) {
				k, row := []byte(key.Draw(t, "key")), []byte(rapid.StringMatching(`[0-9]?`).Draw(t, "row"))
				if rapid.IntRange(0, 2).Draw(t, "gone") == 0 {
					delete(model, string(k))
					row = nil
				} else {
					model[string(k)] = string(row)
				}
				if err := put(k, row); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(table.String()))
			if err := b.ForEach(func(k, _ []byte) error { return b.Delete(k) }); err != nil {
				return err
			}
			change("file", (&tables{tx: tx}).at(table).put)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.db.View(func(tx *bbolt.Tx) error {
			over := noLayers()
			for _, where := range []string{"old", "young"} {
				w := newLayerWriter(over.young)
				change(where, (&tables{tx: tx, over: over, writer: w}).at(table).put)
				if where == "old" {
					over = &layers{young: &layer{}, old: &w.layer}
					continue
				}
				before := collectRows(&tables{tx: tx, over: over}, table)
				// A batch on top of the layer does not show in it.
				again := newLayerWriter(&w.layer)
				published := &layers{young: &w.layer, old: over.old}
				rows := collectRows(&tables{tx: tx, over: published}, table)
				if rows == nil && before == nil && len(model) > 0 {
					t.Fatal("no rows")
				}
				fold := (&tables{tx: tx, over: published, writer: again}).at(table)
				if err := fold.put([]byte("zz"), []byte("1")); err != nil {
					return err
				}
				if string(fold.Get([]byte("zz"))) != "1" {
					t.Fatal("a fold does not see what it put")
				}
				over = published
			}
			walk(t, (&tables{tx: tx, over: over}).at(table), model)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func collectRows(ts *tables, of table) (keys []string) {
	_ = ts.at(of).ForEach(func(k, _ []byte) error { keys = append(keys, string(k)); return nil })
	return keys
}

func walk(t *rapid.T, rows *rows, model map[string]string) {
	keys := slices.Sorted(maps.Keys(model))
	for _, k := range []string{"a", "bb", "cc", "e", "zz"} {
		want, ok := model[k]
		got := rows.Get([]byte(k))
		if ok != (got != nil) || string(got) != want {
			t.Fatalf("Get %q: %q, want %q %v", k, got, want, ok)
		}
	}
	c, at := rows.Cursor(), -1 // index in keys
	for range 30 {
		var k, row []byte
		switch move := rapid.SampledFrom([]string{"first", "last", "seek", "next", "prev"}).Draw(t, "move"); move {
		case "first":
			k, row = c.First()
			at = 0
		case "last":
			k, row = c.Last()
			at = len(keys) - 1
		case "seek":
			seek := rapid.StringMatching(`[a-f]{1,2}`).Draw(t, "seek")
			k, row = c.Seek([]byte(seek))
			at, _ = slices.BinarySearch(keys, seek)
		case "next", "prev":
			if at < 0 || at >= len(keys) {
				continue // nowhere: where bbolt goes from there is its own matter
			}
			if move == "next" {
				k, row = c.Next()
				at++
			} else {
				k, row = c.Prev()
				at--
			}
		}
		if at < 0 || at >= len(keys) {
			if k != nil {
				t.Fatalf("stands at %q, want nothing", k)
			}
			continue
		}
		if string(k) != keys[at] || !bytes.Equal(row, []byte(model[keys[at]])) {
			t.Fatalf("stands at %q = %q, want %q = %q", k, row, keys[at], model[keys[at]])
		}
	}
}
