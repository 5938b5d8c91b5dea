package eventstore

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

// recordVersion is the only version of a record's data that there is.
const recordVersion = "1"

// timeLayout is RFC 3339 in UTC with exactly three digits of milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// record is a record's content: everything that is known of an event without
// its body.
type record struct {
	domain.Record
	bodyHash [32]byte
}

// recordWriter writes the one form of a record. It does not use encoding/json,
// because that may change what it writes from one release to the next, and
// these bytes are for ever. Members stand in a fixed order without blanks;
// those that are empty are left out. fault names the first member that has no
// JSON form.
type recordWriter struct {
	out   []byte
	fault string
}

// encodeRecord gives the record's JSON, or ErrRefused.
func encodeRecord(r record) ([]byte, error) {
	w := recordWriter{out: make([]byte, 0, 1024)}
	w.raw(`{"specversion":"1.0"`)
	w.text(`,"id":`, r.ID.String())
	w.raw(`,"source":"chancery"`)
	w.text(`,"type":`, string(r.Type))
	w.text(`,"subject":`, r.Stream.Subject())
	w.time(`,"time":`, r.Time)
	w.raw(`,"datacontenttype":"application/json","data":{"v":` + recordVersion)
	w.text(`,"org":`, string(r.Stream.Organization()))
	w.details(r)
	o := r.Origin
	w.optional(`,"requestId":`, o.RequestID)
	w.optional(`,"clientIp":`, o.ClientIP)
	w.optional(`,"userAgent":`, o.UserAgent)
	w.optional(`,"reason":`, o.Reason)
	w.optional(`,"runId":`, o.RunID)
	w.optional(`,"idempotencyKey":`, o.IdempotencyKey)
	w.text(`,"bodyHash":`, hex.EncodeToString(r.bodyHash[:]))
	w.directory(r.Details)
	w.raw(`}}`)
	if w.fault != "" {
		return nil, refusedf("%s has no form in a record", w.fault)
	}
	if len(w.out) > maxRecordLen {
		return nil, refusedf("its record has %d bytes, more than %d", len(w.out), maxRecordLen)
	}
	return w.out, nil
}

func (w *recordWriter) details(r record) {
	d := r.Details
	w.optional(`,"scope":`, string(d.Scope.Kind))
	w.optional(`,"scopeId":`, d.Scope.ID)
	w.optional(`,"secretId":`, string(d.SecretID))
	w.raw(`,"version":`)
	w.out = strconv.AppendUint(w.out, r.Version, 10)
	for i, k := range d.KekIDs {
		w.text(listed(i, `,"kekIds":[`), k.String())
	}
	w.end(len(d.KekIDs), `]`)
	w.text(`,"actor":{"kind":`, string(r.Actor.Kind))
	w.text(`,"id":`, r.Actor.ID)
	w.optional(`,"keyId":`, string(r.Actor.KeyID))
	w.raw(`}`)
	for i, f := range d.Fields {
		w.text(listed(i, `,"fields":[`)+`{"key":`, string(f.Key))
		w.text(`,"sensitivity":`, string(f.Sensitivity))
		if !f.DekID.IsZero() {
			w.text(`,"dekId":`, f.DekID.String())
		}
		w.raw(`}`)
	}
	w.end(len(d.Fields), `]`)
	w.changes(d.Changes)
}

func (w *recordWriter) changes(c domain.Changes) {
	members := 0
	if c.Name != nil {
		w.change(listed(members, `,"changes":{`)+`"name":`, c.Name)
		members++
	}
	if c.Category != nil {
		w.change(listed(members, `,"changes":{`)+`"category":`, c.Category)
		members++
	}
	if c.Tags != nil {
		w.raw(listed(members, `,"changes":{`) + `"tags":{`)
		if c.Tags.From != nil {
			w.list(`"from":[`, *c.Tags.From)
			w.raw(`,`)
		}
		w.list(`"to":[`, c.Tags.To)
		w.raw(`}`)
		members++
	}
	if c.RotateEvery != nil {
		w.raw(listed(members, `,"changes":{`) + `"rotateEvery":`)
		removable(w, c.RotateEvery, c.RotateEvery.To == 0, func(prefix string, r domain.RotateEvery) { w.text(prefix, r.String()) })
		members++
	}
	if c.ExpiresAt != nil {
		w.raw(listed(members, `,"changes":{`) + `"expiresAt":`)
		removable(w, c.ExpiresAt, c.ExpiresAt.To.IsZero(), w.time)
		members++
	}
	w.end(members, `}`)
}

func (w *recordWriter) change(prefix string, c *domain.Change[string]) {
	w.raw(prefix + `{`)
	if c.From != nil {
		w.text(`"from":`, *c.From)
		w.raw(`,`)
	}
	w.text(`"to":`, c.To)
	w.raw(`}`)
}

// removable writes a change of what need not be there: "from" is left out
// where there was none before, "to" where the change took it away.
func removable[T any](w *recordWriter, c *domain.Change[T], gone bool, write func(prefix string, v T)) {
	w.raw(`{`)
	if c.From != nil {
		write(`"from":`, *c.From)
	}
	switch {
	case gone:
	case c.From != nil:
		write(`,"to":`, c.To)
	default:
		write(`"to":`, c.To)
	}
	w.raw(`}`)
}

// directory writes the members that only a directory's events have.
func (w *recordWriter) directory(d domain.Details) {
	w.optional(`,"teamId":`, d.TeamID)
	w.optional(`,"agentId":`, string(d.Agent))
	w.optional(`,"role":`, string(d.Role))
	w.optional(`,"keyId":`, string(d.KeyID))
	if !d.ExpiresAt.IsZero() {
		w.time(`,"expiresAt":`, d.ExpiresAt)
	}
	w.optional(`,"note":`, d.Note)
}

// listed gives what stands before the i-th element of a list that open opens.
func listed(i int, open string) string {
	if i == 0 {
		return open
	}
	return `,`
}

func (w *recordWriter) end(elements int, closing string) {
	if elements > 0 {
		w.raw(closing)
	}
}

func (w *recordWriter) raw(s string) { w.out = append(w.out, s...) }

func (w *recordWriter) list(prefix string, elements []string) {
	w.raw(prefix)
	for i, s := range elements {
		w.text(listed(i, ""), s)
	}
	w.raw(`]`)
}

func (w *recordWriter) optional(prefix, s string) {
	if s != "" {
		w.text(prefix, s)
	}
}

func (w *recordWriter) time(prefix string, t time.Time) {
	t = t.UTC()
	if t.Nanosecond()%int(time.Millisecond) != 0 || t.Year() < 0 || t.Year() > 9999 {
		w.fail(prefix)
		return
	}
	w.raw(prefix + `"`)
	w.out = t.AppendFormat(w.out, timeLayout)
	w.raw(`"`)
}

func (w *recordWriter) fail(prefix string) {
	if w.fault == "" {
		w.fault = "the member " + prefix
	}
}

// text writes a JSON string. A quote, a backslash and the ASCII control
// characters are escaped, everything else stays as it is: four-byte
// characters stay four bytes long, and no line break is ever written (NATS
// would turn it into a blank).
func (w *recordWriter) text(prefix, s string) {
	if !utf8.ValidString(s) {
		w.fail(prefix)
		return
	}
	w.raw(prefix + `"`)
	done := 0
	for i := range len(s) {
		c := s[i]
		if !escaped(c) {
			continue
		}
		w.raw(s[done:i])
		done = i + 1
		if c == '"' || c == '\\' {
			w.out = append(w.out, '\\', c)
			continue
		}
		w.out = append(w.out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	w.raw(s[done:] + `"`)
}

const hexDigits = "0123456789abcdef"

func escaped(c byte) bool { return c < 0x20 || c == '"' || c == '\\' || c == 0x7f }
