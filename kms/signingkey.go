package kms

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// signingAlgorithm names the one kind of signing key there is.
const signingAlgorithm = "Ed25519"

// labelLogKey is frozen like the labels of [LP]'s own file.
const labelLogKey = "chancery/log-key/v1"

// signingKeyAAD binds the signing key to the bootstrap organization, which
// names the logs.
func signingKeyAAD(org domain.OrgID) []byte { return LP(labelLogKey, string(org)) }

// ErrNoSigningKey says that a log that has to have a signing key has none.
var ErrNoSigningKey = errors.New("kms: there is no signing key")

// signingKeyRecord is the key that signs the logs' checkpoints, at rest. The
// public key is readable without the root key, for those who only verify.
type signingKeyRecord struct {
	V         int          `json:"v"`
	Algorithm string       `json:"algorithm"`
	Org       domain.OrgID `json:"org"`
	PublicKey []byte       `json:"publicKey"`
	Wrapped   Wrapped      `json:"wrapped"` // the seed of 32 bytes (RFC 8032)
	CreatedAt time.Time    `json:"createdAt"`
}

// SigningKeyStore keeps the wrapped signing key. Records are opaque to it.
type SigningKeyStore interface {
	// SigningKey gives the stored record, nil when there is none.
	SigningKey(ctx context.Context) ([]byte, error)
	// AddSigningKey stores it when there is none yet. Nil means durable; any
	// error leaves open which record, if any, is there.
	AddSigningKey(ctx context.Context, record []byte) error
}

// LoadSigningKey gives the seed of the key that signs the checkpoints of the
// bootstrap organization's logs. The seed is the caller's to clear.
//
// With create it makes the key when there is none; of nodes that start at the
// same time one wins, and all get its key. Without, that is ErrNoSigningKey:
// a log that has checkpoints never gets a second key. Other errors: ErrRecord,
// those of the provider and of the store.
func LoadSigningKey(ctx context.Context, p Provider, s SigningKeyStore, org domain.OrgID, create bool, rand io.Reader, now func() time.Time) ([]byte, error) {
	record, err := s.SigningKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("kms: reading the signing key: %w", err)
	}
	if record == nil {
		if !create {
			return nil, ErrNoSigningKey
		}
		fresh, err := newSigningKey(ctx, p, org, rand, now())
		if err != nil {
			return nil, err
		}
		// A crash before this leaves nothing; after it, the key that the next
		// start finds. An error may be a rival's success, or our own in doubt:
		// what is stored is what counts.
		failed := s.AddSigningKey(ctx, fresh)
		if record, err = s.SigningKey(ctx); err != nil {
			return nil, fmt.Errorf("kms: reading the signing key: %w", err)
		}
		if record == nil {
			return nil, fmt.Errorf("kms: storing the signing key: %w", errors.Join(failed, ErrNoSigningKey))
		}
	}
	return OpenSigningKey(ctx, p, org, record)
}

// newSigningKey draws a seed and wraps it.
func newSigningKey(ctx context.Context, p Provider, org domain.OrgID, rand io.Reader, now time.Time) ([]byte, error) {
	seed, err := newKey(rand)
	if err != nil {
		return nil, err
	}
	defer clear(seed[:])
	private := ed25519.NewKeyFromSeed(seed[:])
	defer clear(private)
	w, err := p.Wrap(ctx, seed[:], signingKeyAAD(org))
	if err != nil {
		return nil, fmt.Errorf("kms: wrapping the signing key: %w", err)
	}
	return encodeRecord(signingKeyRecord{
		V: recordVersion, Algorithm: signingAlgorithm, Org: org, PublicKey: private[ed25519.SeedSize:],
		Wrapped: w, CreatedAt: now.UTC().Truncate(time.Millisecond),
	})
}

// OpenSigningKey unwraps a stored signing key and gives its seed, which is the
// caller's to clear. Errors: ErrRecord, also for a record of another
// organization; those of the provider; ErrAuth when the seed is not that of
// the record's public key.
func OpenSigningKey(ctx context.Context, p Provider, org domain.OrgID, record []byte) ([]byte, error) {
	r, err := decodeSigningKey(record)
	if err != nil {
		return nil, err
	}
	if r.Org != org {
		return nil, fmt.Errorf("%w: the signing key is that of %s, not of %s", ErrRecord, r.Org, org)
	}
	seed, err := p.Unwrap(ctx, r.Wrapped, signingKeyAAD(org))
	if err != nil {
		return nil, fmt.Errorf("kms: unwrapping the signing key: %w", err)
	}
	if len(seed) != ed25519.SeedSize {
		clear(seed)
		return nil, fmt.Errorf("kms: unwrapping the signing key: %w", ErrAuth)
	}
	private := ed25519.NewKeyFromSeed(seed)
	defer clear(private)
	if !bytes.Equal(private[ed25519.SeedSize:], r.PublicKey) {
		clear(seed)
		return nil, fmt.Errorf("kms: the signing key is not that of its public key: %w", ErrAuth)
	}
	return seed, nil
}

// SigningPublicKey reads from a stored signing key what needs no root key: its
// public key and the organization it is for. Errors: ErrRecord.
func SigningPublicKey(record []byte) (ed25519.PublicKey, domain.OrgID, error) {
	r, err := decodeSigningKey(record)
	if err != nil {
		return nil, "", err
	}
	return r.PublicKey, r.Org, nil
}

// decodeSigningKey accepts exactly the bytes that encodeRecord gives.
func decodeSigningKey(raw []byte) (signingKeyRecord, error) {
	var r signingKeyRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return signingKeyRecord{}, ErrRecord // Its text could show a piece of the record.
	}
	again, err := encodeRecord(r)
	if err != nil || !bytes.Equal(raw, again) ||
		r.V != recordVersion || r.Algorithm != signingAlgorithm || r.Org == "" || len(r.PublicKey) != ed25519.PublicKeySize {
		return signingKeyRecord{}, ErrRecord
	}
	return r, nil
}
