package kms

import (
	"crypto/cipher"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// fieldCipher seals and opens the plaintext values that one event writes under
// one key: nonce || AES-256-GCM under
// HKDF-Expand(K, LP("chancery/field-value/v1", eventId), 32) with additional
// data LP("chancery/field-value/v1", org, scope, scopeId, secretId, kekId,
// fieldKey, eventId).
type fieldCipher struct {
	aead  cipher.AEAD
	kek   domain.KekID
	event ulid.ULID
}

// eventKey is the key of the values that one event writes, derived from the
// secret's key.
type eventKey struct {
	event ulid.ULID // zero: there is none
	key   key
}

// Format prints [domain.Redacted], whatever the verb.
func (eventKey) Format(f fmt.State, _ rune) { redact(f) }

// newFieldCipher leaves in k the event's key, if it does not have it already.
func newFieldCipher(k *secretKey, event ulid.ULID) (fieldCipher, error) {
	if k.values.event != event || event.IsZero() {
		derived, err := expand(k.key, fieldValueInfo(event), keyLen)
		if err != nil {
			return fieldCipher{}, err
		}
		k.values = eventKey{event: event, key: key(derived)}
		clear(derived)
	}
	aead, err := newAEAD(k.values.key[:])
	return fieldCipher{aead: aead, kek: k.kek, event: event}, err
}

// made says whether the cipher is the one for a sealed value.
func (c *fieldCipher) made(s domain.Sealed) bool {
	return c.aead != nil && c.kek == s.KekID && c.event == s.EventID
}

func (c *fieldCipher) seal(ref domain.SecretRef, field domain.FieldKey, value domain.Plaintext) domain.Sealed {
	plaintext := []byte(value.Reveal())
	defer clear(plaintext)
	box := c.aead.Seal(nil, nil, plaintext, c.aad(ref, field)) //nolint:gosec // G407: no nonce is passed, the cipher draws it.
	return domain.Sealed{KekID: c.kek, EventID: c.event, Box: box}
}

// open gives the value that seal was given, or [ErrAuth].
func (c *fieldCipher) open(ref domain.SecretRef, field domain.FieldKey, box []byte) (domain.Plaintext, error) {
	plaintext, err := openBox(c.aead, box, c.aad(ref, field))
	if err != nil {
		return domain.Plaintext{}, err
	}
	defer clear(plaintext)
	return domain.NewPlaintext(string(plaintext)), nil
}

func (c *fieldCipher) aad(ref domain.SecretRef, field domain.FieldKey) []byte {
	return fieldValueAAD(ref, c.kek, field, c.event)
}
