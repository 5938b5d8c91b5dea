package httpapi

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// readHeaders reads what a request's headers say beside its key and body.
func (c *call) readHeaders() error {
	h := c.http.Header
	var err error
	if c.origin.Reason, err = label(h, wire.HeaderReason); err != nil {
		return err
	}
	if c.origin.RunID, err = label(h, wire.HeaderRunID); err != nil {
		return err
	}
	if c.origin.IdempotencyKey, err = single(h, wire.HeaderIdempotencyKey, domain.CodeInvalidRequest); err != nil {
		return err
	}
	if given(h, wire.HeaderIdempotencyKey) && !wire.ValidToken(c.origin.IdempotencyKey) {
		return domain.Errorf(domain.CodeInvalidRequest, "%s is 1 to 128 of A-Z a-z 0-9 . _ : -", wire.HeaderIdempotencyKey)
	}
	c.access.Origin = c.origin
	position, err := single(h, wire.HeaderMinPosition, domain.CodeInvalidRequest)
	if err != nil {
		return err
	}
	if given(h, wire.HeaderMinPosition) {
		var ok bool
		if c.minPosition, ok = wire.ParseUint(position); !ok {
			return domain.Errorf(domain.CodeInvalidRequest, "%s is a decimal number", wire.HeaderMinPosition)
		}
	}
	return c.readMatch()
}

// readMatch reads the preconditions. One that a route does not take is
// refused: to ignore it would do what the caller asked not to do.
func (c *call) readMatch() error {
	h := c.http.Header
	if given(h, wire.HeaderIfNoneMatch) {
		tag, err := single(h, wire.HeaderIfNoneMatch, domain.CodePreconditionInvalid)
		if err != nil {
			return err
		}
		if c.route.match != matchCreate || tag != "*" {
			return domain.Errorf(domain.CodePreconditionInvalid, "If-None-Match is taken as * on the creation of a secret alone")
		}
	}
	if !given(h, wire.HeaderIfMatch) {
		return nil
	}
	tag, err := single(h, wire.HeaderIfMatch, domain.CodePreconditionInvalid)
	if err != nil {
		return err
	}
	if c.route.match == matchNone {
		return domain.Errorf(domain.CodePreconditionInvalid, "If-Match is taken by changes of a secret alone")
	}
	c.expect, err = wire.ParseMatch(tag)
	return err
}

func given(h http.Header, name string) bool { return len(h.Values(name)) > 0 }

// single gives a header that may stand once, "" where it does not stand.
func single(h http.Header, name string, code domain.Code) (string, error) {
	values := h.Values(name)
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", domain.Errorf(code, "%s is given more than once", name)
}

// label reads a header that is recorded: valid UTF-8 without control
// characters, cut to its first 256 characters.
func label(h http.Header, name string) (string, error) {
	s, err := single(h, name, domain.CodeInvalidRequest)
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", domain.Errorf(domain.CodeInvalidRequest, "%s is UTF-8 without control characters", name)
	}
	return cut(s), nil
}

// printable is for a header that nobody chooses by hand: what may not be
// recorded is replaced.
func printable(s string) string {
	return cut(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r // Map gives RuneError for a byte that is no UTF-8
	}, s))
}

func cut(s string) string {
	n := 0
	for i := range s {
		if n == domain.MaxHeaderLen {
			return s[:i]
		}
		n++
	}
	return s
}
