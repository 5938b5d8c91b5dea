package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/chancery-dev/chancery/httpapi/wire"
)

// answer is what a handler gives back for a success.
type answer struct {
	status int // 0 means 200
	// data and page are encoded as a [wire.Response].
	data any
	page *wire.Page
	// items are data that is encoded already.
	items *items
	// secret is a body that is encoded already and cleared once written.
	secret []byte
	// raw is a body that is no JSON, of contentType.
	raw         []byte
	contentType string
	// stream writes a body of contentType, to be saved under filename.
	stream   func(w io.Writer) error
	filename string
	// show answers by itself.
	show http.Handler
	// version is the secret's, for the ETag; 0 for none.
	version uint64
	// position is that of a write; 0 for none.
	position uint64
}

// success is an answer without a version or a position.
func success(data any) answer { return answer{data: data} }

func (s *Server) answer(c echo.Context, a answer) error {
	if a.show != nil {
		a.show.ServeHTTP(c.Response(), c.Request())
		return nil
	}
	if a.stream != nil {
		return s.stream(c, a)
	}
	header := c.Response().Header()
	if a.contentType != "" {
		header.Set("Content-Type", a.contentType)
		s.send(c, http.StatusOK, a.raw)
		return nil
	}
	body := a.secret
	if a.items != nil {
		defer s.release(a.items.buffer)
		body = a.items.end(a.page)
	} else if data, ok := a.data.(wire.Appender); ok {
		b := s.newBuffer()
		defer s.release(b)
		b.text = endResponse(data.AppendJSON(append(b.text, beginResponse...)), a.page)
		body = b.text
	} else if body == nil {
		var err error
		if body, err = encodeJSON(wire.Response[any]{Data: a.data, Page: a.page}); err != nil {
			return err
		}
	}
	header.Set("Content-Type", wire.ContentJSON)
	if a.version > 0 {
		header.Set(wire.HeaderETag, wire.ETag(a.version))
	}
	if a.position > 0 {
		header.Set(wire.HeaderPosition, strconv.FormatUint(a.position, 10))
	}
	s.send(c, max(a.status, http.StatusOK), body)
	clear(a.secret)
	return nil
}

// beginResponse and endResponse stand around data: together they are what
// encodeJSON would write of a [wire.Response].
const beginResponse = `{"data":`

func endResponse(b []byte, page *wire.Page) []byte {
	if page != nil {
		b = wire.AppendText(append(b, `,"page":{"nextCursor":`...), page.NextCursor)
		b = append(b, '}')
	}
	return append(b, "}\n"...)
}

// encodeJSON leaves <, > and & as they are: nothing of ours is read as HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("httpapi: encode an answer: %w", err)
	}
	return b.Bytes(), nil
}
