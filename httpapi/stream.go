package httpapi

import (
	"io"
	"log/slog"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// stallLimit is how long one write of a stream waits for a reader.
const stallLimit = 60 * time.Second

// stream writes an answer of unknown length. What fails before the first byte
// is answered as any failure; behind it the connection is broken, so that
// half a stream is never taken for a whole one.
func (s *Server) stream(c echo.Context, a answer) error {
	w := newStreamWriter(c.Response())
	defer w.close()
	header := c.Response().Header()
	header.Set("Content-Type", a.contentType)
	if a.filename != "" {
		header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.filename}))
	}
	err := a.stream(w)
	switch {
	case err == nil:
		if !c.Response().Committed {
			c.Response().WriteHeader(http.StatusOK)
		}
		return nil
	case !c.Response().Committed:
		header.Del("Content-Disposition")
		return err
	}
	s.config.Logger.WarnContext(c.Request().Context(), "a stream was cut off",
		slog.String("requestId", requestID(c)), slog.String("route", routeName(c)), slog.Any("error", err))
	panic(http.ErrAbortHandler)
}

// streamWriter lets a stream last as long as its reader goes on reading: the
// server's own limit is for the whole answer. It is for one goroutine.
type streamWriter struct {
	w       io.Writer
	control *http.ResponseController
	limit   time.Duration
	stalled *time.Timer

	mu     sync.Mutex
	closed bool // the connection is not this stream's any more
	failed bool // a write waited for too long
}

func newStreamWriter(r *echo.Response) *streamWriter { return newStreamWriterWithin(r, stallLimit) }

// newStreamWriterWithin lets each write wait for at most the limit.
func newStreamWriterWithin(r http.ResponseWriter, limit time.Duration) *streamWriter {
	w := &streamWriter{w: r, control: http.NewResponseController(r), limit: limit}
	_ = w.control.SetWriteDeadline(time.Time{}) // a connection without deadlines needs none
	w.stalled = time.AfterFunc(limit, w.giveUp)
	w.stalled.Stop()
	return w
}

// Write implements [io.Writer].
func (w *streamWriter) Write(p []byte) (int, error) {
	w.stalled.Reset(w.limit)
	defer w.stalled.Stop()
	return w.w.Write(p)
}

// flush sends what was written, within the same limit.
func (w *streamWriter) flush() error {
	w.stalled.Reset(w.limit)
	defer w.stalled.Stop()
	return w.control.Flush()
}

// gaveUp says that a write waited for too long.
func (w *streamWriter) gaveUp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// giveUp fails the write that is waiting.
func (w *streamWriter) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.failed = true
		_ = w.control.SetWriteDeadline(time.Unix(1, 0)) // as above
	}
}

func (w *streamWriter) close() {
	w.stalled.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}
