package eventstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func mustEncode(t testing.TB, s sample) message {
	t.Helper()
	m, err := encode(s.stream, s.p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lying gives the message as it would lie in the log.
func lying(m message) stored {
	return stored{subject: m.subject, position: 9, headers: map[string][]string{RecordHeader: {string(m.record)}}, data: m.body}
}

// TestDecodeRefuses holds invariant 2 for every way in which bytes can be
// another form of an event, or of none.
func TestDecodeRefuses(t *testing.T) {
	all := samples()
	created, set, removed := mustEncode(t, all["secret.created"]), mustEncode(t, all["secret.field_set-plaintext"]), mustEncode(t, all["secret.field_removed"])
	renamed, granted := mustEncode(t, all["secret.renamed"]), mustEncode(t, all["membership.granted"])
	issued := mustEncode(t, all["apikey.issued"])
	// A body that was changed is refused for its hash; so that its form is
	// what is refused, the record names the changed one.
	body := func(m message, change func([]byte) []byte) func(*stored) {
		return func(s *stored) {
			before := sha256.Sum256(m.body)
			s.data = change(bytes.Clone(m.body))
			after := sha256.Sum256(s.data)
			replace(s, hex.EncodeToString(before[:]), hex.EncodeToString(after[:]))
		}
	}
	text := func(from, to string) func(*stored) { return func(s *stored) { replace(s, from, to) } }
	tests := []struct {
		name   string
		m      message
		change func(*stored)
	}{
		{"unknown member", created, text(`,"requestId"`, `,"extra":"x","requestId"`)},
		{"unknown member at the end", created, text(`}}`, `},"extra":1}`)},
		{"duplicate member", created, text(`"source":"chancery"`, `"source":"chancery","source":"chancery"`)},
		{"wrong case", created, text(`"specversion"`, `"SpecVersion"`)},
		{"wrong case inside", created, text(`"requestId"`, `"requestid"`)},
		{"trailing bytes", created, text(`}}`, `}} `)},
		{"a second object", created, text(`}}`, `}}{}`)},
		{"a blank", created, text(`"org":`, `"org": `)},
		{"members in another order", created, text(`"source":"chancery","type":"secret.created"`, `"type":"secret.created","source":"chancery"`)},
		{"missing member", created, text(`,"source":"chancery"`, ``)},
		{"empty optional member", created, text(`"reason":"`, `"clientIp":"","reason":"`)},
		{"another spec version", created, text(`"specversion":"1.0"`, `"specversion":"1.1"`)},
		{"unknown record version", created, text(`"v":1`, `"v":2`)},
		{"record version with more digits", created, text(`"v":1`, `"v":10`)},
		{"unknown type", created, text(`secret.created`, `secret.copied`)},
		{"empty type", granted, text(`membership.granted`, ``)},
		{"type of another stream", granted, text(`membership.granted`, `secret.deleted`)},
		{"type that its members do not fit", removed, text(`secret.field_removed`, `secret.deleted`)},
		{"version 0", created, text(`"version":1`, `"version":0`)},
		{"version with a leading zero", created, text(`"version":1`, `"version":01`)},
		{"version too large", created, text(`"version":1`, `"version":18446744073709551616`)},
		{"negative version", created, text(`"version":1`, `"version":-1`)},
		{"ULID in lower case", created, text(`"id":"01M83Q7A4X0000000000000001"`, `"id":"01m83q7a4x0000000000000001"`)},
		{"time with a zone", created, text(`45Z`, `45+00:00`)},
		{"time in microseconds", created, text(`45Z`, `45000Z`)},
		{"time that is none", created, text(`-11-23T`, `-11-31T`)},
		{"another subject", created, text(`db-password",`, `db-passwore",`)},
		{"another subject with its secret", created, text(`db-password`, `db-passwore`)},
		{"another org", created, text(`"org":"org_01JD3Z8Q7G00000000000000A1"`, `"org":"org_01JD3Z8Q7G00000000000000A2"`)},
		{"another scope", created, text(`"scopeId":"agt_01JD3Z8Q7G00000000000000B1"`, `"scopeId":"agt_01JD3Z8Q7G00000000000000B2"`)},
		{"another secret", created, text(`"secretId":"db-password"`, `"secretId":"db-passwore"`)},
		{"lies on another stream", created, func(s *stored) { s.subject = domain.SubjectPrefix + string(otherOrg) + ".directory" }},
		{"lies on no stream", created, func(s *stored) { s.subject = domain.SubjectPrefix + string(sampleOrg) + ".other" }},
		{"lies outside", created, func(s *stored) { s.subject = "chancery.keys.x" }},
		{"no key ids", created, text(`"kekIds":["a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","02020202020202020202020202020202"],`, ``)},
		{"empty list of key ids", created, text(`"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","02020202020202020202020202020202"`, ``)},
		{"key id in upper case", created, text(`a1a1`, `A1a1`)},
		{"unknown actor", created, text(`"kind":"agent"`, `"kind":"robot"`)},
		{"unknown sensitivity", created, text(`"sensitivity":"encrypted"`, `"sensitivity":"secret"`)},
		{"fields in another order", created, text(`"password","sensitivity":"encrypted","dekId":"01M83Q7A4X00000000000004K7"},{"key":"user.name"`, `"user.name","sensitivity":"encrypted","dekId":"01M83Q7A4X00000000000004K7"},{"key":"password"`)},
		{"sensitivity that the value does not have", set, text(`"sensitivity":"plaintext"`, `"sensitivity":"encrypted"`)},
		{"a plaintext field with a data key", set, text(`"sensitivity":"plaintext"`, `"sensitivity":"plaintext","dekId":"01M83Q7A4X00000000000004K7"`)},
		{"an envelope without a data key", created, text(`,"dekId":"01M83Q7A4X00000000000004K7"`, ``)},
		{"empty changes", renamed, text(`"changes":{`, `"changes":{},"changes":{`)},
		{"changes in another order", renamed, text(`"category":{"from":"database","to":"api"},"tags":{"from":["prod"],"to":[]}`, `"tags":{"from":["prod"],"to":[]},"category":{"from":"database","to":"api"}`)},
		{"a needless escape", created, text(`"reason":"rotation`, `"reason":"\u0072otation`)},
		{"a short escape", renamed, text(`\u0009`, `\t`)},
		{"an escape in upper case", renamed, text(`\u007f`, `\u007F`)},
		{"an escaped slash", created, text(`chancery/1.0`, `chancery\/1.0`)},
		{"a raw control character", renamed, text(`\u0009`, "\t")},
		{"a surrogate escape", created, text(fourBytes, `\ud83d\udd11`)},
		{"invalid UTF-8", created, text(fourBytes, "\xf0\x9f")},
		{"hash in upper case", created, func(s *stored) {
			sum := sha256.Sum256(created.body)
			digits := hex.EncodeToString(sum[:])
			replace(s, digits, strings.ToUpper(digits))
		}},
		{"unknown role", granted, text(`"role":"writer"`, `"role":"owner"`)},
		{"no role", granted, text(`,"role":"writer"`, ``)},
		{"no agent", granted, text(`,"agentId":"agt_01JD3Z8Q7G00000000000000B1"`, ``)},
		{"no record", created, func(s *stored) { s.headers = nil }},
		{"two records", created, func(s *stored) {
			s.headers[RecordHeader] = append(s.headers[RecordHeader], s.headers[RecordHeader]...)
		}},
		{"a second record in another case", created, func(s *stored) { s.headers["chancery-record"] = []string{`{}`} }},
		{"a record in another case alone", created, func(s *stored) {
			s.headers = map[string][]string{strings.ToLower(RecordHeader): s.headers[RecordHeader]}
		}},
		{"another body", created, func(s *stored) { s.data = set.body }},
		{"no body", created, func(s *stored) { s.data = nil }},
		{"a body where none belongs", removed, body(removed, func([]byte) []byte { return set.body })},
		{"a missing body", created, body(created, func([]byte) []byte { return nil })},
		{"a missing key hash", issued, body(issued, func([]byte) []byte { return nil })},
		{"padding that is not zero", created, body(created, func(b []byte) []byte { b[len(b)-1] = 1; return b })},
		{"a block of padding too many", created, body(created, func(b []byte) []byte { return append(b, make([]byte, bodyBlock)...) })},
		{"padding cut", created, body(created, func(b []byte) []byte { return b[:len(b)-1] })},
		{"length too large", created, body(created, func(b []byte) []byte { b[0] = 0xff; return b })},
		{"length too small", created, body(created, func(b []byte) []byte { b[3]--; return b })},
		{"unknown body version", created, body(created, func(b []byte) []byte { b[4] = 2; return b })},
		{"unknown kind of value", created, body(created, func(b []byte) []byte { b[5] = 9; return b })},
		{"one value too many", set, body(set, func(b []byte) []byte {
			n := int(b[3])
			b = append(b[:4+n:4+n], b[5:4+n]...)
			b[3] += byte(n - 1)
			return append(b, make([]byte, bodyBlock-len(b)%bodyBlock)...)
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := lying(tt.m)
			before := fmt.Sprint(s)
			if _, err := decode(s); err != nil {
				t.Fatalf("unchanged: %v", err)
			}
			tt.change(&s)
			if fmt.Sprint(s) == before {
				t.Fatal("the test changes nothing")
			}
			r, err := decode(s)
			if !errors.Is(err, ErrCorrupt) || corruption(err).Position != 9 {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
}

func replace(s *stored, from, to string) {
	s.headers = map[string][]string{RecordHeader: {strings.Replace(s.headers[RecordHeader][0], from, to, 1)}}
}

// TestEncodeRefuses holds invariants 1 and 6.
func TestEncodeRefuses(t *testing.T) {
	secret := secretStream("s")
	set := func(f domain.Field) domain.Proposed { return proposed(1, domain.FieldSet{Field: f}) }
	noDek := envelope("k", "c")
	noDek.DekID = domain.DekID{}
	change := func(f func(*domain.Proposed)) domain.Proposed {
		p := fieldSet(1, 1)
		f(&p)
		return p
	}
	tests := map[string]sample{
		"plaintext":          {secret, set(domain.Field{Key: "k", Value: domain.NewPlaintext("canary")})},
		"no value":           {secret, set(domain.Field{Key: "k"})},
		"sealed elsewhere":   {secret, set(sealed(eventID(2), "k", "v"))},
		"unverified key":     {secret, set(noDek)},
		"sealed with a key":  {secret, set(domain.Field{Key: "k", Value: sealed(eventID(1), "k", "v").Value, DekID: domain.DekID(eventID(3))})},
		"field key":          {secret, set(sealed(eventID(1), "k/k", "v"))},
		"another stream":     {domain.DirectoryStream{Org: sampleOrg}, fieldSet(1, 1)},
		"no stream":          {nil, fieldSet(1, 1)},
		"no event":           {secret, domain.Proposed{}},
		"wildcard":           {secretStream("*"), fieldSet(1, 1)},
		"dots":               {secretStream("a.b"), fieldSet(1, 1)},
		"no keys":            {secret, proposed(1, domain.SecretCreated{Name: "n", Category: "c"})},
		"no members":         {domain.DirectoryStream{Org: sampleOrg}, proposed(1, domain.MembershipGranted{Agent: sampleAgent})},
		"another org's keys": {domain.KeysStream{Org: otherOrg}, proposed(1, domain.KeyDestroyed{Ref: sampleRef("s"), KekIDs: []domain.KekID{kek(1)}})},
		"version 0":          {secret, change(func(p *domain.Proposed) { p.Version = 0 })},
		"microseconds":       {secret, change(func(p *domain.Proposed) { p.Time = p.Time.Add(time.Microsecond) })},
		"no actor":           {secret, change(func(p *domain.Proposed) { p.Actor = domain.Actor{} })},
		"invalid UTF-8":      {secret, change(func(p *domain.Proposed) { p.Origin.Reason = "\xff" })},
		"record too long":    {secret, change(func(p *domain.Proposed) { p.Origin.Reason = strings.Repeat("x", maxRecordLen) })},
		"body too long":      {secret, set(envelope("k", strings.Repeat("x", maxMessageLen)))},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := encode(s.stream, s.p)
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("got %s, %v", m.record, err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

// TestPadding: a body tells no more of its values' size than a multiple of 256.
func TestPadding(t *testing.T) {
	for _, n := range []int{0, 1, 100, 255, 256, 257, 5000} {
		m := mustEncode(t, sample{secretStream("s"), proposed(1, domain.FieldSet{Field: envelope("k", strings.Repeat("x", n))})})
		if len(m.body)%bodyBlock != 0 || len(m.body) < n || len(m.body) > n+2*bodyBlock {
			t.Errorf("%d bytes of ciphertext: body of %d", n, len(m.body))
		}
	}
}

// TestLargest: the largest legal create and PATCH, in characters of four
// bytes, stay below the limit of a record, and with all that a request's
// body can hold below the limit of a message.
func TestLargest(t *testing.T) {
	for name, s := range largest() {
		m := mustEncode(t, s)
		t.Logf("%s: record of %d, body of %d bytes", name, len(m.record), len(m.body))
	}
}

func largest() map[string]sample {
	ref := domain.SecretRef{
		Org: sampleOrg, ID: domain.SecretID(strings.Repeat("s", domain.MaxIDLen)),
		Scope: domain.Scope{Kind: domain.ScopeProject, ID: strings.Repeat("p", domain.MaxIDLen)},
	}
	text := func(n int) string { return strings.Repeat(fourBytes, n) }
	tags := func(first rune) (tags []string) {
		for i := range domain.MaxTags {
			tags = append(tags, string(first+rune(i))+text(domain.MaxTagLen-1))
		}
		return tags
	}
	create := domain.SecretCreated{
		Name: text(domain.MaxNameLen), Category: strings.Repeat("c", domain.MaxCategory), Tags: tags(0x1F600),
	}
	for i := range domain.MaxFields {
		key := domain.FieldKey(fmt.Sprintf("%02d%s", i, strings.Repeat("k", domain.MaxIDLen-2)))
		// A request's body has at most 1 MiB, so no more than this each.
		create.Fields = append(create.Fields, envelope(key, strings.Repeat("x", 1<<20/domain.MaxFields)))
		create.KekIDs = append(create.KekIDs, kek(byte(i)))
	}
	patch := domain.SecretRenamed{Changes: domain.Changes{
		Name:     &domain.Change[string]{From: ptr(text(domain.MaxNameLen)), To: text(domain.MaxNameLen - 1)},
		Category: &domain.Change[string]{From: ptr(strings.Repeat("c", domain.MaxCategory)), To: strings.Repeat("d", domain.MaxCategory)},
		Tags:     &domain.Change[[]string]{From: ptr(tags(0x1F600)), To: tags(0x1F680)},

		RotateEvery: &domain.Change[domain.RotateEvery]{From: ptr(domain.MaxRotateEvery), To: domain.MaxRotateEvery - 1},
		ExpiresAt:   &domain.Change[time.Time]{From: ptr(sampleTime), To: sampleTime.AddDate(1, 0, 0)},
	}}
	wide := func(n uint64, e domain.Event) domain.Proposed {
		p := proposed(n, e)
		p.Version = 1<<63 + n
		p.Origin = domain.Origin{
			RequestID: strings.Repeat("r", 128), ClientIP: "2001:0db8:0000:0000:0000:0000:0000:0001", UserAgent: text(domain.MaxHeaderLen),
			Reason: text(domain.MaxHeaderLen), RunID: text(domain.MaxHeaderLen), IdempotencyKey: strings.Repeat("i", 128),
		}
		return p
	}
	stream := domain.SecretStream{Ref: ref}
	return map[string]sample{"create": {stream, wide(1, create)}, "PATCH": {stream, wide(2, patch)}}
}

// TestRoundTrip: any texts come back as they were.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := proposed(1, domain.SecretRenamed{Changes: domain.Changes{
			Name: &domain.Change[string]{From: ptr(rapid.String().Draw(t, "from")), To: rapid.String().Draw(t, "to")},
			Tags: &domain.Change[[]string]{To: rapid.SliceOf(rapid.String()).Draw(t, "tags")},
		}})
		p.Origin.Reason = rapid.String().Draw(t, "reason")
		p.Time = time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "time")).UTC()
		m, err := encode(secretStream("s"), p)
		if err != nil {
			t.Fatal(err)
		}
		got := domain.Proposed{
			ID: m.event.ID, Version: m.event.Version, Time: m.event.Time, Actor: m.event.Actor, Origin: m.event.Origin, Event: m.event.Event,
		}
		if diff := cmp.Diff(p, got, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzDecode: decoding never panics, and what it accepts has exactly that
// one form (invariant 2). Records and bodies are tried apart, since a fuzzer
// does not find hashes.
func FuzzDecode(f *testing.F) {
	all := samples()
	for _, s := range all {
		m := mustEncode(f, s)
		f.Add(m.subject, string(m.record), m.body)
	}
	fields := domain.Describe(secretStream("s"), all["secret.created"].p.Event).Fields
	id := all["secret.created"].p.ID
	f.Fuzz(func(t *testing.T, subject, raw string, body []byte) {
		if r, err := decode(stored{subject: subject, headers: map[string][]string{RecordHeader: {raw}}, data: body}); err == nil {
			m, err := encode(r.Stream, domain.Proposed{ID: r.ID, Version: r.Version, Time: r.Time, Actor: r.Actor, Origin: r.Origin, Event: r.Event})
			if err != nil || m.subject != subject || string(m.record) != raw || !bytes.Equal(m.body, body) {
				t.Errorf("%v: %s\n%s", err, raw, m.record)
			}
		}
		if own, stream, err := parseSubject(subject); err == nil {
			if rec, err := decodeRecord(stream, own, raw); err == nil {
				again, err := encodeRecord(rec)
				if (err != nil || string(again) != raw) && len(raw) <= maxRecordLen {
					t.Errorf("%v: %s\n%s", err, raw, again)
				}
			}
		}
		if b, err := decodeBody(id, fields, body); err == nil {
			again, err := encodeBody(id, b)
			if (err != nil || !bytes.Equal(again, body)) && len(body) <= maxMessageLen {
				t.Errorf("%v: %x\n%x", err, body, again)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	s := samples()["secret.created"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(s.stream, s.p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	s := lying(mustEncode(b, samples()["secret.created"]))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(s); err != nil {
			b.Fatal(err)
		}
	}
}
