package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Appender is an answer that writes its own JSON, for the answers that are
// given most. The bytes are those that encoding/json would write without
// escaping HTML: a test holds both against each other.
type Appender interface {
	// AppendJSON appends the JSON to b.
	AppendJSON(b []byte) []byte
}

// AppendText appends a JSON string.
func AppendText(b []byte, s string) []byte {
	if !isPlain(s) {
		return appendAny(b, s) // which knows what to do about it
	}
	return append(append(append(b, '"'), s...), '"')
}

// isPlain says that a text is its own JSON: printable ASCII without a quote or a
// backslash. It looks at eight bytes at once where there are as many.
func isPlain(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		w := binary.LittleEndian.Uint64([]byte(s[:8]))
		quote, backslash := w^ones*'"', w^ones*'\\'
		// The top bit of a byte is set where it is not ASCII, less than a
		// blank, a DEL, or (its difference being 0) one of both. A borrow
		// between bytes can only come from one that is found itself.
		if (w|(w-ones*' ')|(w+ones)|(quote-ones)|(backslash-ones))&tops != 0 {
			return false
		}
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendAny appends what is rare as encoding/json does.
func appendAny(b []byte, v any) []byte {
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return append(b, "null"...) // no value of this package fails
	}
	return append(b, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...)
}

// AppendJSON implements [Appender].
func (t Time) AppendJSON(b []byte) []byte {
	u := t.UTC()
	year, month, day := u.Date()
	if year < 0 || year > 9999 {
		return append(append(append(b, '"'), t.String()...), '"')
	}
	hour, minute, second := u.Clock()
	milli := u.Nanosecond() / int(time.Millisecond)
	at := len(b)
	b = append(b, `"0000-00-00T00:00:00.000Z"`...)
	text := b[at:]
	putTwo(text[1:], year/100)
	putTwo(text[3:], year%100)
	putTwo(text[6:], int(month))
	putTwo(text[9:], day)
	putTwo(text[12:], hour)
	putTwo(text[15:], minute)
	putTwo(text[18:], second)
	putTwo(text[21:], milli/10)
	text[23] = byte('0' + milli%10)
	return b
}

func putTwo(b []byte, n int) { b[0], b[1] = byte('0'+n/10), byte('0'+n%10) } //nolint:gosec // digits

// AppendJSON implements [Appender].
func (a Aggregate) AppendJSON(b []byte) []byte { return a.append(b) }

func (a *Aggregate) append(b []byte) []byte {
	b = AppendText(append(b, `{"secretId":`...), a.SecretID)
	b = AppendText(append(b, `,"scope":`...), a.Scope)
	b = AppendText(append(b, `,"scopeId":`...), a.ScopeID)
	b = AppendText(append(b, `,"secretName":`...), a.SecretName)
	b = AppendText(append(b, `,"category":`...), a.Category)
	b = appendEach(append(b, `,"tags":`...), a.Tags, func(tag *string, b []byte) []byte { return AppendText(b, *tag) })
	b = strconv.AppendUint(append(b, `,"version":`...), a.Version, 10)
	b = a.CreatedAt.AppendJSON(append(b, `,"createdAt":`...))
	b = AppendText(append(b, `,"createdBy":`...), a.CreatedBy)
	b = append(b, `,"updatedAt":`...)
	updated := len(b)
	b = a.UpdatedAt.AppendJSON(b)
	text := b[updated:]
	b = AppendText(append(b, `,"updatedBy":`...), a.UpdatedBy)
	b = appendEach(append(b, `,"fields":`...), a.Fields, func(f *AggregateField, b []byte) []byte {
		return f.append(b, a.UpdatedAt, text)
	})
	b = optional(b, `,"rotateEvery":`, a.RotateEvery)
	if a.ExpiresAt != nil {
		b = a.ExpiresAt.AppendJSON(append(b, `,"expiresAt":`...))
	}
	return append(b, '}')
}

// append is given the text of a time that is likely to be the field's.
func (f *AggregateField) append(b []byte, likely Time, text []byte) []byte {
	b = AppendText(append(b, `{"key":`...), f.Key)
	b = AppendText(append(b, `,"sensitivity":`...), f.Sensitivity)
	b = strconv.AppendUint(append(b, `,"version":`...), f.Version, 10)
	b = append(b, `,"updatedAt":`...)
	if f.UpdatedAt == likely {
		b = append(b, text...)
	} else {
		b = f.UpdatedAt.AppendJSON(b)
	}
	b = AppendText(append(b, `,"updatedBy":`...), f.UpdatedBy)
	if f.Value != nil {
		b = AppendText(append(b, `,"value":`...), string(*f.Value))
	}
	return append(b, '}')
}

// AppendJSON implements [Appender].
func (s Secret) AppendJSON(b []byte) []byte {
	b = s.Aggregate.append(append(b, `{"aggregate":`...))
	if s.Envelopes == nil {
		return append(b, `,"envelopes":null}`...)
	}
	b = append(b, `,"envelopes":{`...)
	keys := make([]string, 0, len(s.Envelopes))
	for key := range s.Envelopes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.Envelopes[key].AppendJSON(append(AppendText(b, key), ':'))
	}
	return append(b, "}}"...)
}

// AppendJSON implements [Appender].
func (e Envelope) AppendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"version":`...), int64(e.Version), 10)
	b = AppendText(append(b, `,"iv":`...), e.IV)
	b = AppendText(append(b, `,"ciphertext":`...), e.Ciphertext)
	b = AppendText(append(b, `,"authTag":`...), e.AuthTag)
	b = AppendText(append(b, `,"dataKeyCiphertext":`...), e.DataKeyCiphertext)
	return append(b, '}')
}

// AppendJSON implements [Appender].
func (h HistoryEntry) AppendJSON(b []byte) []byte { return h.append(b) }

func (h *HistoryEntry) append(b []byte) []byte {
	b = append(b, '{')
	if h.Kind != "" {
		b = append(AppendText(append(b, `"kind":`...), h.Kind), ',')
	}
	b = strconv.AppendUint(append(b, `"position":`...), h.Position, 10)
	b = AppendText(append(b, `,"eventId":`...), h.EventID)
	b = AppendText(append(b, `,"type":`...), h.Type)
	b = h.Time.AppendJSON(append(b, `,"time":`...))
	b = AppendText(append(b, `,"actor":{"kind":`...), h.Actor.Kind)
	b = AppendText(append(b, `,"id":`...), h.Actor.ID)
	b = AppendText(append(b, `,"name":`...), h.Actor.Name)
	b = AppendText(append(b, `,"keyId":`...), h.Actor.KeyID)
	b = strconv.AppendUint(append(b, `},"version":`...), h.Version, 10)
	if len(h.Fields) > 0 {
		b = appendEach(append(b, `,"fields":`...), h.Fields, (*HistoryField).append)
	}
	if h.Changes != nil {
		b = appendAny(append(b, `,"changes":`...), h.Changes)
	}
	b = AppendText(append(b, `,"requestId":`...), h.RequestID)
	b = AppendText(append(b, `,"clientIp":`...), h.ClientIP)
	b = optional(b, `,"userAgent":`, h.UserAgent)
	b = optional(b, `,"reason":`, h.Reason)
	b = optional(b, `,"runId":`, h.RunID)
	if len(h.Leaf) > 0 {
		b = base64.StdEncoding.AppendEncode(append(b, `,"leaf":"`...), h.Leaf)
		b = append(b, '"')
	}
	if h.Index != nil {
		b = strconv.AppendUint(append(b, `,"index":`...), *h.Index, 10)
	}
	b = optional(b, `,"proof":`, h.Proof)
	return append(b, '}')
}

func optional(b []byte, member, s string) []byte {
	if s == "" {
		return b
	}
	return AppendText(append(b, member...), s)
}

func (f *HistoryField) append(b []byte) []byte {
	b = AppendText(append(b, `{"key":`...), f.Key)
	return append(AppendText(append(b, `,"sensitivity":`...), f.Sensitivity), '}')
}

// appendEach appends a list. Its items are large, so they stay where they are.
func appendEach[T any](b []byte, items []T, one func(*T, []byte) []byte) []byte {
	if items == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(&items[i], b)
	}
	return append(b, ']')
}
