package httpapi

import "github.com/chancery-dev/chancery/httpapi/wire"

// maxPooled is the largest buffer that is kept for another answer.
const maxPooled = 256 << 10

// buffer is where an answer is encoded. Its memory serves one answer after
// another.
type buffer struct{ text []byte }

func (s *Server) newBuffer() *buffer {
	if b, ok := s.buffers.Get().(*buffer); ok {
		return b
	}
	return &buffer{}
}

// release gives a buffer to another answer. It may have held values.
func (s *Server) release(b *buffer) {
	clear(b.text)
	if b.text = b.text[:0]; cap(b.text) <= maxPooled {
		s.buffers.Put(b)
	}
}

// items are the data of a page, each encoded as soon as it is read, so that
// none of them has to be kept.
type items struct {
	*buffer
	begun bool
}

// newItems begins a page of an answer.
func (s *Server) newItems() *items {
	i := &items{buffer: s.newBuffer()}
	i.text = append(i.text, beginResponse...)
	return i
}

// next gives the text behind which the next item is to be appended.
func (i *items) next() []byte {
	if i.begun {
		return append(i.text, ',')
	}
	i.begun = true
	return append(i.text, '[')
}

// end gives the whole answer.
func (i *items) end(page *wire.Page) []byte {
	if !i.begun {
		i.text = append(i.text, '[')
	}
	i.text = endResponse(append(i.text, ']'), page)
	return i.text
}
