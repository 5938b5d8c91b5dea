package wire

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAppendersWriteWhatJSONWrites holds every [Appender] against
// encoding/json, for any text: invalid UTF-8, control characters, line
// separators and HTML included.
func TestAppendersWriteWhatJSONWrites(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringMatching(`[ -~]{0,12}`), rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "<a href=\"&'>", "\u2028\u2029", "\xff", "\b\f\n\r\t\x00\x1f\x7f", `\"`, "ß€😀"}),
	)
	moment := rapid.Custom(func(t *rapid.T) Time {
		if rapid.Bool().Draw(t, "now") { // equal times are usual
			return NewTime(time.UnixMilli(1_790_000_000_000))
		}
		return NewTime(time.UnixMilli(rapid.Int64Range(-62135596800000, 253402300799999).Draw(t, "ms")))
	})
	texts := rapid.Custom(func(t *rapid.T) []string {
		if rapid.Bool().Draw(t, "nil") {
			return nil
		}
		return append([]string{}, rapid.SliceOfN(text, 0, 3).Draw(t, "texts")...)
	})
	aggregate := rapid.Custom(func(t *rapid.T) Aggregate {
		a := Aggregate{
			SecretID: text.Draw(t, "id"), Scope: text.Draw(t, "scope"), ScopeID: text.Draw(t, "scopeId"), SecretName: text.Draw(t, "name"),
			Category: text.Draw(t, "category"), Tags: texts.Draw(t, "tags"), Version: rapid.Uint64().Draw(t, "version"),
			CreatedAt: moment.Draw(t, "createdAt"), CreatedBy: text.Draw(t, "createdBy"), UpdatedAt: moment.Draw(t, "updatedAt"),
			UpdatedBy: text.Draw(t, "updatedBy"), RotateEvery: text.Draw(t, "rotate"),
		}
		if rapid.Bool().Draw(t, "expires") {
			at := moment.Draw(t, "expiresAt")
			a.ExpiresAt = &at
		}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			f := AggregateField{Key: text.Draw(t, "key"), Sensitivity: text.Draw(t, "sensitivity"), Version: rapid.Uint64().Draw(t, "v"), UpdatedAt: moment.Draw(t, "at"), UpdatedBy: text.Draw(t, "by")}
			if rapid.Bool().Draw(t, "valued") {
				v := Value(text.Draw(t, "value"))
				f.Value = &v
			}
			a.Fields = append(a.Fields, f)
		}
		return a
	})
	entry := rapid.Custom(func(t *rapid.T) HistoryEntry {
		h := HistoryEntry{
			Kind: text.Draw(t, "kind"), Position: rapid.Uint64().Draw(t, "position"), EventID: text.Draw(t, "event"), Type: text.Draw(t, "type"),
			Time: moment.Draw(t, "time"), Actor: Actor{Kind: text.Draw(t, "ak"), ID: text.Draw(t, "ai"), Name: text.Draw(t, "an"), KeyID: text.Draw(t, "ke")},
			Version: rapid.Uint64().Draw(t, "version"), RequestID: text.Draw(t, "request"), ClientIP: text.Draw(t, "ip"),
			UserAgent: text.Draw(t, "agent"), Reason: text.Draw(t, "reason"), RunID: text.Draw(t, "run"), Proof: text.Draw(t, "proof"),
			Leaf: rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "leaf"),
		}
		if rapid.Bool().Draw(t, "indexed") {
			n := rapid.Uint64().Draw(t, "index")
			h.Index = &n
		}
		for range rapid.IntRange(0, 2).Draw(t, "fields") {
			h.Fields = append(h.Fields, HistoryField{Key: text.Draw(t, "key"), Sensitivity: text.Draw(t, "sensitivity")})
		}
		if rapid.Bool().Draw(t, "changed") {
			h.Changes = &Changes{Name: &Change{To: text.Draw(t, "to")}, Tags: &TagsSet{From: texts.Draw(t, "from"), To: texts.Draw(t, "totags")}}
		}
		return h
	})
	rapid.Check(t, func(t *rapid.T) {
		envelope := Envelope{Version: rapid.Int().Draw(t, "version"), IV: text.Draw(t, "iv"), Ciphertext: text.Draw(t, "ciphertext"), AuthTag: text.Draw(t, "tag"), DataKeyCiphertext: text.Draw(t, "dek")}
		secret := Secret{Aggregate: aggregate.Draw(t, "aggregate")}
		if rapid.Bool().Draw(t, "envelopes") {
			secret.Envelopes = map[string]Envelope{}
			for _, key := range texts.Draw(t, "keys") {
				secret.Envelopes[string(bytes.ToValidUTF8([]byte(key), nil))] = envelope
			}
		}
		for _, a := range []Appender{
			moment.Draw(t, "moment"), envelope, secret, secret.Aggregate, entry.Draw(t, "entry"),
		} {
			var want bytes.Buffer
			e := json.NewEncoder(&want)
			e.SetEscapeHTML(false)
			if err := e.Encode(a); err != nil {
				t.Fatal(err)
			}
			if got := append(a.AppendJSON([]byte("before ")), '\n'); string(got) != "before "+want.String() {
				t.Fatalf("got  %s\nwant %s", got, want.Bytes())
			}
		}
	})
}

// TestPlain compares the test of eight bytes at once with the one of each
// byte, for every byte at every place.
func TestPlain(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				text := bytes.Repeat([]byte("~"), length)
				if at%2 == 0 {
					text = bytes.Repeat([]byte(" "), length)
				}
				text[at] = byte(c)
				want := c >= ' ' && c <= '~' && c != '"' && c != '\\'
				if isPlain(string(text)) != want {
					t.Fatalf("%q: %v", text, !want)
				}
			}
		}
	}
}

// BenchmarkAppendJSON writes a row of a list.
func BenchmarkAppendJSON(b *testing.B) {
	now := NewTime(time.UnixMilli(1_790_000_000_123))
	const agent = "agt_01J0000000000000000000000A"
	a := Aggregate{
		SecretID: "payments-api-0000042", Scope: "team", ScopeID: "team_payments", SecretName: "Payments API 42", Category: "api-key", Tags: []string{"prod"},
		Version: 1, CreatedAt: now, CreatedBy: agent, UpdatedAt: now, UpdatedBy: agent,
		Fields: []AggregateField{
			{Key: "user", Sensitivity: "plaintext", Version: 1, UpdatedAt: now, UpdatedBy: agent},
			{Key: "password", Sensitivity: "plaintext", Version: 1, UpdatedAt: now, UpdatedBy: agent},
		},
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = a.AppendJSON(out[:0])
	}
	b.SetBytes(int64(len(out)))
}
