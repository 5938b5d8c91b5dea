package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// TestCodes verifies invariant 1.
func TestCodes(t *testing.T) {
	titles := map[string]domain.Code{}
	for _, code := range domain.Codes() {
		if s := wire.Status(code); (s == 500) != (code == domain.CodeInternal) || s < 400 || s > 503 {
			t.Errorf("%s has status %d", code, s)
		}
		if other, ok := titles[wire.Title(code)]; ok {
			t.Errorf("%s has the title of %s", code, other)
		}
		titles[wire.Title(code)] = code
		if s := wire.Status(code); wire.Retryable(code) != (s == 429 || s == 503 || code == domain.CodeConflict) {
			t.Errorf("%s: retryable is %v at status %d", code, wire.Retryable(code), s)
		}
	}
	if wire.Status("nonsense") != 500 || wire.Retryable("nonsense") {
		t.Error("an unknown code is not internal")
	}
}

// TestProblem verifies that a problem carries an error there and back, and
// that an error which is no refusal shows nothing of itself.
func TestProblem(t *testing.T) {
	sent := domain.Errorf(domain.CodeTooLong, "a tag is too long").At("/tags/3")
	sent.EventID = "01J"
	text, err := json.Marshal(wire.NewProblem(fmt.Errorf("wrapped: %w", sent), "req-1"))
	if err != nil {
		t.Fatal(err)
	}
	var p wire.Problem
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	sent.RetryAfter = 2 * time.Second
	if diff := cmp.Diff(sent, p.Err(2*time.Second)); diff != "" {
		t.Error(diff)
	}
	if p.Status != 400 || p.Instance != "req-1" || p.Type != "/docs#too_long" || p.Title == "" {
		t.Errorf("got %+v", p)
	}
	for _, err := range []error{
		errors.New("hunter2"), &domain.Error{Code: "nonsense", Detail: "hunter2"},
		&domain.Error{Code: domain.CodeInternal, Detail: "hunter2"},
	} {
		p := wire.NewProblem(err, "req-2")
		text, err := json.Marshal(p)
		if err != nil || p.Status != 500 || strings.Contains(string(text), "hunter2") || p.Instance != "req-2" {
			t.Errorf("got %s (%v)", text, err)
		}
	}
}

// TestEnvelope verifies invariant 4 and the shape checks.
func TestEnvelope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := domain.Envelope{Ciphertext: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "ciphertext"), DataKey: rapid.String().Draw(t, "key")}
		copy(e.IV[:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "iv"))
		copy(e.AuthTag[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "tag"))
		w := wire.NewEnvelope(e)
		back, err := w.Domain("")
		if err != nil || !back.Equal(e) || wire.NewEnvelope(back) != w {
			t.Fatalf("not the same after a round trip: %v", err)
		}
	})
	good := wire.NewEnvelope(domain.Envelope{Ciphertext: []byte("ab")})
	for name, test := range map[string]struct {
		change  func(*wire.Envelope)
		code    domain.Code
		pointer string
	}{
		"version 0":              {func(e *wire.Envelope) { e.Version = 0 }, domain.CodeInvalidEnvelope, "/version"},
		"version 2":              {func(e *wire.Envelope) { e.Version = 2 }, domain.CodeInvalidEnvelope, "/version"},
		"iv of 11":               {func(e *wire.Envelope) { e.IV = "AAAAAAAAAAAAAAA=" }, domain.CodeInvalidEnvelope, "/iv"},
		"iv of 13":               {func(e *wire.Envelope) { e.IV += "AA==" }, domain.CodeInvalidEnvelope, "/iv"},
		"no padding":             {func(e *wire.Envelope) { e.Ciphertext = "YWI" }, domain.CodeInvalidEnvelope, "/ciphertext"},
		"trailing bits":          {func(e *wire.Envelope) { e.Ciphertext = "YWJ=" }, domain.CodeInvalidEnvelope, "/ciphertext"},
		"line break":             {func(e *wire.Envelope) { e.Ciphertext = "YW\nI=" }, domain.CodeInvalidEnvelope, "/ciphertext"},
		"carriage return at end": {func(e *wire.Envelope) { e.AuthTag += "\r" }, domain.CodeInvalidEnvelope, "/authTag"},
		"url alphabet":           {func(e *wire.Envelope) { e.Ciphertext = "_-8=" }, domain.CodeInvalidEnvelope, "/ciphertext"},
		"tag of 15":              {func(e *wire.Envelope) { e.AuthTag = "AAAAAAAAAAAAAAAAAAAA" }, domain.CodeInvalidEnvelope, "/authTag"},
		"ciphertext too long":    {func(e *wire.Envelope) { e.Ciphertext = strings.Repeat("AAAA", domain.MaxValueLen/3+1) }, domain.CodeTooLong, "/ciphertext"},
	} {
		e := good
		test.change(&e)
		_, err := e.Domain("/envelope")
		refusal, ok := errors.AsType[*domain.Error](err)
		if !ok || refusal.Code != test.code || len(refusal.Fields) != 1 || refusal.Fields[0].Field != "/envelope"+test.pointer {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestParseTime verifies which texts are times.
func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31T12:00:00Z":           "2026-01-31T12:00:00.000Z",
		"2026-01-31T12:00:00.5Z":         "2026-01-31T12:00:00.500Z",
		"2026-01-31T12:00:00.123999999Z": "2026-01-31T12:00:00.123Z",
		"1969-12-31T23:59:59.999Z":       "1969-12-31T23:59:59.999Z",
	} {
		if got, err := wire.ParseTime(text); err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "Z", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00+00:00", "2026-01-31t12:00:00Z", "2026-01-31 12:00:00Z",
		"2026-01-31T12:00:00z", "2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.1234567890Z", "2026-02-30T12:00:00Z",
		"2026-01-31T24:00:00Z", "2026-01-31T12:00:60Z", "2026-01-31T1:00:00Z", "2026-01-31T1:00:000Z", "12026-01-31T12:00:00Z", "2026-01-31T12:00:00.-5Z",
	} {
		if got, err := wire.ParseTime(text); domain.CodeOf(err) != domain.CodeInvalidRequest {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

// TestTags verifies that an entity tag is read back and nothing else is read.
func TestTags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint64Min(1).Draw(t, "version")
		if got, ok := wire.ParseETag(wire.ETag(v)); !ok || got != v {
			t.Fatalf("%d became %d", v, got)
		}
	})
	for _, s := range []string{
		"", "*", "v7", `"7"`, `W/"v7"`, `"v7", "v8"`, `"v07"`, `"v0"`, `"v"`, `"v-1"`, `"v7`, `"v18446744073709551616"`, ` "v7"`, `"v7"x`,
	} {
		if v, ok := wire.ParseETag(s); ok {
			t.Errorf("%q became %d", s, v)
		}
		// A tag of no version of ours matches none; what is no strong tag is refused.
		strong := strings.Count(s, `"`) == 2 && strings.HasPrefix(s, `"`) && strings.HasSuffix(s, `"`)
		x, err := wire.ParseMatch(s)
		if s != "*" && strong != (err == nil && x.Version == math.MaxUint64) || !strong && s != "*" && domain.CodeOf(err) != domain.CodePreconditionInvalid {
			t.Errorf("%q: %+v, %v", s, x, err)
		}
	}
	if x, err := wire.ParseMatch("*"); err != nil || !x.Any {
		t.Errorf("got %+v, %v", x, err)
	}
}

// TestValidToken verifies which request ids and idempotency keys are taken.
func TestValidToken(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "A-z_0.9:x": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, "a b": false, "a/b": false, "é": false, "a\n": false,
	} {
		if wire.ValidToken(s) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
}

// TestNothingPrints verifies invariant 5: no verb shows a secret, wherever it
// stands.
func TestNothingPrints(t *testing.T) {
	const canary = "hunter2-canary"
	v := wire.Value(canary)
	e := wire.Envelope{IV: canary, Ciphertext: canary, AuthTag: canary, DataKeyCiphertext: canary}
	for _, x := range []any{
		v, &v, e, &e,
		wire.DataKey{PlaintextKey: v},
		wire.PlaintextKey{PlaintextKey: v},
		wire.IssuedKey{APIKey: v},
		wire.Aggregate{Fields: []wire.AggregateField{{Value: &v}}},
		wire.Secret{Envelopes: map[string]wire.Envelope{"k": e}},
		wire.CreateSecret{Fields: []wire.NewField{{Value: &v, Envelope: &e}}},
		wire.SetField{Value: &v, Envelope: &e},
		wire.Field{Value: &v, Envelope: &e},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if s := fmt.Sprintf(verb, x); strings.Contains(s, canary) {
				t.Errorf("%T with %s gave %s", x, verb, s)
			}
		}
	}
}
