package wire

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Value is a text that never prints: a plaintext value, a data key, an API
// key. It goes over the wire as a JSON string. string(v) reveals it.
type Value string

// String gives [domain.Redacted].
func (Value) String() string { return domain.Redacted }

// GoString gives [domain.Redacted].
func (Value) GoString() string { return domain.Redacted }

// LogValue gives [domain.Redacted].
func (Value) LogValue() slog.Value { return slog.StringValue(domain.Redacted) }

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is a point in time as the contract writes it: RFC 3339, UTC,
// milliseconds.
type Time struct{ time.Time }

// NewTime gives t in UTC, cut to milliseconds.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// TimeOrNil gives nil for the zero time.
func TimeOrNil(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	w := NewTime(t)
	return &w
}

// String gives the text that goes over the wire.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON implements json.Marshaler; without it the embedded time's own
// would be used.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalText accepts what [ParseTime] accepts.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := ParseTime(string(text))
	*t = parsed
	return err
}

// UnmarshalJSON accepts a string that [ParseTime] accepts, and leaves t as
// it is on null.
func (t *Time) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	s := string(text)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return errTime()
	}
	return t.UnmarshalText([]byte(s[1 : len(s)-1]))
}

func errTime() error {
	return domain.Errorf(domain.CodeInvalidRequest, "a time is RFC 3339 in UTC, like 2026-01-31T12:00:00.000Z")
}

// ParseTime accepts RFC 3339 in UTC, written with T and Z, with 0 to 9
// digits of fraction; what is finer than a millisecond is cut off. Anything
// else is invalid_request.
func ParseTime(s string) (Time, error) {
	// time.Parse takes a comma for the point and one-digit hours: look first.
	const whole = len("2006-01-02T15:04:05")
	if len(s) <= whole || s[len(s)-1] != 'Z' || s[10] != 'T' || s[13] != ':' {
		return Time{}, errTime()
	}
	if fraction := s[whole : len(s)-1]; fraction != "" {
		digits, ok := strings.CutPrefix(fraction, ".")
		if !ok || digits == "" || len(digits) > 9 {
			return Time{}, errTime()
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return Time{}, errTime()
	}
	return NewTime(t), nil
}

// decodeBase64 accepts standard base64 (RFC 4648, section 4) with padding,
// canonical only: no line break, no other encoding of the same bytes.
func decodeBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") { // the decoder would skip them
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}
