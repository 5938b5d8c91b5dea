package kms

import (
	"context"
	"fmt"
	"iter"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// Errors of a [KeyStore]. One that can't be reached wraps [ErrUnavailable].
// They are the domain's, so that a store needs nothing of this package.
var (
	// ErrKeyExists: there is a key of this id already.
	ErrKeyExists = domain.ErrKeyExists
	// ErrKeyNotFound: there is no such key; it was erased or never made.
	ErrKeyNotFound = domain.ErrKeyNotFound
)

// StoredKey is one wrapped key as it lies in a [KeyStore].
type StoredKey = domain.StoredKey

// KeyStore holds wrapped keys. It is no log: secret keys are erased for good.
// Ids and orgs are of A-Z a-z 0-9 _ - only, and kekIDs are 32 hexadecimal
// digits. A secret key's record has at most 192 bytes. Sequences ascend in the
// order of creation and are not given out again, also after a restart; those
// of org keys and of secret keys may be counted apart. All methods are safe for
// concurrent use, and a read sees every write that returned before it began.
//
// A write that fails with anything but ErrKeyExists may or may not have been
// stored. A key that was stored so is never used, and swept.
type KeyStore interface {
	// CreateOrgKey stores a new org key, durable on nil. Of several calls
	// with the same org and id exactly one succeeds, the others get
	// ErrKeyExists. Org keys are never erased.
	CreateOrgKey(ctx context.Context, org, id string, record []byte) error
	// OrgKeys gives the org keys of one organization, in sequence order.
	OrgKeys(ctx context.Context, org string) iter.Seq2[StoredKey, error]
	// AllOrgKeys gives the org keys of every organization, in sequence order.
	AllOrgKeys(ctx context.Context) iter.Seq2[StoredKey, error]
	// CreateSecretKey stores a new secret key, durable on nil, or gives
	// ErrKeyExists. It is written by itself, never through a staging file
	// that an erasure would not reach.
	CreateSecretKey(ctx context.Context, kekID string, record []byte) error
	// SecretKey gives a secret key, or ErrKeyNotFound.
	SecretKey(ctx context.Context, kekID string) (StoredKey, error)
	// EraseSecretKey overwrites every stored copy of the key, durable on nil.
	// nil also when there is none, and ErrUnavailable while torn slots may hold
	// what is left of it.
	EraseSecretKey(ctx context.Context, kekID string) error
	// SecretKeys gives every stored secret key with a sequence above after,
	// in sequence order, as of some moment after the call.
	SecretKeys(ctx context.Context, after uint64) iter.Seq2[StoredKey, error]
}

// LogStatus is how the event log and this node's view of it stand.
type LogStatus struct {
	FirstEvent   ulid.ULID // id of the first event: the log's identity; zero when it is empty
	Head         uint64    // the last durable position in the log; 0 when there is none
	Stored       uint64    // the last position in the log, durable or not
	Applied      uint64    // the last position that Claims reflects
	AppliedEvent ulid.ULID // id of the event there; zero for a proven foreign message
}

// EventLog reports how the event log stands.
type EventLog interface {
	// Status reads Head and Stored no later than Applied, so Applied >= Head
	// means that everything up to Head is applied. While a projection is rebuilt, Applied
	// is how far the rebuild has come, or 0, before Claims first answers from
	// it. What is applied is durable.
	Status(ctx context.Context) (LogStatus, error)
	// EventAt returns the id of the event at a position of at least 1 and at
	// most Head, zero for a proven foreign message.
	EventAt(ctx context.Context, position uint64) (ulid.ULID, error)
}

// Claims answers from the projection of the event log.
type Claims interface {
	// KekClaimed says whether any event ever claimed the secret key, also
	// when its secret is deleted since.
	KekClaimed(kek domain.KekID) (bool, error)
	// DataKeyUsed says whether an event used the data key for an envelope. It
	// must know every data key younger than MaxDataKeyAge and every one of a
	// field's current envelope.
	DataKeyUsed(dek domain.DekID) (bool, error)
	// LivingKeks yields the secret keys of all living secrets, as of one
	// moment, in no particular order. An error is the last pair.
	LivingKeks(ctx context.Context) iter.Seq2[domain.KekID, error]
}

// StoreEmpty says whether the store holds no key at all.
func StoreEmpty(ctx context.Context, s KeyStore) (bool, error) {
	for _, err := range s.AllOrgKeys(ctx) {
		return false, err
	}
	for _, err := range s.SecretKeys(ctx, 0) {
		return false, err
	}
	return true, nil
}

// CheckKeys reads every secret key's record, without opening the key, and
// checks that its organization's key is in the store. Errors: ErrRecord, one
// that names the missing org key, and those of the store.
func CheckKeys(ctx context.Context, s KeyStore) error {
	orgs := map[orgKeyName]struct{}{}
	for stored, err := range s.AllOrgKeys(ctx) {
		if err != nil {
			return fmt.Errorf("kms: reading org keys: %w", err)
		}
		r, err := readOrgKey(stored)
		if err != nil {
			return err
		}
		orgs[orgKeyName{org: r.Org, generation: r.Generation}] = struct{}{}
	}
	for stored, err := range s.SecretKeys(ctx, 0) {
		if err != nil {
			return fmt.Errorf("kms: reading secret keys: %w", err)
		}
		r, err := decodeSecretKeyRecord(stored.Record)
		if err == nil && r.kek.String() != stored.ID {
			err = ErrRecord
		}
		if err != nil {
			return fmt.Errorf("kms: secret key %s at sequence %d: %w", stored.ID, stored.Sequence, err)
		}
		if _, ok := orgs[orgKeyName{org: r.org, generation: r.orgKey}]; !ok {
			return fmt.Errorf("kms: org key %s of %s: %w", orgKeyID(r.orgKey), r.org, errOrgKeyMissing)
		}
	}
	return nil
}
