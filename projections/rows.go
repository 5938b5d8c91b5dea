package projections

import (
	"bytes"

	"github.com/tidwall/btree"
	"go.etcd.io/bbolt"
)

// rows is a table as a question or a fold sees it: the file's bucket below the
// layers. What it gives must not be changed, nor kept beyond the transaction.
type rows struct {
	table  table
	file   *bbolt.Bucket
	layers []*btree.BTreeG[entry] // newest first, none of them nil
	writer *layerWriter           // of a fold
	runs   *sortedRuns            // in place of the file, if not nil
}

// Get gives a key's row, nil if there is none.
func (r *rows) Get(key []byte) []byte {
	var hash uint64
	if r.runs != nil {
		var ok bool
		if hash, ok = r.runs.mayHave(key); !ok {
			return nil
		}
	}
	for _, l := range r.layers {
		if e, ok := l.Get(entry{key: key}); ok {
			return e.row
		}
	}
	if r.runs != nil {
		return r.runs.get(r.table, key, hash)
	}
	return r.file.Get(key)
}

// put writes a row or, for a nil one, deletes: into the layer of a fold, which
// keeps key and row, and elsewhere into the file.
func (r *rows) put(key, row []byte) error {
	if r.writer == nil {
		if row == nil {
			return r.file.Delete(key)
		}
		return r.file.Put(key, row)
	}
	before := r.writer.tables[r.table]
	r.writer.put(r.table, key, row)
	switch after := r.writer.tables[r.table]; {
	case after == nil: // loose
	case before == nil:
		r.layers = append([]*btree.BTreeG[entry]{after}, r.layers...)
	case before != after:
		r.layers[0] = after // its copy
	}
	return nil
}

// ForEach shows every row in the order of the keys.
func (r *rows) ForEach(show func(key, row []byte) error) error {
	c := r.Cursor()
	for key, row := c.First(); key != nil; key, row = c.Next() {
		if err := show(key, row); err != nil {
			return err
		}
	}
	return nil
}

// Cursor walks the rows. It does not see what is put after it was made.
func (r *rows) Cursor() *cursor {
	c := &cursor{file: r.file.Cursor()}
	for _, l := range r.layers {
		c.layers = append(c.layers, layerCursor{at: l.Iter()})
	}
	return c
}

// cursor walks the file and the layers over it as one: where several have a
// key the newest one's row counts, and a row that is gone there is passed over.
// Its methods are those of bbolt's cursor; a nil key means that there is none.
type cursor struct {
	file    *bbolt.Cursor
	fileKey []byte
	fileRow []byte
	layers  []layerCursor
	key     []byte // where it stands, nil for nowhere
	back    bool   // the sides stand at or before key, not at or behind it
}

// layerCursor is a place in one layer.
type layerCursor struct {
	at btree.IterG[entry]
	ok bool // it stands somewhere
}

// First goes to the first key.
func (c *cursor) First() (key, row []byte) {
	if len(c.layers) == 0 {
		return c.file.First()
	}
	c.fileKey, c.fileRow = c.file.First()
	for i := range c.layers {
		c.layers[i].ok = c.layers[i].at.First()
	}
	return c.settle(false)
}

// Last goes to the last key.
func (c *cursor) Last() (key, row []byte) {
	if len(c.layers) == 0 {
		return c.file.Last()
	}
	c.fileKey, c.fileRow = c.file.Last()
	for i := range c.layers {
		c.layers[i].ok = c.layers[i].at.Last()
	}
	return c.settle(true)
}

// Seek goes to the first key that is not before one.
func (c *cursor) Seek(seek []byte) (key, row []byte) {
	if len(c.layers) == 0 {
		return c.file.Seek(seek)
	}
	c.fileKey, c.fileRow = c.file.Seek(seek)
	for i := range c.layers {
		c.layers[i].ok = c.layers[i].at.Seek(entry{key: seek})
	}
	return c.settle(false)
}

// Next goes to the following key.
func (c *cursor) Next() (key, row []byte) {
	switch {
	case len(c.layers) == 0:
		return c.file.Next()
	case c.key == nil:
		return nil, nil
	case c.back:
		c.Seek(c.key)
	}
	c.step(c.key, false)
	return c.settle(false)
}

// Prev goes to the key before.
func (c *cursor) Prev() (key, row []byte) {
	switch {
	case len(c.layers) == 0:
		return c.file.Prev()
	case c.key == nil:
		return nil, nil
	case !c.back:
		c.before(c.key)
	default:
		c.step(c.key, true)
	}
	return c.settle(true)
}

// before places every side at its last key before one.
func (c *cursor) before(key []byte) {
	if k, _ := c.file.Seek(key); k == nil {
		c.fileKey, c.fileRow = c.file.Last()
	} else {
		c.fileKey, c.fileRow = c.file.Prev()
	}
	for i := range c.layers {
		l := &c.layers[i]
		if l.at.Seek(entry{key: key}) {
			l.ok = l.at.Prev()
		} else {
			l.ok = l.at.Last()
		}
	}
}

// step moves the sides that stand at a key on.
func (c *cursor) step(key []byte, back bool) {
	if bytes.Equal(c.fileKey, key) {
		if back {
			c.fileKey, c.fileRow = c.file.Prev()
		} else {
			c.fileKey, c.fileRow = c.file.Next()
		}
	}
	for i := range c.layers {
		l := &c.layers[i]
		switch {
		case !l.ok || !bytes.Equal(l.at.Item().key, key):
		case back:
			l.ok = l.at.Prev()
		default:
			l.ok = l.at.Next()
		}
	}
}

// settle finds the nearest key of all sides whose row is there.
func (c *cursor) settle(back bool) (key, row []byte) {
	c.back = back
	for {
		key, row = c.fileKey, c.fileRow
		for i := len(c.layers) - 1; i >= 0; i-- { // the newest one last
			l := &c.layers[i]
			if !l.ok {
				continue
			}
			e := l.at.Item()
			order := bytes.Compare(e.key, key)
			if key == nil || order == 0 || order < 0 != back {
				key, row = e.key, e.row
			}
		}
		if key == nil || row != nil {
			c.key = key
			return key, row
		}
		c.step(key, back)
	}
}
