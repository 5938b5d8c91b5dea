package kms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/chancery-dev/chancery/domain"
)

// ReleaseRequest asks for the plaintext of a data key. The caller has been
// authorized.
type ReleaseRequest struct {
	Ref   domain.SecretRef
	Field domain.FieldKey
	Agent domain.AgentID
	// Keys are the living secret's, empty when it does not exist.
	Keys       []domain.KekID
	Ciphertext string
	// Current is the data key of the field's current envelope, "" if none.
	Current string
}

// Format prints the path alone, whatever the verb.
func (r ReleaseRequest) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "release of a data key of "+r.Ref.String())
}

// Release gives a data key's 32 bytes, which are the caller's to clear. It
// must be the one of the field's current envelope, or a mint of this agent
// that is at most [MaxDataKeyAge] old and used nowhere. Everything else is
// data_key_mismatch, in one text. Errors also: unavailable.
func (k *Keyring) Release(ctx context.Context, r ReleaseRequest) ([]byte, error) {
	d, err := ParseDataKey(r.Ciphertext)
	if err != nil {
		return nil, errMismatch()
	}
	key, err := k.admit(ctx, r.Ref, r.Keys, d.KekID())
	if err != nil {
		return nil, err
	}
	defer key.wipe()
	dek, err := d.open(key, r.Ref, r.Field)
	if err != nil {
		return nil, mismatchIfForged(err)
	}
	if err := k.releasable(&d, r); err != nil {
		clear(dek)
		return nil, err
	}
	return dek, nil
}

func (k *Keyring) releasable(d *DataKey, r ReleaseRequest) error {
	if r.Ciphertext == r.Current {
		return nil
	}
	if d.Minter() != r.Agent.ULID() || !d.fresh(k.source.now()) {
		return errMismatch()
	}
	used, err := k.cfg.Claims.DataKeyUsed(d.DekID())
	if err != nil {
		return fmt.Errorf("kms: claims: %w", err)
	}
	if used {
		return errMismatch()
	}
	return nil
}

// admit gives the secret key that a client's ciphertext names, if it may be
// used for ref now (invariant 2); else data_key_mismatch. keys are the living
// secret's, empty when it does not exist. The copy is the caller's to clear.
func (k *Keyring) admit(ctx context.Context, ref domain.SecretRef, keys []domain.KekID, kek domain.KekID) (secretKey, error) {
	if len(keys) > 0 && !slices.Contains(keys, kek) {
		return secretKey{}, errMismatch()
	}
	if len(keys) == 0 {
		claimed, err := k.cfg.Claims.KekClaimed(kek)
		if err != nil {
			return secretKey{}, fmt.Errorf("kms: claims: %w", err)
		}
		if claimed {
			return secretKey{}, errMismatch()
		}
	}
	key, err := k.secrets.get(ctx, ref.Org, kek)
	if err != nil {
		return secretKey{}, presented(err)
	}
	if len(keys) == 0 && k.source.now().Sub(key.created) > MaxClaimAge {
		key.wipe()
		return secretKey{}, errMismatch()
	}
	return key, nil
}

func mismatchIfForged(err error) error {
	if errors.Is(err, ErrAuth) {
		return errMismatch()
	}
	return err
}
