package eventstore

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

// accessVersion is the only version of an access record that there is.
const accessVersion = "1"

const (
	// maxAccessMessage bounds a message of the access log: a tlog-tiles entry
	// has at most 65,535 bytes.
	maxAccessMessage = 60 << 10
	// maxAccessRecord bounds one record. The limits below keep it.
	maxAccessRecord = 8 << 10
)

// The longest texts of an access record, in bytes as they are written. None
// that the edge lets in is longer.
const (
	accessWord  = 64   // of a fixed vocabulary, ids with a ULID, addresses
	accessName  = 128  // ids and tokens that clients choose
	accessRoute = 256  // patterns
	accessText  = 1024 // 256 characters
)

// accessWriter writes the one form of an access record into a buffer that is
// used again: this is on the path of every read. Members stand in a fixed
// order without blanks; those that are zero are left out.
//
// An access must be recordable whatever it holds, so nothing is refused here:
// what has no form is replaced, what is too long is cut.
type accessWriter struct{ out []byte }

// appendAccess appends an access record and a line feed. Inside of the record
// there is none.
func appendAccess(out []byte, a *domain.Access) []byte {
	w := accessWriter{out: append(out, `{"v":`+accessVersion...)}
	w.time(`,"time":`, recordTime(a.Time))
	if until := recordTime(a.Until); !until.IsZero() {
		w.time(`,"until":`, until)
	}
	if a.Count > 0 {
		w.out = strconv.AppendUint(append(w.out, `,"count":`...), a.Count, 10)
	}
	w.optional(`,"org":`, string(a.Org), accessWord)
	w.optional(`,"target":`, string(a.Target), accessWord)
	if a.Actor != (domain.Actor{}) {
		w.text(`,"actor":{"kind":`, string(a.Actor.Kind), accessWord)
		w.text(`,"id":`, a.Actor.ID, accessName)
		w.optional(`,"keyId":`, string(a.Actor.KeyID), accessWord)
		w.out = append(w.out, '}')
	}
	w.optional(`,"action":`, a.Action, accessWord)
	w.optional(`,"scope":`, string(a.Scope.Kind), accessWord)
	w.optional(`,"scopeId":`, a.Scope.ID, accessName)
	w.optional(`,"secretId":`, string(a.Secret), accessName)
	w.optional(`,"field":`, string(a.Field), accessName)
	w.optional(`,"detail":`, a.Detail, accessText)
	w.optional(`,"outcome":`, string(a.Outcome), accessWord)
	w.optional(`,"code":`, string(a.Code), accessWord)
	w.optional(`,"rule":`, string(a.Rule), accessWord)
	w.optional(`,"method":`, a.Method, accessWord)
	w.optional(`,"route":`, a.Route, accessRoute)
	w.optional(`,"requestId":`, a.Origin.RequestID, accessName)
	w.optional(`,"clientIp":`, a.Origin.ClientIP, accessWord)
	w.optional(`,"userAgent":`, a.Origin.UserAgent, accessText)
	w.optional(`,"reason":`, a.Origin.Reason, accessText)
	w.optional(`,"runId":`, a.Origin.RunID, accessText)
	w.optional(`,"idempotencyKey":`, a.Origin.IdempotencyKey, accessName)
	w.optional(`,"traceId":`, a.TraceID, accessWord)
	return append(w.out, "}\n"...)
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

func (w *accessWriter) time(prefix string, t time.Time) {
	w.out = append(append(w.out, prefix...), '"')
	w.out = append(t.AppendFormat(w.out, timeLayout), '"')
}

func (w *accessWriter) optional(prefix, s string, limit int) {
	if s != "" {
		w.text(prefix, s, limit)
	}
}

// text writes a JSON string. A quote and a backslash are the only escapes: an
// ASCII control character, and a byte that is no UTF-8, become U+FFFD.
func (w *accessWriter) text(prefix, s string, limit int) {
	w.out = append(append(w.out, prefix...), '"')
	if len(s) <= limit && plain(s) {
		w.out = append(append(w.out, s...), '"')
		return
	}
	end := len(w.out) + limit
	for _, r := range s {
		size := utf8.RuneLen(r)
		switch {
		case r == '"' || r == '\\':
			size = 2
		case r < 0x20 || r == 0x7f:
			r, size = utf8.RuneError, utf8.RuneLen(utf8.RuneError)
		}
		if len(w.out)+size > end {
			break // cut between two characters
		}
		if r == '"' || r == '\\' {
			w.out = append(w.out, '\\')
		}
		w.out = utf8.AppendRune(w.out, r)
	}
	w.out = append(w.out, '"')
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
