package projections

import (
	"bytes"
	"runtime"

	"github.com/tidwall/btree"
	"go.etcd.io/bbolt"
)

// pageFill is how full a page is left that is split: rows come in order, and
// most of what follows lies behind them.
const pageFill = 0.85

// yieldRows is how many rows, of about a microsecond each, are written into the
// file at a stretch.
const yieldRows = 128

// layerDegree keeps the nodes small that every batch copies.
const layerDegree = 16

// entry is a row of a layer; a nil row says that there is none.
type entry struct{ key, row []byte }

// layer holds rows that have been folded and are not in the file yet, in the
// order in which the file wants them. A published layer is never changed: the
// next batch works on a copy, which shares what it does not touch.
type layer struct {
	tables [tableCount]*btree.BTreeG[entry] // nil where there is nothing
	bytes  int                              // of keys and rows, those replaced since included
	events int
	// bulk is not nil in one; then deferred tables have their rows in loose.
	bulk  *bulk
	loose [tableCount]looseRows
}

func newLayerTable() *btree.BTreeG[entry] {
	return btree.NewBTreeGOptions(func(a, b entry) bool { return bytes.Compare(a.key, b.key) < 0 },
		btree.Options{NoLocks: true, Degree: layerDegree})
}

// layerWriter changes a copy of a layer.
type layerWriter struct {
	layer
	own [tableCount]bool // the table is a copy already
}

func newLayerWriter(l *layer) *layerWriter { return &layerWriter{layer: *l} }

// put keeps key and row, in a bulk those of deferred tables loose.
func (w *layerWriter) put(t table, key, row []byte) {
	w.bytes += len(key) + len(row)
	if w.bulk != nil && deferred(t) {
		w.loose[t].put(key, row)
		return
	}
	if w.bulk != nil && sought(t) {
		w.bulk.runs.know(key)
	}
	switch {
	case w.tables[t] == nil:
		w.tables[t] = newLayerTable()
	case !w.own[t]:
		w.tables[t] = w.tables[t].Copy()
	}
	w.own[t] = true
	w.tables[t].Set(entry{key, row})
}

// write puts all rows into the file, table by table in the order of the keys.
//
// Requests run in between: a layer takes some fifty milliseconds of a processor,
// and the runtime interrupts a goroutine only after ten.
func (l *layer) write(tx *bbolt.Tx) (err error) {
	written := 0
	for t, rows := range l.tables {
		if rows == nil {
			continue
		}
		b := tx.Bucket([]byte(table(t).String()))
		b.FillPercent = pageFill
		rows.Scan(func(e entry) bool {
			if written++; written%yieldRows == 0 {
				runtime.Gosched()
			}
			if e.row == nil {
				err = b.Delete(e.key)
			} else {
				err = b.Put(e.key, e.row)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// layers are what lies over the file as one moment saw it: an immutable value.
type layers struct {
	young *layer // takes the next events
	old   *layer // is being written into the file, nil when nothing is
	// flushes counts how often the file has taken a layer in. A file that has
	// taken old in meanwhile says the same with these layers over it; one that
	// has gone further does not.
	flushes uint64
}

func noLayers() *layers { return &layers{young: &layer{}} }
