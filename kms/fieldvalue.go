package kms

import (
	"errors"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// sealField seals a plaintext value for the event that writes it:
// nonce || AES-256-GCM under
// HKDF-Expand(K, LP("chancery/field-value/v1", eventId), 32) with additional
// data LP("chancery/field-value/v1", org, scope, scopeId, secretId, kekId,
// fieldKey, eventId).
func sealField(k secretKey, ref domain.SecretRef, field domain.FieldKey, event ulid.ULID, value domain.Plaintext) (domain.Sealed, error) {
	if event.IsZero() {
		return domain.Sealed{}, errors.New("kms: a value is sealed for an event, and the event has no id")
	}
	plaintext := []byte(value.Reveal())
	defer clear(plaintext)
	box, err := sealUnder(k.key, fieldValueInfo(event), plaintext, fieldValueAAD(ref, k.kek, field, event))
	if err != nil {
		return domain.Sealed{}, err
	}
	return domain.Sealed{KekID: k.kek, EventID: event, Box: box}, nil
}

// openField gives the value that sealField was given, or [ErrAuth].
func openField(k secretKey, ref domain.SecretRef, field domain.FieldKey, s domain.Sealed) (domain.Plaintext, error) {
	plaintext, err := openUnder(k.key, fieldValueInfo(s.EventID), s.Box, fieldValueAAD(ref, s.KekID, field, s.EventID))
	if err != nil {
		return domain.Plaintext{}, err
	}
	defer clear(plaintext)
	return domain.NewPlaintext(string(plaintext)), nil
}
