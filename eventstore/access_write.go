package eventstore

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

// accessVersion is the only version of an access record that there is.
const accessVersion = "1"

// MaxAccessMessage bounds a message of the access log, in bytes: a tlog-tiles
// entry has at most 65,535.
const MaxAccessMessage = 60 << 10

// maxAccessRecord bounds one record. The limits below keep it.
const maxAccessRecord = 8 << 10

// The longest texts of an access record, in bytes as they are written. None
// that the edge lets in is longer.
const (
	accessWord  = 64   // of a fixed vocabulary, ids with a ULID, addresses
	accessName  = 128  // ids and tokens that clients choose
	accessRoute = 256  // patterns
	accessText  = 1024 // 256 characters
)

// accessLine is an access record as it is written, and what decoding it gives.
// It is used again: this is on the path of every read. Members stand in a fixed
// order without blanks; those that are zero are left out.
//
// An access must be recordable whatever it holds, so nothing is refused here:
// what has no form is replaced, what is too long is cut.
type accessLine struct {
	line   []byte // with a line feed at its end and nowhere else
	access domain.Access
	texts  []accessSpan // of access, as they lie in line
	exact  bool         // every text is in line as it is in access
}

// accessSpan is where a text of an access lies in its line.
type accessSpan struct {
	text     *string
	from, to int
}

// appendAccess appends an access record and a line feed.
func appendAccess(out []byte, a *domain.Access) []byte {
	var l accessLine
	l.write(*a)
	return append(out, l.line...)
}

// write makes the line of an access.
func (l *accessLine) write(access domain.Access) {
	l.access, l.texts, l.exact = access, l.texts[:0], true
	a := &l.access
	a.Time, a.Until = recordTime(a.Time), recordTime(a.Until)
	l.line = append(l.line[:0], `{"v":`+accessVersion...)
	l.time(`,"time":`, a.Time)
	if !a.Until.IsZero() {
		l.time(`,"until":`, a.Until)
	}
	if a.Count > 0 {
		l.line = strconv.AppendUint(append(l.line, `,"count":`...), a.Count, 10)
	}
	l.optional(`,"org":`, (*string)(&a.Org), accessWord)
	l.optional(`,"target":`, (*string)(&a.Target), accessWord)
	if a.Actor != (domain.Actor{}) {
		l.text(`,"actor":{"kind":`, (*string)(&a.Actor.Kind), accessWord)
		l.text(`,"id":`, &a.Actor.ID, accessName)
		l.optional(`,"keyId":`, (*string)(&a.Actor.KeyID), accessWord)
		l.line = append(l.line, '}')
	}
	l.optional(`,"action":`, &a.Action, accessWord)
	l.optional(`,"scope":`, (*string)(&a.Scope.Kind), accessWord)
	l.optional(`,"scopeId":`, &a.Scope.ID, accessName)
	l.optional(`,"secretId":`, (*string)(&a.Secret), accessName)
	l.optional(`,"field":`, (*string)(&a.Field), accessName)
	l.optional(`,"detail":`, &a.Detail, accessText)
	l.optional(`,"outcome":`, (*string)(&a.Outcome), accessWord)
	l.optional(`,"code":`, (*string)(&a.Code), accessWord)
	l.optional(`,"rule":`, (*string)(&a.Rule), accessWord)
	l.optional(`,"method":`, &a.Method, accessWord)
	l.optional(`,"route":`, &a.Route, accessRoute)
	l.optional(`,"requestId":`, &a.Origin.RequestID, accessName)
	l.optional(`,"clientIp":`, &a.Origin.ClientIP, accessWord)
	l.optional(`,"userAgent":`, &a.Origin.UserAgent, accessText)
	l.optional(`,"reason":`, &a.Origin.Reason, accessText)
	l.optional(`,"runId":`, &a.Origin.RunID, accessText)
	l.optional(`,"idempotencyKey":`, &a.Origin.IdempotencyKey, accessName)
	l.optional(`,"traceId":`, &a.TraceID, accessWord)
	l.line = append(l.line, "}\n"...)
}

// record returns what decoding the line gives. text is the line; the record
// shares its memory and none of the access that was written: that may belong to
// a much larger request. It is called once.
func (l *accessLine) record(text string) (domain.Access, error) {
	if !l.exact {
		return decodeAccessRecord(text[:len(text)-1])
	}
	for _, s := range l.texts {
		*s.text = text[s.from:s.to]
	}
	a := l.access
	l.access = domain.Access{}
	return a, nil
}

// recordTime gives the nearest time that a record can hold: UTC, whole
// milliseconds, a year of four digits.
func recordTime(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Millisecond)
	switch {
	case t.Year() < 1:
		return time.Time{}
	case t.Year() > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
	}
	return t
}

func (l *accessLine) time(prefix string, t time.Time) {
	l.line = append(append(l.line, prefix...), '"')
	l.line = append(t.AppendFormat(l.line, timeLayout), '"')
}

func (l *accessLine) optional(prefix string, s *string, limit int) {
	if *s != "" {
		l.text(prefix, s, limit)
	}
}

// text writes a JSON string. A quote and a backslash are the only escapes: an
// ASCII control character, and a byte that is no UTF-8, become U+FFFD.
func (l *accessLine) text(prefix string, s *string, limit int) {
	l.line = append(append(l.line, prefix...), '"')
	from := len(l.line)
	if len(*s) <= limit && plain(*s) {
		l.line = append(l.line, *s...)
		l.texts = append(l.texts, accessSpan{text: s, from: from, to: len(l.line)})
		l.line = append(l.line, '"')
		return
	}
	l.exact = false
	for _, r := range *s {
		size := utf8.RuneLen(r)
		switch {
		case r == '"' || r == '\\':
			size = 2
		case r < 0x20 || r == 0x7f:
			r, size = utf8.RuneError, utf8.RuneLen(utf8.RuneError)
		}
		if len(l.line)+size > from+limit {
			break // cut between two characters
		}
		if r == '"' || r == '\\' {
			l.line = append(l.line, '\\')
		}
		l.line = utf8.AppendRune(l.line, r)
	}
	l.line = append(l.line, '"')
}

// plain says that a text is its own form.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
