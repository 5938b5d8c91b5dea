package eventstore

import (
	"bytes"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

var (
	errAccessSize  = errors.New("the message is empty or too long for one of the access log")
	errAccessIndex = errors.New("the message does not have that many records")
)

// DecodeAccess gives the records of a message of the access log, in their
// order. ErrCorrupt: the bytes are not exactly what this package writes. The
// records share memory among themselves, not with raw.
func DecodeAccess(raw []byte) ([]domain.Access, error) {
	records, err := decodeAccess(raw)
	if err != nil {
		return nil, &CorruptError{Reason: err.Error()}
	}
	return records, nil
}

// AccessAt gives one record of a message, the first being at index 0, and
// looks at no other one. ErrCorrupt: it is not there, or not exactly what this
// package writes.
func AccessAt(raw []byte, index int) (domain.Access, error) {
	for ; index > 0 && len(raw) > 0; index-- {
		_, raw, _ = bytes.Cut(raw, []byte{'\n'})
	}
	line, _, ended := bytes.Cut(raw, []byte{'\n'})
	if index != 0 || !ended {
		return domain.Access{}, &CorruptError{Reason: errAccessIndex.Error()}
	}
	a, err := decodeAccessRecord(string(line))
	if err != nil {
		return domain.Access{}, &CorruptError{Reason: err.Error()}
	}
	return a, nil
}

func decodeAccess(raw []byte) ([]domain.Access, error) {
	if len(raw) == 0 || len(raw) > MaxAccessMessage {
		return nil, errAccessSize
	}
	records := make([]domain.Access, 0, bytes.Count(raw, []byte{'\n'}))
	for rest := string(raw); rest != ""; {
		line, next, ended := strings.Cut(rest, "\n")
		if !ended {
			return nil, errForm
		}
		a, err := decodeAccessRecord(line)
		if err != nil {
			return nil, err
		}
		records, rest = append(records, a), next
	}
	return records, nil
}

// accessReader reads the one form of an access record and nothing else. It is
// used as a recordReader is, and knows other texts.
type accessReader struct{ recordReader }

// decodeAccessRecord is the inverse of appendAccess, without the line feed.
// The result shares memory with s.
func decodeAccessRecord(s string) (domain.Access, error) {
	if !utf8.ValidString(s) {
		return domain.Access{}, errForm
	}
	r := accessReader{recordReader{rest: s}}
	r.literal(`{"v":`)
	if !r.skip(accessVersion + `,`) {
		r.fail(errVersion)
	}
	a := domain.Access{Time: r.time(`"time":`)}
	if strings.HasPrefix(r.rest, `,"until":`) {
		if a.Until = r.time(`,"until":`); a.Until.IsZero() {
			r.fail(errForm)
		}
	}
	if strings.HasPrefix(r.rest, `,"count":`) {
		a.Count = r.uint(`,"count":`)
	}
	a.Org = domain.OrgID(r.optional(`,"org":`, accessWord))
	a.Target = domain.OrgID(r.optional(`,"target":`, accessWord))
	if r.skip(`,"actor":{"kind":`) {
		a.Actor = r.actor()
	}
	a.Action = r.optional(`,"action":`, accessWord)
	a.Scope.Kind = domain.ScopeKind(r.optional(`,"scope":`, accessWord))
	a.Scope.ID = r.optional(`,"scopeId":`, accessName)
	a.Secret = domain.SecretID(r.optional(`,"secretId":`, accessName))
	a.Field = domain.FieldKey(r.optional(`,"field":`, accessName))
	a.Detail = r.optional(`,"detail":`, accessText)
	a.Outcome = domain.Outcome(r.optional(`,"outcome":`, accessWord))
	a.Code = domain.Code(r.optional(`,"code":`, accessWord))
	a.Rule = domain.Rule(r.optional(`,"rule":`, accessWord))
	a.Method = r.optional(`,"method":`, accessWord)
	a.Route = r.optional(`,"route":`, accessRoute)
	a.Origin = domain.Origin{
		RequestID:      r.optional(`,"requestId":`, accessName),
		ClientIP:       r.optional(`,"clientIp":`, accessWord),
		UserAgent:      r.optional(`,"userAgent":`, accessText),
		Reason:         r.optional(`,"reason":`, accessText),
		RunID:          r.optional(`,"runId":`, accessText),
		IdempotencyKey: r.optional(`,"idempotencyKey":`, accessName),
	}
	a.TraceID = r.optional(`,"traceId":`, accessWord)
	r.literal(`}`)
	if r.rest != "" {
		r.fail(errForm)
	}
	if r.fault != nil {
		return domain.Access{}, r.fault
	}
	return a, nil
}

func (r *accessReader) actor() domain.Actor {
	var a domain.Actor
	a.Kind = domain.ActorKind(r.text(accessWord))
	r.literal(`,"id":`)
	a.ID = r.text(accessName)
	a.KeyID = domain.APIKeyID(r.optional(`,"keyId":`, accessWord))
	r.literal(`}`)
	if a == (domain.Actor{}) {
		r.fail(errForm)
	}
	return a
}

func (r *accessReader) time(prefix string) time.Time {
	t := r.recordReader.time(prefix)
	if t.Year() < 1 {
		r.fail(errForm)
	}
	return t
}

func (r *accessReader) optional(prefix string, limit int) string {
	if !r.skip(prefix) {
		return ""
	}
	s := r.text(limit)
	if s == "" {
		r.fail(errForm)
	}
	return s
}

// text reads a string as accessWriter.text writes it.
func (r *accessReader) text(limit int) string {
	r.literal(`"`)
	escapes := 0
	for i := 0; i < len(r.rest) && i <= limit; i++ {
		switch c := r.rest[i]; {
		case c == '"':
			s := r.rest[:i]
			r.rest = r.rest[i+1:]
			if escapes > 0 {
				s = unescapeText(s, escapes)
			}
			return s
		case c == '\\':
			i++
			if escapes++; i == len(r.rest) || r.rest[i] != '"' && r.rest[i] != '\\' {
				r.fail(errForm)
				return ""
			}
		case escaped(c):
			r.fail(errForm)
			return ""
		}
	}
	r.fail(errForm)
	return ""
}

// unescapeText takes the backslashes out of a text that is known to be whole.
func unescapeText(s string, escapes int) string {
	out := make([]byte, 0, len(s)-escapes)
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}
