package projections

import (
	"strings"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// slab gives slices of what it has left, so that many small ones are one piece
// of memory.
type slab[T any] struct{ all, left []T }

// take gives room for n items. If so many are not left, it gets more.
func (s *slab[T]) take(n, more uint64) []T {
	if n > uint64(len(s.left)) {
		s.all = make([]T, max(n, more))
		s.left = s.all
	}
	part := s.left[:0:n]
	s.left = s.left[n:]
	return part
}

// rowMemory is where the parts of rows lie that are decoded together.
type rowMemory struct {
	texts    slab[string]
	keks     slab[domain.KekID]
	fields   slab[domain.SecretField]
	metadata slab[domain.FieldMetadata]
	more     uint64 // items that a slab gets at least
}

// reuse gives again what was given for the rows before.
func (m *rowMemory) reuse() {
	m.texts.left, m.keks.left = m.texts.all, m.keks.all
	m.fields.left, m.metadata.left = m.fields.all, m.metadata.all
}

const (
	// pageItems is how many items a slab of a page gets at once.
	pageItems = 256
	// rowItems is how many a slab gets that is used again for each row.
	rowItems = 16
)

// pageRow is a row of a page before it is decoded.
type pageRow struct {
	id, row []byte // in the file
	version uint64 // of a history's
}

// pageRows are the rows of a page. They are decoded together: the texts of all
// are parts of one.
type pageRows struct {
	rows []pageRow
	text string // of all, once they are copied
}

// pagesRows has the rows of pages that are over: of type *pageRows.
var pagesRows sync.Pool

// newPageRows gives room for the rows of a page. It is given back with free.
func newPageRows() *pageRows {
	if p, ok := pagesRows.Get().(*pageRows); ok {
		return p
	}
	return &pageRows{}
}

// free gives the room back, with nothing in it.
func (p *pageRows) free() {
	clear(p.rows) // they pointed into the file
	p.rows, p.text = p.rows[:0], ""
	if cap(p.rows) <= 2*defaultLimit {
		pagesRows.Put(p)
	}
}

func (p *pageRows) add(r pageRow) { p.rows = append(p.rows, r) }

// copy takes the rows out of the file. It is called at the transaction's end.
func (p *pageRows) copy() {
	size := 0
	for _, r := range p.rows {
		size += len(r.id) + len(r.row)
	}
	var all strings.Builder
	all.Grow(size)
	for _, r := range p.rows {
		all.Write(r.id)
		all.Write(r.row)
	}
	p.text = all.String()
}

// decode shows each row that was copied, with its id as a text. Of what lay in
// the file only the lengths are used: it may be mapped elsewhere by now.
func (p *pageRows) decode(memory *rowMemory, show func(id string, version uint64, s *scanner) error) error {
	rest, s := p.text, &scanner{memory: memory}
	for _, r := range p.rows {
		id, row := rest[:len(r.id)], rest[len(r.id):len(r.id)+len(r.row)]
		rest = rest[len(r.id)+len(r.row):]
		s.row, s.at, s.err = row, 0, nil
		if err := show(id, r.version, s); err != nil {
			return err
		}
	}
	return nil
}
