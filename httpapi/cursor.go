package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

const (
	cursorVersion = 1
	cursorSumLen  = 12
)

// page is where a list goes on and how much of it is wanted.
type page struct {
	after string
	limit int
	bound []byte
}

// page reads limit and cursor. A cursor belongs to the path and the filters
// of the list that it came from; it holds no rights, which are asked anew.
func (c *call) page(limit int, filters ...string) (page, error) {
	limit, err := c.limitParam(limit)
	if err != nil {
		return page{}, err
	}
	p := page{limit: limit, bound: c.boundTo(filters)}
	if !c.query.Has(paramCursor) {
		return p, nil
	}
	after, ok := p.open(c.query.Get(paramCursor))
	if !ok {
		return page{}, errCursor()
	}
	p.after = after
	return p, nil
}

func errCursor() error {
	return domain.Errorf(domain.CodeInvalidCursor, "the cursor does not belong to this list")
}

// boundTo hashes what a cursor belongs to.
func (c *call) boundTo(filters []string) []byte {
	h := sha256.New()
	for _, part := range append([]string{"chancery/cursor/v1", c.http.URL.Path}, filters...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// next gives the page object of a list that goes on behind after, nil where
// it ends.
func (p page) next(after string) *wire.Page {
	if after == "" {
		return nil
	}
	text := append([]byte{cursorVersion}, p.sum(after)...)
	return &wire.Page{NextCursor: base64.RawURLEncoding.EncodeToString(append(text, after...))}
}

// open reads a cursor that next made for the same list.
func (p page) open(cursor string) (after string, ok bool) {
	if len(cursor) > wire.MaxCursor {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) <= 1+cursorSumLen || b[0] != cursorVersion {
		return "", false
	}
	after = string(b[1+cursorSumLen:])
	return after, string(b[1:1+cursorSumLen]) == string(p.sum(after))
}

// sum makes a cursor that was not given out, or was given out for another
// list, fail. It keeps nobody from making one: there is nothing to gain.
func (p page) sum(after string) []byte {
	sum := sha256.Sum256(append(p.bound[:len(p.bound):len(p.bound)], after...))
	return sum[:cursorSumLen]
}
