package wire

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

// scanner reads the tokens of a JSON text (RFC 8259) that is valid UTF-8.
type scanner struct {
	data  []byte
	pos   int
	depth int
}

// syntax is the error of a text that is not JSON at the current place.
func (s *scanner) syntax(detail string) error {
	return domain.Errorf(domain.CodeInvalidJSON, "%s (byte %d)", detail, s.pos)
}

func (s *scanner) blanks() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// peek gives the next byte, 0 at the end. A zero byte starts nothing either.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.pos >= len(s.data) {
		return false
	}
	s.pos++
	return true
}

// list reads what stands between two brackets, an item at a time.
func (s *scanner) list(first, last byte, item func(i int) error) error {
	if s.depth++; s.depth > maxDepth {
		return s.syntax("the JSON nests too deep")
	}
	defer func() { s.depth-- }()
	s.take(first)
	if s.blanks(); s.take(last) {
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		s.blanks()
		switch {
		case s.take(last):
			return nil
		case !s.take(','):
			return s.syntax("a comma or the closing bracket belongs here")
		}
	}
}

// word reads true, false or null.
func (s *scanner) word() (string, error) {
	for _, w := range [...]string{"true", "false", "null"} {
		if len(s.data)-s.pos >= len(w) && string(s.data[s.pos:s.pos+len(w)]) == w {
			s.pos += len(w)
			return w, nil
		}
	}
	return "", s.syntax("a JSON value belongs here")
}

// number reads a number and gives it as it is written.
func (s *scanner) number() (string, error) {
	start := s.pos
	s.take('-')
	if !s.take('0') && !s.digits() {
		return "", s.syntax("a digit belongs here")
	}
	if s.take('.') && !s.digits() {
		return "", s.syntax("a digit belongs here")
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return "", s.syntax("a digit belongs here")
		}
	}
	return string(s.data[start:s.pos]), nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > start
}

// text reads a string and gives what it means.
func (s *scanner) text() (string, error) {
	s.take('"')
	start := s.pos
	for s.pos < len(s.data) { // without escapes it is as it stands
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return string(s.data[start : s.pos-1]), nil
		case c == '\\':
			return s.escaped(append([]byte(nil), s.data[start:s.pos]...))
		case c < ' ':
			return "", s.syntax("a control character in a string is written as an escape")
		}
		s.pos++
	}
	return "", s.syntax("the string does not end")
}

// escaped goes on with a string from its first escape; out is what came
// before.
func (s *scanner) escaped(out []byte) (string, error) {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		switch {
		case c < ' ':
			return "", s.syntax("a control character in a string is written as an escape")
		case c == '"':
			s.pos++
			return string(out), nil
		case c != '\\':
			out = append(out, c)
			s.pos++
			continue
		}
		s.pos++
		if s.peek() == 'u' {
			r, err := s.unicode()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		meant, ok := meaning(s.peek())
		if !ok {
			return "", s.syntax("there is no such escape")
		}
		out = append(out, meant)
		s.pos++
	}
	return "", s.syntax("the string does not end")
}

func meaning(c byte) (byte, bool) {
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	}
	return 0, false
}

// unicode reads uXXXX, or both halves of a surrogate pair. A half alone is
// no character (RFC 7493, section 2.1).
func (s *scanner) unicode() (rune, error) {
	r, ok := s.hex4()
	if !ok {
		return 0, s.syntax("four hexadecimal digits belong here")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if s.take('\\') {
		if low, ok := s.hex4(); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				return full, nil
			}
		}
	}
	return 0, s.syntax("a surrogate stands alone")
}

// hex4 reads u and four hexadecimal digits.
func (s *scanner) hex4() (rune, bool) {
	if !s.take('u') || len(s.data)-s.pos < 4 {
		return 0, false
	}
	digits := s.data[s.pos : s.pos+4]
	for _, c := range digits { // ParseUint would take a sign or an underscore
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(digits), 16, 16)
	s.pos += 4
	return rune(n), err == nil
}
