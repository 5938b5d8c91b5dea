package projections

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

const (
	// bulkWorth is how long a log is that an empty file is filled with in bulk.
	bulkWorth = 20_000
	// bulkBatch is how many times as many events a batch has.
	bulkBatch = 2
	// scatteredRows and orderedRows go into the file in one transaction: each
	// of the first may touch a page of its own.
	scatteredRows, orderedRows = 8 << 10, 64 << 10
	// mergeFill is how full pages are left that are written once, in order.
	mergeFill = 0.9
)

// bulk is the filling of an empty file from a long log. Secrets come in any
// order, so rows that go into the file while the log is read touch most pages
// each time. Those of all large tables are kept in sorted runs instead, and go
// into the file at the end, in the order of their keys.
//
// Until then the file is no fold of anything, and says so: it is folded anew
// when the process ends before. It takes no checkpoint, and answers nobody:
// until is the head that must be reached before a store may answer.
type bulk struct {
	until uint64
	runs  *sortedRuns
	mark  []byte // the checkpoint of what was flushed
	// failed is why a layer could not be flushed: nobody knows how much of it was.
	failed error
}

// deferred says that no fold reads a table: its rows need not be found before
// the end of a bulk.
func deferred(t table) bool {
	switch t { //nolint:exhaustive // folds read the others.
	case tableValues, tableHistory, tableCategories, tableTags, tableNames, tableDeksCurrent:
		return true
	}
	return false
}

// sought says that a fold looks single rows of a table up, mostly such as are
// not there: in a bulk they are looked for in the runs.
func sought(t table) bool {
	switch t { //nolint:exhaustive // the others are small, or folds walk along them.
	case tableSecrets, tableDeleted, tableClaims, tableIdempotency:
		return true
	}
	return false
}

// beginBulk fills an empty file in bulk, if the log is worth it.
func (s *Store) beginBulk() error {
	head, applied := s.Status()
	if applied > 0 || head.Head < s.bulkWorth {
		return nil
	}
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.applying.Lock()
	defer s.applying.Unlock()
	switch {
	case s.db == nil:
		return ErrClosed
	case s.bulk() != nil:
		return nil
	}
	runs, err := newSortedRuns(runsPath(s.o.Path), 3*head.Head)
	if err != nil {
		return err
	}
	// The mark comes before the first row.
	if err := cachefile.Fill(s.db); err != nil {
		return errors.Join(err, runs.close())
	}
	b := &bulk{until: head.Head, runs: runs}
	s.layers.Store(&layers{young: &layer{bulk: b}, flushes: s.layers.Load().flushes})
	return nil
}

// runsPath is where the runs of the file at a path lie.
func runsPath(path string) string { return path + ".runs" }

// bulk gives the one that is going on, nil for none.
func (s *Store) bulk() *bulk { return s.layers.Load().young.bulk }

// newQueue makes the queue of the next events. In a bulk batches are larger: each
// copies what it touches of the layer.
func (s *Store) newQueue() *queue {
	events := s.o.BatchEvents
	if s.bulk() != nil {
		events *= bulkBatch
	}
	return newQueue(events, s.o.BatchBytes)
}

// flush takes a layer: part into the runs, part into the file.
func (b *bulk) flush(db *bbolt.DB, l *layer) error {
	if b.failed == nil {
		b.failed = b.take(db, l)
	}
	return b.failed
}

func (b *bulk) take(db *bbolt.DB, l *layer) error {
	if err := b.runs.add(l); err != nil {
		return err
	}
	if meta := l.tables[tableMeta]; meta != nil {
		if e, ok := meta.Get(entry{key: []byte(keyCheckpoint)}); ok {
			b.mark = e.row
		}
	}
	for t, rows := range l.tables {
		if rows == nil || table(t) == tableMeta || sought(table(t)) {
			continue
		}
		w := bulkWriter{db: db, table: table(t), fill: pageFill, rows: scatteredRows}
		var err error
		rows.Scan(func(e entry) bool {
			err = w.put(e.key, e.row)
			return err == nil
		})
		if err = w.end(err); err != nil {
			return err
		}
	}
	return nil
}

// finishBulk makes the file a fold of what was applied. What is applied after
// it goes the usual way. Nobody else applies.
func (s *Store) finishBulk() error {
	b := s.bulk()
	if b == nil {
		return nil
	}
	for now := s.layers.Load(); now.old != nil || now.young.events > 0; now = s.layers.Load() {
		if err := s.flush(); err != nil {
			return err
		}
	}
	s.flushing.Lock() // the file stays open, too
	defer s.flushing.Unlock()
	s.file.RLock()
	db := s.db
	s.file.RUnlock()
	if db == nil {
		return ErrClosed
	}
	if err := b.merge(db, s.o.Merged); err != nil {
		return err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	s.layers.Store(&layers{young: &layer{}, flushes: s.layers.Load().flushes})
	return b.runs.close()
}

// merge puts all rows of the runs into the file, then the checkpoint. tell may
// be nil.
func (b *bulk) merge(db *bbolt.DB, tell func(done, total uint64)) error {
	total, done := b.runs.bytes(), uint64(0)
	committed := func(bytes int) {
		if done += uint64(bytes); tell != nil { //nolint:gosec // not negative.
			tell(min(done, total), total)
		}
	}
	for t := range tableCount {
		if len(b.runs.of(t)) == 0 {
			continue
		}
		w := bulkWriter{db: db, table: t, fill: mergeFill, rows: orderedRows, committed: committed}
		if err := w.end(w.drain(b.runs.ordered(t))); err != nil {
			return err
		}
	}
	if tell != nil {
		tell(total, total) // of a row that was written again only the last is there
	}
	return cachefile.Filled(db, func(tx *bbolt.Tx) error {
		if b.mark == nil {
			return nil
		}
		return tx.Bucket([]byte(tableMeta.String())).Put([]byte(keyCheckpoint), b.mark)
	})
}

// bulkWriter puts rows into a table, a number of them in each transaction: what
// it holds in memory is every page that it touches.
type bulkWriter struct {
	db    *bbolt.DB
	table table
	fill  float64
	rows  int
	// committed, if not nil, is told of each transaction: the bytes of its keys
	// and rows.
	committed func(bytes int)

	tx          *bbolt.Tx
	to          *bbolt.Bucket
	done, bytes int // in this transaction
}

// drain puts what comes in parts, until an error.
func (w *bulkWriter) drain(parts <-chan orderedRowsPart) (err error) {
	for p := range parts {
		if err == nil {
			err = p.err
		}
		for i := 0; i < len(p.rows) && err == nil; i++ {
			err = w.put(p.rows[i].key, p.rows[i].row)
		}
	}
	return err
}

func (w *bulkWriter) put(key, row []byte) (err error) {
	if w.tx == nil {
		if w.tx, err = w.db.Begin(true); err != nil {
			return err
		}
		w.to, w.done, w.bytes = w.tx.Bucket([]byte(w.table.String())), 0, 0
		w.to.FillPercent = w.fill
	}
	if row == nil {
		err = w.to.Delete(key)
	} else {
		err = w.to.Put(key, row)
	}
	w.bytes += len(key) + len(row)
	if w.done++; err != nil || w.done < w.rows {
		return err
	}
	return w.end(nil)
}

// end commits what is left, or after an error gives it up.
func (w *bulkWriter) end(err error) error {
	if w.tx == nil {
		return err
	}
	tx := w.tx
	w.tx = nil
	if err != nil {
		_ = tx.Rollback() // the first error counts
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if w.committed != nil {
		w.committed(w.bytes)
	}
	return nil
}
