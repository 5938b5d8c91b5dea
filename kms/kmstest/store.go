package kmstest

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/chancery-dev/chancery/kms"
)

// Op names a method of [kms.KeyStore] to a [Fault].
type Op string

// The operations.
const (
	OpCreateOrgKey    Op = "CreateOrgKey"
	OpOrgKeys         Op = "OrgKeys"
	OpCreateSecretKey Op = "CreateSecretKey"
	OpSecretKey       Op = "SecretKey"
	OpEraseSecretKey  Op = "EraseSecretKey"
	OpSecretKeys      Op = "SecretKeys"
)

// Fault decides what becomes of a call: whether a write takes effect, and the
// error that the caller gets instead of the result, if any. It may block.
type Fault func(op Op, id string) (apply bool, err error)

// Store is a [kms.KeyStore] in memory. Reads see every write. The zero value
// is ready.
type Store struct {
	mu    sync.Mutex
	fault Fault
	last  uint64
	keys  []storedKey // in sequence order
}

type storedKey struct {
	kms.StoredKey
	secret bool
}

// SetFault makes every later call ask f; nil ends that.
func (s *Store) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *Store) ask(ctx context.Context, op Op, id string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	f := s.fault
	s.mu.Unlock()
	if f == nil {
		return true, nil
	}
	return f(op, id)
}

// CreateOrgKey implements [kms.KeyStore].
func (s *Store) CreateOrgKey(ctx context.Context, org, id string, record []byte) error {
	return s.create(ctx, OpCreateOrgKey, storedKey{StoredKey: kms.StoredKey{Org: org, ID: id, Record: record}})
}

// CreateSecretKey implements [kms.KeyStore].
func (s *Store) CreateSecretKey(ctx context.Context, kekID string, record []byte) error {
	return s.create(ctx, OpCreateSecretKey, storedKey{StoredKey: kms.StoredKey{ID: kekID, Record: record}, secret: true})
}

func (s *Store) create(ctx context.Context, op Op, k storedKey) error {
	apply, fault := s.ask(ctx, op, k.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if apply {
		if slices.ContainsFunc(s.keys, func(o storedKey) bool { return o.secret == k.secret && o.Org == k.Org && o.ID == k.ID }) {
			return kms.ErrKeyExists
		}
		s.last++
		k.Sequence, k.Record = s.last, slices.Clone(k.Record)
		s.keys = append(s.keys, k)
	}
	return fault
}

// SecretKey implements [kms.KeyStore].
func (s *Store) SecretKey(ctx context.Context, kekID string) (kms.StoredKey, error) {
	if _, err := s.ask(ctx, OpSecretKey, kekID); err != nil {
		return kms.StoredKey{}, err
	}
	for _, k := range s.snapshot(func(k storedKey) bool { return k.secret && k.ID == kekID }) {
		return k, nil
	}
	return kms.StoredKey{}, kms.ErrKeyNotFound
}

// EraseSecretKey implements [kms.KeyStore].
func (s *Store) EraseSecretKey(ctx context.Context, kekID string) error {
	apply, fault := s.ask(ctx, OpEraseSecretKey, kekID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if apply {
		s.keys = slices.DeleteFunc(s.keys, func(k storedKey) bool { return k.secret && k.ID == kekID })
	}
	return fault
}

// OrgKeys implements [kms.KeyStore].
func (s *Store) OrgKeys(ctx context.Context, org string) iter.Seq2[kms.StoredKey, error] {
	return s.read(ctx, OpOrgKeys, func(k storedKey) bool { return !k.secret && k.Org == org })
}

// AllOrgKeys implements [kms.KeyStore].
func (s *Store) AllOrgKeys(ctx context.Context) iter.Seq2[kms.StoredKey, error] {
	return s.read(ctx, OpOrgKeys, func(k storedKey) bool { return !k.secret })
}

// SecretKeys implements [kms.KeyStore].
func (s *Store) SecretKeys(ctx context.Context, after uint64) iter.Seq2[kms.StoredKey, error] {
	return s.read(ctx, OpSecretKeys, func(k storedKey) bool { return k.secret && k.Sequence > after })
}

func (s *Store) read(ctx context.Context, op Op, match func(storedKey) bool) iter.Seq2[kms.StoredKey, error] {
	return func(yield func(kms.StoredKey, error) bool) {
		if _, err := s.ask(ctx, op, ""); err != nil {
			yield(kms.StoredKey{}, err)
			return
		}
		for _, k := range s.snapshot(match) {
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (s *Store) snapshot(match func(storedKey) bool) []kms.StoredKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []kms.StoredKey
	for _, k := range s.keys {
		if match(k) {
			c := k.StoredKey
			c.Record = slices.Clone(c.Record)
			out = append(out, c)
		}
	}
	return out
}

// Replace changes the record of a secret key in place, to play a damaged or
// hostile store. It says whether there is such a key.
func (s *Store) Replace(kekID string, record []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range s.keys {
		if k.secret && k.ID == kekID {
			s.keys[i].Record = slices.Clone(record)
			return true
		}
	}
	return false
}
