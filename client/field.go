package client

import (
	"context"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// errFieldValue is a domain.Field that holds neither a Plaintext nor an
// Envelope.
var errFieldValue = errors.New("client: a field to be stored holds a plaintext value or an envelope")

// PlaintextField makes a field whose value the server can read: for what is
// not sensitive. It must be valid UTF-8 of at most [domain.MaxValueLen] bytes.
func PlaintextField(key domain.FieldKey, value string) domain.Field {
	return domain.Field{Key: key, Value: domain.NewPlaintext(value)}
}

func inputOf(f domain.Field) (wire.NewField, error) {
	if _, err := domain.ParseFieldKey(string(f.Key)); err != nil {
		return wire.NewField{}, err
	}
	switch v := f.Value.(type) {
	case domain.Plaintext:
		text := v.Reveal()
		if !utf8.ValidString(text) {
			// encoding/json would silently store another value.
			return wire.NewField{}, domain.Errorf(domain.CodeInvalidRequest, "a plaintext value is valid UTF-8; seal binary ones")
		}
		if len(text) > domain.MaxValueLen {
			return wire.NewField{}, domain.Errorf(domain.CodeTooLong, "a value has at most %d bytes", domain.MaxValueLen)
		}
		value := wire.Value(text)
		return wire.NewField{Key: string(f.Key), Sensitivity: string(v.Sensitivity()), Value: &value}, nil
	case domain.Envelope:
		e := wire.NewEnvelope(v)
		return wire.NewField{Key: string(f.Key), Sensitivity: string(v.Sensitivity()), Envelope: &e}, nil
	case domain.Sealed:
	}
	return wire.NewField{}, errFieldValue
}

// GetField reads one field with its value or its envelope.
func (c *Client) GetField(ctx context.Context, ref FieldRef, opts ...Option) (Field, error) {
	path, err := ref.path()
	if err != nil {
		return Field{}, err
	}
	return send[Field](ctx, c, call{method: http.MethodGet, path: path}, opts)
}

// SetField adds a field or replaces its value; durable on nil. The secret must
// exist. Turning an encrypted field into a plaintext one is
// sensitivity_downgrade.
func (c *Client) SetField(ctx context.Context, ref SecretRef, f domain.Field, opts ...Option) (Field, error) {
	path, err := ref.Field(f.Key).path()
	if err != nil {
		return Field{}, err
	}
	in, err := inputOf(f)
	if err != nil {
		return Field{}, err
	}
	body := wire.SetField{Sensitivity: in.Sensitivity, Value: in.Value, Envelope: in.Envelope}
	return send[Field](ctx, c, call{kind: change, method: http.MethodPut, path: path, body: body}, opts)
}

// RemoveField removes a field; durable on nil. Its value can not be read
// again.
func (c *Client) RemoveField(ctx context.Context, ref FieldRef, opts ...Option) (RemovedField, error) {
	path, err := ref.path()
	if err != nil {
		return RemovedField{}, err
	}
	return send[RemovedField](ctx, c, call{kind: change, method: http.MethodDelete, path: path}, opts)
}
