package wire

import (
	"encoding/base64"
	"log/slog"

	"github.com/chancery-dev/chancery/domain"
)

// EnvelopeVersion is the version of every envelope there is.
const EnvelopeVersion = 1

// Envelope is EncryptedEnvelopeV1: a value that a client sealed with
// AES-256-GCM without additional data. Binary members are standard base64
// with padding, canonical only. It never prints.
type Envelope struct {
	Version           int    `json:"version"`           // 1
	IV                string `json:"iv"`                // 12 bytes
	Ciphertext        string `json:"ciphertext"`        // at most 64 KiB
	AuthTag           string `json:"authTag"`           // 16 bytes
	DataKeyCiphertext string `json:"dataKeyCiphertext"` // as the mint gave it
}

// String gives [domain.Redacted].
func (Envelope) String() string { return domain.Redacted }

// GoString gives [domain.Redacted].
func (Envelope) GoString() string { return domain.Redacted }

// LogValue gives [domain.Redacted].
func (Envelope) LogValue() slog.Value { return slog.StringValue(domain.Redacted) }

// faultCode makes every fault in an envelope's shape an invalid_envelope.
func (Envelope) faultCode() domain.Code { return domain.CodeInvalidEnvelope }

// NewEnvelope gives a stored envelope with exactly the strings that came in.
func NewEnvelope(e domain.Envelope) Envelope {
	return Envelope{
		Version:           EnvelopeVersion,
		IV:                base64.StdEncoding.EncodeToString(e.IV[:]),
		Ciphertext:        base64.StdEncoding.EncodeToString(e.Ciphertext),
		AuthTag:           base64.StdEncoding.EncodeToString(e.AuthTag[:]),
		DataKeyCiphertext: e.DataKey,
	}
}

// Domain checks the shape and decodes. Faults are invalid_envelope, a
// ciphertext over 64 KiB is too_long, each at the pointer below at. The
// dataKeyCiphertext is any string: whether it verifies is not a question of
// shape.
func (e Envelope) Domain(at string) (domain.Envelope, error) {
	if e.Version != EnvelopeVersion {
		return domain.Envelope{}, domain.Errorf(domain.CodeInvalidEnvelope, "the version is %d", EnvelopeVersion).At(at + "/version")
	}
	var d domain.Envelope
	iv, ok := decodeBase64(e.IV)
	if !ok || len(iv) != len(d.IV) {
		return domain.Envelope{}, domain.Errorf(domain.CodeInvalidEnvelope, "the iv is %d bytes in canonical base64", len(d.IV)).At(at + "/iv")
	}
	text, ok := decodeBase64(e.Ciphertext)
	if !ok {
		return domain.Envelope{}, domain.Errorf(domain.CodeInvalidEnvelope, "the ciphertext is canonical base64").At(at + "/ciphertext")
	}
	if len(text) > domain.MaxValueLen {
		return domain.Envelope{}, domain.Errorf(domain.CodeTooLong, "a ciphertext has at most %d bytes", domain.MaxValueLen).At(at + "/ciphertext")
	}
	tag, ok := decodeBase64(e.AuthTag)
	if !ok || len(tag) != len(d.AuthTag) {
		return domain.Envelope{}, domain.Errorf(domain.CodeInvalidEnvelope, "the authTag is %d bytes in canonical base64", len(d.AuthTag)).At(at + "/authTag")
	}
	copy(d.IV[:], iv)
	copy(d.AuthTag[:], tag)
	d.Ciphertext, d.DataKey = text, e.DataKeyCiphertext
	return d, nil
}
