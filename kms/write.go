package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// SealRequest asks for an event in the form in which it is recorded.
type SealRequest struct {
	Ref   domain.SecretRef
	Agent domain.AgentID
	// Keys are the living secret's, empty for SecretCreated and only there.
	Keys    []domain.KekID
	EventID ulid.ULID
	// Event is what Decide gave: values are Plaintext or Envelope. It is not
	// changed.
	Event domain.Event
}

// Seal gives the event with every plaintext sealed under the secret's first
// key and every envelope's data key verified and named in Field.DekID. A
// SecretCreated gets the keys it claims: the distinct ones of its envelopes in
// the order of its fields, else the one handed out to this agent for this
// path, else a new one. Events without values come back as they are.
//
// Errors: data_key_mismatch if any envelope's data key was not made for this
// path by an admissible key at most [MaxDataKeyAge] ago; only when all were,
// data_key_reused if one is used; unavailable.
func (k *Keyring) Seal(ctx context.Context, r SealRequest) (domain.Event, error) {
	switch e := r.Event.(type) {
	case domain.SecretCreated:
		if len(r.Keys) != 0 {
			return nil, errors.New("kms: a secret that is created has no keys yet")
		}
		w, err := k.verifyWrite(ctx, r, e.Fields)
		if err != nil {
			return nil, err
		}
		first, err := k.claim(ctx, r, w.keks)
		if err != nil {
			return nil, err
		}
		defer first.wipe()
		e.KekIDs = w.keks
		if len(e.KekIDs) == 0 {
			e.KekIDs = []domain.KekID{first.kek}
		}
		if e.Fields, err = sealWrite(r, &first, w); err != nil {
			return nil, err
		}
		if w.plaintexts > 0 {
			k.secrets.remember(first)
		}
		return e, nil
	case domain.FieldSet:
		if len(r.Keys) == 0 {
			return nil, errors.New("kms: a living secret has at least one key")
		}
		w, err := k.verifyWrite(ctx, r, []domain.Field{e.Field})
		if err != nil {
			return nil, err
		}
		if w.plaintexts == 0 {
			return domain.FieldSet{Field: w.fields[0]}, nil // without loading the key
		}
		first, err := k.secrets.get(ctx, r.Ref.Org, r.Keys[0])
		if err != nil {
			return nil, living(err)
		}
		defer first.wipe()
		fields, err := sealWrite(r, &first, w)
		if err != nil {
			return nil, err
		}
		return domain.FieldSet{Field: fields[0]}, nil
	case domain.FieldRemoved, domain.SecretRenamed, domain.SecretReclassified, domain.SecretScheduled, domain.SecretDeleted,
		domain.ScopeCreated, domain.ScopeRenamed, domain.ScopeArchived, domain.ScopeRestored,
		domain.MembershipGranted, domain.MembershipRevoked, domain.APIKeyIssued, domain.APIKeyRevoked, domain.KeyDestroyed:
		return e, nil
	default:
		return nil, errors.New("kms: no event, or one that nobody said how to seal")
	}
}

// write is a list of fields on its way into an event.
type write struct {
	fields     []domain.Field // the envelopes' DekIDs are set
	keks       []domain.KekID // distinct, of the envelopes in field order
	plaintexts int
}

// verifyWrite checks every envelope, first all that make a data key wrong and
// then all that make it used.
func (k *Keyring) verifyWrite(ctx context.Context, r SealRequest, fields []domain.Field) (write, error) {
	w := write{fields: slices.Clone(fields)}
	for i, f := range w.fields {
		switch v := f.Value.(type) {
		case domain.Envelope:
			d, err := k.verifyEnvelope(ctx, r, f.Key, v)
			if err != nil {
				return write{}, err
			}
			w.fields[i].DekID = d.DekID()
			if !slices.Contains(w.keks, d.KekID()) {
				w.keks = append(w.keks, d.KekID())
			}
		case domain.Plaintext:
			w.fields[i].DekID = domain.DekID{}
			w.plaintexts++
		case domain.Sealed:
			return write{}, errors.New("kms: the value is sealed already")
		default:
			return write{}, errors.New("kms: a field without a value")
		}
	}
	for _, f := range w.fields {
		if f.DekID.IsZero() {
			continue
		}
		used, err := k.cfg.Claims.DataKeyUsed(f.DekID)
		if err != nil {
			return write{}, fmt.Errorf("kms: claims: %w", err)
		}
		if used {
			return write{}, errReused()
		}
	}
	return w, nil
}

func (k *Keyring) verifyEnvelope(ctx context.Context, r SealRequest, field domain.FieldKey, e domain.Envelope) (DataKey, error) {
	d, err := ParseDataKey(e.DataKey)
	if err != nil {
		return DataKey{}, errMismatch()
	}
	key, err := k.admit(ctx, r.Ref, r.Keys, d.KekID())
	if err != nil {
		return DataKey{}, err
	}
	defer key.wipe()
	if err := d.verify(key, r.Ref, field); err != nil {
		return DataKey{}, mismatchIfForged(err)
	}
	if !d.fresh(k.source.now()) {
		return DataKey{}, errMismatch()
	}
	return d, nil
}

// claim gives the first key of a secret that is created. The append of the
// event is what claims it: a rival's create of the same path loses there.
func (k *Keyring) claim(ctx context.Context, r SealRequest, keks []domain.KekID) (secretKey, error) {
	if len(keks) > 0 {
		key, err := k.secrets.get(ctx, r.Ref.Org, keks[0])
		if err != nil {
			return secretKey{}, presented(err)
		}
		return key, nil
	}
	key, ok, err := k.handedOut(ctx, openPath{agent: r.Agent, ref: r.Ref})
	if err == nil && !ok {
		// A create that then fails leaves the key unclaimed, to be swept.
		key, err = k.unclaimed(ctx, r.Ref.Org)
	}
	if err != nil {
		return secretKey{}, living(err)
	}
	return key, nil
}

// sealWrite gives the fields with their plaintexts sealed.
func sealWrite(r SealRequest, first *secretKey, w write) ([]domain.Field, error) {
	if w.plaintexts == 0 {
		return w.fields, nil
	}
	if r.EventID.IsZero() {
		return nil, errors.New("kms: a value is sealed for an event, and the event has no id")
	}
	values, err := newFieldCipher(first, r.EventID)
	if err != nil {
		return nil, err
	}
	for i, f := range w.fields {
		if p, ok := f.Value.(domain.Plaintext); ok {
			w.fields[i].Value = values.seal(r.Ref, f.Key, p)
		}
	}
	return w.fields, nil
}

// Open gives fields of a secret with every value opened that is sealed: as it
// is recorded, a plaintext one. Errors: unavailable, which wraps
// [ErrKeyNotFound] when a key is destroyed (the secret has been deleted: load
// it again), and internal ones.
func (k *Keyring) Open(ctx context.Context, ref domain.SecretRef, fields []domain.Field) ([]domain.Field, error) {
	opened := slices.Clone(fields)
	var (
		values   fieldCipher // what one event wrote is opened with one
		derived  secretKey   // with the event key that was derived last
		remember = true      // no value was opened with one that was remembered
	)
	defer derived.wipe()
	for i, f := range fields {
		s, ok := f.Value.(domain.Sealed)
		if !ok {
			continue
		}
		if !values.made(s) {
			key, err := k.secrets.get(ctx, ref.Org, s.KekID)
			if err != nil {
				return nil, living(err)
			}
			remember = remember && key.values.event != s.EventID
			values, err = newFieldCipher(&key, s.EventID)
			derived = key
			key.wipe()
			if err != nil {
				return nil, err
			}
		}
		value, err := values.open(ref, f.Key, s.Box)
		if err != nil {
			return nil, fmt.Errorf("kms: field %s of %s: %w", f.Key, ref, err)
		}
		opened[i].Value = value
	}
	if remember && values.aead != nil {
		k.secrets.remember(derived)
	}
	return opened, nil
}
