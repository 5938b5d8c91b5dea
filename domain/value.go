package domain

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/oklog/ulid/v2"
)

// Redacted is what every value prints.
const Redacted = "[redacted]"

// MaxValueLen is the longest plaintext value and the longest ciphertext, in
// bytes.
const MaxValueLen = 64 << 10

// Sizes of an envelope's fixed parts, in bytes (AES-GCM, NIST SP 800-38D).
const (
	EnvelopeIVLen  = 12
	EnvelopeTagLen = 16
)

// Sensitivity says who can read a field's value.
type Sensitivity string

// The sensitivities: a plaintext field is readable by the server (and sealed
// at rest), an encrypted one only by clients.
const (
	SensitivityPlaintext Sensitivity = "plaintext"
	SensitivityEncrypted Sensitivity = "encrypted"
)

// ParseSensitivity accepts the two names; else invalid_request.
func ParseSensitivity(s string) (Sensitivity, error) {
	switch v := Sensitivity(s); v {
	case SensitivityPlaintext, SensitivityEncrypted:
		return v, nil
	default:
		return "", Errorf(CodeInvalidRequest, "a sensitivity is plaintext or encrypted")
	}
}

// Value is the content of a field: [Plaintext] or [Envelope] in a command,
// [Sealed] or [Envelope] in a recorded event. The codec refuses a Plaintext,
// so one never reaches the log.
//
//sumtype:decl
type Value interface {
	// Sensitivity says who can read the value.
	Sensitivity() Sensitivity
	value()
}

// errNoMarshal is what generic encoders get from a value type.
var errNoMarshal = errors.New("domain: values are not encoded generically")

// redact writes [Redacted] for whatever verb: fmt asks String and GoString for
// a few verbs only, and prints the members for all others.
func redact(f fmt.State) { _, _ = io.WriteString(f, Redacted) }

// Plaintext is a readable value on its way in or out. It never prints. Compare
// it with Equal: == compares where it lies.
type Plaintext struct {
	// text is a pointer because fmt goes by reflection, and asks no method,
	// for the unexported members of whatever holds a value. It does not follow
	// a pointer to a string. nil is the empty text.
	text *string
}

// NewPlaintext wraps s.
func NewPlaintext(s string) Plaintext {
	if s == "" {
		return Plaintext{}
	}
	return Plaintext{text: &s}
}

// Reveal gives the value. Only the sealer and the answer to an authorized
// read call it.
func (p Plaintext) Reveal() string {
	if p.text == nil {
		return ""
	}
	return *p.text
}

// Equal compares in time that depends on the lengths alone.
func (p Plaintext) Equal(q Plaintext) bool {
	return subtle.ConstantTimeCompare([]byte(p.Reveal()), []byte(q.Reveal())) == 1
}

// Sensitivity is plaintext.
func (Plaintext) Sensitivity() Sensitivity { return SensitivityPlaintext }
func (Plaintext) value()                   {}

// Format gives [Redacted] for every verb.
func (Plaintext) Format(f fmt.State, _ rune) { redact(f) }

// String gives [Redacted].
func (Plaintext) String() string { return Redacted }

// GoString gives [Redacted].
func (Plaintext) GoString() string { return Redacted }

// LogValue gives [Redacted].
func (Plaintext) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON always fails.
func (Plaintext) MarshalJSON() ([]byte, error) { return nil, errNoMarshal }

// MarshalText always fails.
func (Plaintext) MarshalText() ([]byte, error) { return nil, errNoMarshal }

// Envelope is a value that a client sealed (EncryptedEnvelopeV1), with its
// binary members decoded. Only canonical base64 is accepted, so encoding them
// again gives exactly the strings that the client sent.
type Envelope struct {
	IV         [EnvelopeIVLen]byte
	Ciphertext []byte
	AuthTag    [EnvelopeTagLen]byte
	// DataKey is the dataKeyCiphertext as the client sent it. In a recorded
	// event it has been verified, so it is canonical and of fixed length.
	DataKey string
}

// Equal says whether all members are the same bytes.
func (e Envelope) Equal(f Envelope) bool {
	return e.IV == f.IV && e.AuthTag == f.AuthTag && e.DataKey == f.DataKey && bytes.Equal(e.Ciphertext, f.Ciphertext)
}

// Sensitivity is encrypted.
func (Envelope) Sensitivity() Sensitivity { return SensitivityEncrypted }
func (Envelope) value()                   {}

// Format gives [Redacted] for every verb.
func (Envelope) Format(f fmt.State, _ rune) { redact(f) }

// String gives [Redacted].
func (Envelope) String() string { return Redacted }

// GoString gives [Redacted].
func (Envelope) GoString() string { return Redacted }

// LogValue gives [Redacted].
func (Envelope) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON always fails.
func (Envelope) MarshalJSON() ([]byte, error) { return nil, errNoMarshal }

// MarshalText always fails.
func (Envelope) MarshalText() ([]byte, error) { return nil, errNoMarshal }

// Sealed is a plaintext value sealed at rest under a secret key, bound to the
// event that wrote it.
type Sealed struct {
	KekID KekID
	// EventID is the event whose body holds the box. It is not stored twice:
	// the codec takes it from the record.
	EventID ulid.ULID
	// Box is nonce (12 bytes), ciphertext and tag (16 bytes).
	Box []byte
}

// Equal says whether both are the same sealed bytes.
func (s Sealed) Equal(t Sealed) bool {
	return s.KekID == t.KekID && s.EventID == t.EventID && slices.Equal(s.Box, t.Box)
}

// Sensitivity is plaintext: the word tells who may read it, not how it lies.
func (Sealed) Sensitivity() Sensitivity { return SensitivityPlaintext }
func (Sealed) value()                   {}

// Format gives [Redacted] for every verb.
func (Sealed) Format(f fmt.State, _ rune) { redact(f) }

// String gives [Redacted].
func (Sealed) String() string { return Redacted }

// GoString gives [Redacted].
func (Sealed) GoString() string { return Redacted }

// LogValue gives [Redacted].
func (Sealed) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON always fails.
func (Sealed) MarshalJSON() ([]byte, error) { return nil, errNoMarshal }

// MarshalText always fails.
func (Sealed) MarshalText() ([]byte, error) { return nil, errNoMarshal }

// Field is one field of a command or an event.
type Field struct {
	Key   FieldKey
	Value Value
	// DekID is the data key of an envelope, set when it has been verified;
	// zero before that and for plaintext fields.
	DekID DekID
}
