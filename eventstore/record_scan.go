package eventstore

import (
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// parsed checks a member's text; an absent one (which is "") stays zero.
func parsed[T any](r *recordReader, s string, parse func(string) (T, error)) T {
	var zero T
	if s == "" || r.fault != nil {
		return zero
	}
	v, err := parse(s)
	if err != nil {
		r.fail(errForm)
		return zero
	}
	return v
}

func (r *recordReader) fail(err error) {
	if r.fault == nil {
		r.fault = err
	}
	r.rest = ""
}

func (r *recordReader) skip(s string) bool {
	rest, ok := strings.CutPrefix(r.rest, s)
	if ok {
		r.rest = rest
	}
	return ok
}

func (r *recordReader) literal(s string) {
	if !r.skip(s) {
		r.fail(errForm)
	}
}

// more reads what follows an element of a list: a comma, or its end.
func (r *recordReader) more(end byte) bool {
	if r.skip(`,`) {
		return true
	}
	r.literal(string(end))
	return false
}

func (r *recordReader) list() []string {
	if r.skip(`]`) {
		return nil
	}
	var l []string
	for more := true; more; more = r.more(']') {
		l = append(l, r.text(``))
	}
	return l
}

// optional reads a member that is left out when it is empty.
func (r *recordReader) optional(prefix string) string {
	if !r.skip(prefix) {
		return ""
	}
	s := r.text(``)
	if s == "" {
		r.fail(errForm)
	}
	return s
}

func (r *recordReader) text(prefix string) string {
	r.literal(prefix)
	r.literal(`"`)
	for i := 0; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.rest[:i]
			r.rest = r.rest[i+1:]
			return s
		case c == '\\':
			return r.unescape(i)
		case escaped(c):
			r.fail(errForm)
			return ""
		}
	}
	r.fail(errForm)
	return ""
}

// unescape reads the rest of a string whose first escape is at i.
func (r *recordReader) unescape(i int) string {
	var b strings.Builder
	for b.WriteString(r.rest[:i]); i < len(r.rest); {
		c := r.rest[i]
		switch {
		case c == '"':
			r.rest = r.rest[i+1:]
			return b.String()
		case c != '\\':
			if escaped(c) {
				r.fail(errForm)
				return ""
			}
			b.WriteByte(c)
			i++
		default:
			decoded, n := unescapeByte(r.rest[i:])
			if n == 0 {
				r.fail(errForm)
				return ""
			}
			b.WriteByte(decoded)
			i += n
		}
	}
	r.fail(errForm)
	return ""
}

// unescapeByte reads one escape as recordWriter.text writes it and gives its
// length, 0 for any other.
func unescapeByte(s string) (c byte, n int) {
	if len(s) >= 2 && (s[1] == '"' || s[1] == '\\') {
		return s[1], 2
	}
	if len(s) < 6 || s[:4] != `\u00` {
		return 0, 0
	}
	high, low := strings.IndexByte(hexDigits, s[4]), strings.IndexByte(hexDigits, s[5])
	if high < 0 || low < 0 {
		return 0, 0
	}
	c = byte(high<<4 | low) //nolint:gosec // both are below 16.
	if !escaped(c) || c == '"' || c == '\\' {
		return 0, 0
	}
	return c, 6
}

func (r *recordReader) uint(prefix string) uint64 {
	r.literal(prefix)
	n := 0
	for n < len(r.rest) && '0' <= r.rest[n] && r.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(r.rest[:n], 10, 64)
	if err != nil || v == 0 || r.rest[0] == '0' {
		r.fail(errForm)
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *recordReader) ulid(prefix string) ulid.ULID {
	s := r.text(prefix)
	u, err := ulid.ParseStrict(s)
	var canonical [ulid.EncodedSize]byte
	if err != nil || u.MarshalTextTo(canonical[:]) != nil || string(canonical[:]) != s {
		r.fail(errForm)
	}
	return u
}

func (r *recordReader) time(prefix string) time.Time {
	s := r.text(prefix)
	if !inTimeLayout(s) {
		r.fail(errForm)
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.fail(errForm)
	}
	return t
}

// inTimeLayout says whether a text has the width and the marks of timeLayout,
// which leaves RFC 3339 no choice: every member then has its full width.
func inTimeLayout(s string) bool {
	return len(s) == len(timeLayout) && s[4] == '-' && s[7] == '-' && s[10] == 'T' &&
		s[13] == ':' && s[16] == ':' && s[19] == '.' && s[23] == 'Z'
}

func (r *recordReader) hash(prefix string, h *[32]byte) {
	if !domain.DecodeHex(h[:], r.text(prefix)) {
		r.fail(errForm)
	}
}
