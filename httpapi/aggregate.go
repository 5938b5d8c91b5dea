package httpapi

import (
	"errors"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// errNotOpened is a fault of ours: a stored value on its way into an answer.
var errNotOpened = errors.New("httpapi: a value was not opened before it was answered")

// aggregateOf encodes a secret. Values are there as far as the state has them.
func aggregateOf(s domain.Secret) (wire.Aggregate, error) {
	a := metadataOf(s)
	for i, f := range s.Fields {
		var err error
		if a.Fields[i].Value, _, err = valueOf(f); err != nil {
			return wire.Aggregate{}, err
		}
	}
	return a, nil
}

// metadataOf encodes a secret without any value.
func metadataOf(s domain.Secret) wire.Aggregate {
	return metadataIn(&s, make([]wire.AggregateField, 0, len(s.Fields)))
}

// metadataIn is metadataOf with the fields put into fields.
func metadataIn(s *domain.Secret, fields []wire.AggregateField) wire.Aggregate {
	a := wire.Aggregate{
		SecretID: string(s.Ref.ID), Scope: string(s.Ref.Scope.Kind), ScopeID: s.Ref.Scope.ID,
		SecretName: s.Name, Category: s.Category, Tags: s.Tags, Version: s.Version,
		CreatedAt: wire.NewTime(s.CreatedAt), CreatedBy: s.CreatedBy,
		UpdatedAt: wire.NewTime(s.UpdatedAt), UpdatedBy: s.UpdatedBy,
		Fields:      fields,
		RotateEvery: s.RotateEvery.String(), ExpiresAt: wire.TimeOrNil(s.ExpiresAt),
	}
	if a.Tags == nil {
		a.Tags = []string{}
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		a.Fields = append(a.Fields, wire.AggregateField{
			Key: string(f.Key), Sensitivity: string(f.Sensitivity), Version: f.Version,
			UpdatedAt: wire.NewTime(f.UpdatedAt), UpdatedBy: f.UpdatedBy,
		})
	}
	return a
}

// envelopesOf encodes a secret's envelopes by field.
func envelopesOf(s domain.Secret) (map[string]wire.Envelope, error) {
	envelopes := map[string]wire.Envelope{}
	for _, f := range s.Fields {
		_, envelope, err := valueOf(f)
		if err != nil {
			return nil, err
		}
		if envelope != nil {
			envelopes[string(f.Key)] = *envelope
		}
	}
	return envelopes, nil
}

// secretOf encodes a secret with all that it holds.
func secretOf(s domain.Secret) (wire.Secret, error) {
	a, err := aggregateOf(s)
	if err != nil {
		return wire.Secret{}, err
	}
	envelopes, err := envelopesOf(s)
	return wire.Secret{Aggregate: a, Envelopes: envelopes}, err
}

// fieldOf encodes one field with its value.
func fieldOf(f domain.SecretField) (wire.Field, error) {
	value, envelope, err := valueOf(f)
	if err == nil && value == nil && envelope == nil {
		err = errNotOpened
	}
	return wire.Field{
		Key: string(f.Key), Sensitivity: string(f.Sensitivity), Value: value, Envelope: envelope,
		Version: f.Version, UpdatedAt: wire.NewTime(f.UpdatedAt), UpdatedBy: f.UpdatedBy,
	}, err
}

// valueOf gives whichever of both a field has; neither where only metadata
// was loaded.
func valueOf(f domain.SecretField) (*wire.Value, *wire.Envelope, error) {
	switch v := f.Value.(type) {
	case nil:
		return nil, nil, nil
	case domain.Plaintext:
		value := wire.Value(v.Reveal())
		return &value, nil, nil
	case domain.Envelope:
		envelope := wire.NewEnvelope(v)
		return nil, &envelope, nil
	case domain.Sealed:
	}
	return nil, nil, errNotOpened
}
