package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms/seal"
)

// maxReveals bounds how often Reveal reads a field that a writer keeps
// replacing.
const maxReveals = 3

// SealField seals a value for a field on this machine: it mints a data key,
// seals, and clears the key. Nothing is stored: the result is for one
// [Client.SetField] or [Client.CreateSecret] of the same secret within 15
// minutes. value is at most [domain.MaxValueLen] bytes and stays the caller's
// to clear.
//
// Sealing the same value twice gives two envelopes, so a write that is to be
// repeated with its [IdempotencyKey] must be repeated with the same
// domain.Field.
func (c *Client) SealField(ctx context.Context, ref FieldRef, value []byte, opts ...Option) (domain.Field, error) {
	if len(value) > domain.MaxValueLen {
		return domain.Field{}, domain.Errorf(domain.CodeTooLong, "a value has at most %d bytes", domain.MaxValueLen)
	}
	key, err := c.GenerateDataKey(ctx, ref, opts...)
	if err != nil {
		return domain.Field{}, err
	}
	defer key.Clear()
	e, err := seal.Seal(key.Plaintext, key.Ciphertext, value)
	if err != nil {
		return domain.Field{}, fmt.Errorf("client: sealing: %w", err)
	}
	return domain.Field{Key: ref.Key, Value: e}, nil
}

// OpenField opens an envelope of a field on this machine: it has the data key
// released, opens, and clears the key. An envelope that the field no longer
// has is data_key_mismatch; one that does not open is [seal.ErrOpen].
func (c *Client) OpenField(ctx context.Context, ref FieldRef, e Envelope, opts ...Option) ([]byte, error) {
	sealed, err := e.Domain("")
	if err != nil {
		return nil, err
	}
	key, err := c.DecryptDataKey(ctx, ref, sealed.DataKey, opts...)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	value, err := seal.Open(key, sealed)
	if err != nil {
		return nil, fmt.Errorf("client: opening %s: %w", ref.Key, err)
	}
	return value, nil
}

// Revealed is a field's value, opened on this machine. It never prints.
type Revealed struct {
	Value       []byte
	Sensitivity domain.Sensitivity
	Version     uint64 // the secret's version that set it
}

// String gives [domain.Redacted].
func (Revealed) String() string { return domain.Redacted }

// GoString gives [domain.Redacted].
func (Revealed) GoString() string { return domain.Redacted }

// Reveal reads a field and gives its value, opened here if it is encrypted. A
// field that is replaced in between is read again, a few times.
func (c *Client) Reveal(ctx context.Context, ref FieldRef, opts ...Option) (Revealed, error) {
	last := ""
	for n := 1; ; n++ {
		f, err := c.GetField(ctx, ref, opts...)
		if err != nil {
			return Revealed{}, err
		}
		r := Revealed{Sensitivity: domain.Sensitivity(f.Sensitivity), Version: f.Version}
		switch {
		case f.Value != nil:
			r.Value = []byte(*f.Value)
			return r, nil
		case f.Envelope == nil:
			return Revealed{}, errAnswer
		}
		r.Value, err = c.OpenField(ctx, ref, *f.Envelope, opts...)
		if err == nil {
			return r, nil
		}
		raced := errors.Is(err, domain.Errorf(domain.CodeDataKeyMismatch, "")) && f.Envelope.DataKeyCiphertext != last
		if !raced || n == maxReveals {
			return Revealed{}, err
		}
		last = f.Envelope.DataKeyCiphertext
	}
}
