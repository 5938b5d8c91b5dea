package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// routeKey is where serve leaves its route for the metrics.
const routeKey = "chancery.route"

// everyHeader stands in every response. The names are canonical, as those of
// an [http.Header], and the values shared by all.
var everyHeader = [...]struct {
	name   string
	values []string
}{
	{"Cache-Control", []string{"no-store"}},
	{"X-Content-Type-Options", []string{"nosniff"}},
	{"Referrer-Policy", []string{"no-referrer"}},
	{"Cross-Origin-Resource-Policy", []string{"same-origin"}},
	{"Content-Security-Policy", []string{"default-src 'none'; frame-ancestors 'none'"}},
}

// outermost is around every request, also those that match no route: it sets
// the headers of every response, turns errors and panics into problems, and
// counts.
func (s *Server) outermost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := s.config.Now()
		header := c.Response().Header()
		for _, h := range everyHeader {
			header[h.name] = h.values
		}
		if c.IsTLS() {
			header.Set("Strict-Transport-Security", "max-age=31536000")
		}
		code := string(domain.CodeInternal) // of a connection that is broken off
		defer func() { s.metrics.observe(c, code, s.config.Now().Sub(start)) }()
		err := s.guarded(c, next)
		code = ""
		if err != nil {
			code = string(s.fail(c, err))
		}
		return nil
	}
}

// errPanic is what becomes of a panic.
var errPanic = errors.New("httpapi: a handler panicked")

// guarded runs the handler; a panic becomes an error. What was panicked with
// is not shown anywhere, since it could hold a value: its type is logged, and
// where it happened. The runtime's own rendering of a stack shows arguments.
func (s *Server) guarded(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if e, ok := p.(error); ok && errors.Is(e, http.ErrAbortHandler) {
			panic(p) // net/http's own way to end a connection
		}
		s.config.Logger.ErrorContext(c.Request().Context(), "a handler panicked",
			slog.String("requestId", requestID(c)), slog.String("type", fmt.Sprintf("%T", p)), slog.String("stack", callers()))
		err = errPanic
	}()
	id, err := s.chooseRequestID(c.Request())
	c.Response().Header().Set(wire.HeaderRequestID, id)
	if err != nil {
		return err
	}
	if c.Request().Method == http.MethodOptions { // echo would answer it
		if c.Get(echo.ContextKeyHeaderAllow) == nil {
			return echo.ErrNotFound
		}
		return echo.ErrMethodNotAllowed
	}
	return next(c)
}

// callers names the functions and lines that led to a panic, without
// arguments.
func callers() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var b strings.Builder
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Fprintf(&b, "%s %s:%d\n", f.Function, f.File, f.Line)
	}
	return b.String()
}

// requestID gives the id under which a request is answered and logged.
func requestID(c echo.Context) string { return c.Response().Header().Get(wire.HeaderRequestID) }

// chooseRequestID takes the client's id if it is well-formed, else a new one.
func (s *Server) chooseRequestID(r *http.Request) (string, error) {
	if given := r.Header.Values(wire.HeaderRequestID); len(given) == 1 && wire.ValidToken(given[0]) {
		return given[0], nil
	}
	return s.newID("req_")
}

// fail answers with an error's problem and gives its code. It is the one
// place where errors become answers.
func (s *Server) fail(c echo.Context, err error) domain.Code {
	err = s.refusal(c, err)
	p := wire.NewProblem(err, requestID(c))
	header := c.Response().Header()
	switch p.Status {
	case http.StatusMethodNotAllowed:
		if allow, ok := c.Get(echo.ContextKeyHeaderAllow).(string); ok {
			header.Set("Allow", strings.TrimPrefix(allow, "OPTIONS, "))
		}
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="chancery"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set(wire.HeaderRetryAfter, strconv.Itoa(retryAfter(err)))
	}
	if c.Response().Committed {
		return p.Code // an answer was cut off; there is no second one
	}
	body, err := encodeJSON(p)
	if err != nil {
		s.config.Logger.ErrorContext(c.Request().Context(), "a problem could not be encoded", slog.String("requestId", p.Instance))
	}
	header.Set("Content-Type", wire.ContentProblem)
	s.send(c, p.Status, body)
	return p.Code
}

// refusal gives what the caller may be told of an error, and logs what it may
// not.
func (s *Server) refusal(c echo.Context, err error) error {
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Code != domain.CodeInternal {
		return e
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return domain.Errorf(domain.CodeRouteNotFound, "there is no such route")
		case http.StatusMethodNotAllowed:
			return domain.Errorf(domain.CodeMethodNotAllowed, "the route does not have this method")
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return domain.Errorf(domain.CodeUnavailable, "the request was given up before it was answered")
	}
	s.config.Logger.ErrorContext(c.Request().Context(), "a request failed",
		slog.String("requestId", requestID(c)), slog.String("method", c.Request().Method), slog.String("route", routeName(c)), slog.Any("error", err))
	return err
}

// retryAfter gives the whole seconds of an error's advice, at least 1.
func retryAfter(err error) int {
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || e.RetryAfter <= time.Second {
		return 1
	}
	return int((e.RetryAfter + time.Second - 1) / time.Second)
}

// countedByServer is how long a body may be whose length net/http finds out by
// itself: one header less is copied.
const countedByServer = 2 << 10

// send writes an answer. That the client has gone is no fault of ours.
func (s *Server) send(c echo.Context, status int, body []byte) {
	if len(body) > countedByServer {
		c.Response().Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.Response().WriteHeader(status)
	if _, err := c.Response().Write(body); err != nil {
		s.config.Logger.DebugContext(c.Request().Context(), "an answer was not taken", slog.String("requestId", requestID(c)))
	}
}
