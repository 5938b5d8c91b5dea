package projections

import (
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

// slab gives slices of what it has left, so that many small ones are one piece
// of memory.
type slab[T any] struct{ left []T }

// take gives room for n items. If so many are not left, it gets more.
func (s *slab[T]) take(n, more uint64) []T {
	if n > uint64(len(s.left)) {
		s.left = make([]T, max(n, more))
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

// pageItems is how many items a slab of a page gets at once.
const pageItems = 256

// pageRow is a row of a page before it is decoded. It lies in the file.
type pageRow struct {
	id, row []byte
	version uint64 // of a history's
}

// pageRows are the rows of a page. They are decoded together: the texts of all
// are parts of one.
type pageRows []pageRow

// decode shows each row, with its id as a text, while the transaction lasts.
func (p pageRows) decode(show func(id string, version uint64, s *scanner) error) error {
	size := 0
	for _, r := range p {
		size += len(r.id) + len(r.row)
	}
	var all strings.Builder
	all.Grow(size)
	for _, r := range p {
		all.Write(r.id)
		all.Write(r.row)
	}
	rest, memory := all.String(), &rowMemory{more: pageItems}
	for _, r := range p {
		id, row := rest[:len(r.id)], rest[len(r.id):len(r.id)+len(r.row)]
		rest = rest[len(r.id)+len(r.row):]
		if err := show(id, r.version, &scanner{row: row, memory: memory}); err != nil {
			return err
		}
	}
	return nil
}
