package domain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func TestPlaintextReveal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		p, q := domain.NewPlaintext(a), domain.NewPlaintext(b)
		if p.Reveal() != a || p.Equal(q) != (a == b) || !p.Equal(domain.NewPlaintext(a)) {
			t.Fatalf("%q, %q: revealed %q, equal %t", a, b, p.Reveal(), p.Equal(q))
		}
	})
	var zero domain.Plaintext
	if zero.Reveal() != "" || !zero.Equal(domain.NewPlaintext("")) || zero.Equal(domain.NewPlaintext("x")) {
		t.Error("the zero value is not the empty one")
	}
}

// Two envelopes, or two sealed values, are equal if every member is.
func TestEqualSeesEachMember(t *testing.T) {
	envelope := domain.Envelope{IV: [12]byte{1}, Ciphertext: []byte("c"), AuthTag: [16]byte{2}, DataKey: "dk"}
	for what, change := range map[string]func(*domain.Envelope){
		"iv":         func(e *domain.Envelope) { e.IV[11] = 9 },
		"ciphertext": func(e *domain.Envelope) { e.Ciphertext = []byte("d") },
		"length":     func(e *domain.Envelope) { e.Ciphertext = []byte("cc") },
		"tag":        func(e *domain.Envelope) { e.AuthTag[15] = 9 },
		"data key":   func(e *domain.Envelope) { e.DataKey = "dl" },
	} {
		other := envelope
		change(&other)
		if envelope.Equal(other) || other.Equal(envelope) {
			t.Errorf("envelopes with another %s are equal", what)
		}
	}
	sealed := domain.Sealed{KekID: domain.KekID{1}, EventID: [16]byte{2}, Box: []byte("box")}
	for what, change := range map[string]func(*domain.Sealed){
		"key":   func(s *domain.Sealed) { s.KekID[15] = 9 },
		"event": func(s *domain.Sealed) { s.EventID[15] = 9 },
		"box":   func(s *domain.Sealed) { s.Box = []byte("box ") },
	} {
		other := sealed
		change(&other)
		if sealed.Equal(other) || other.Equal(sealed) {
			t.Errorf("sealed values with another %s are equal", what)
		}
	}
	if !envelope.Equal(deepValue(envelope).(domain.Envelope)) || !sealed.Equal(deepValue(sealed).(domain.Sealed)) { //nolint:errcheck // deepValue keeps the type.
		t.Error("a copy is not equal")
	}
}

func TestSensitivity(t *testing.T) {
	for kind, want := range map[string]domain.Sensitivity{
		"Plaintext": domain.SensitivityPlaintext, "Sealed": domain.SensitivityPlaintext, "Envelope": domain.SensitivityEncrypted,
	} {
		if got := canaryValues()[kind].Sensitivity(); got != want {
			t.Errorf("%s is %s, want %s", kind, got, want)
		}
	}
	for s, want := range map[string]domain.Code{
		"plaintext": "", "encrypted": "", "": domain.CodeInvalidRequest, "Plaintext": domain.CodeInvalidRequest, "sealed": domain.CodeInvalidRequest,
	} {
		got, err := domain.ParseSensitivity(s)
		if domain.CodeOf(err) != want || err == nil && string(got) != s {
			t.Errorf("ParseSensitivity(%q) = %q, %v", s, got, err)
		}
	}
}

// A secret with values still compares, so cmp never needs to look inside.
func TestValuesCompare(t *testing.T) {
	a := domain.Field{Key: "a", Value: domain.NewPlaintext("x")}
	if !cmp.Equal(a, domain.Field{Key: "a", Value: domain.NewPlaintext("x")}) || cmp.Equal(a, domain.Field{Key: "a", Value: domain.NewPlaintext("y")}) {
		t.Error("fields do not compare by value")
	}
}
