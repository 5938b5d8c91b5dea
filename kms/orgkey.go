package kms

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/chancery-dev/chancery/domain"
)

// maxWraps bounds how often one org key wraps: half of what random 96-bit
// nonces allow (NIST SP 800-38D, section 8.3).
const maxWraps = 1 << 31

// orgKey is an unwrapped org key.
type orgKey struct {
	generation uint32
	key        key
}

// Format prints [domain.Redacted], whatever the verb.
func (orgKey) Format(f fmt.State, _ rune) { redact(f) }

func (o orgKey) id() string { return orgKeyID(o.generation) }

// orgKeyName names an org key in the cache; generation 0 means the highest.
type orgKeyName struct {
	org        domain.OrgID
	generation uint32
}

// orgKeys makes and unwraps org keys.
type orgKeys struct {
	store    KeyStore
	provider Provider
	source   *source
	cache    *cache[orgKeyName, orgKey]
	// wraps counts the secret keys that this process wrapped, and stored is
	// the highest sequence it saw in the store. Their sum is above what any
	// one org key wrapped.
	wraps, stored atomic.Uint64

	// used are the organizations that secret keys up to a sequence name.
	usedMu sync.Mutex
	used   map[domain.OrgID]struct{}
	usedTo uint64
}

// orgKeyID is the id of an org key. It follows from the generation alone, so
// that of two nodes which make the same one only one can store it.
func orgKeyID(generation uint32) string { return "k" + strconv.FormatUint(uint64(generation), 10) }

// current gives the org key that wraps new secret keys, making the first one
// if there is none. The copy is the caller's to clear.
func (o *orgKeys) current(ctx context.Context, org domain.OrgID) (orgKey, error) {
	return o.cache.get(ctx, orgKeyName{org: org}, func(ctx context.Context) (orgKey, error) {
		r, err := o.newest(ctx, org)
		if !errors.Is(err, ErrKeyNotFound) {
			if err != nil {
				return orgKey{}, err
			}
			return o.unwrap(ctx, r)
		}
		// Another key of a lost one's id would hide the loss, and could open
		// nothing that the lost one wrapped.
		if used, err := o.inUse(ctx, org); err != nil {
			return orgKey{}, err
		} else if used {
			if r, err = o.newest(ctx, org); errors.Is(err, ErrKeyNotFound) { // not another node's new one
				err = fmt.Errorf("kms: the org key of %s, which wrapped secret keys: %w", org, errOrgKeyMissing)
			}
			if err != nil {
				return orgKey{}, err
			}
			return o.unwrap(ctx, r)
		}
		// A crash after the store call leaves the org key that the next call
		// finds.
		err = o.create(ctx, org)
		if err != nil && !errors.Is(err, ErrKeyExists) {
			return orgKey{}, err
		}
		// Read back, also what we made: what is stored is what counts.
		if r, err = o.newest(ctx, org); err != nil {
			return orgKey{}, err
		}
		return o.unwrap(ctx, r)
	})
}

// byGeneration returns the org key that a secret key's record names.
func (o *orgKeys) byGeneration(ctx context.Context, org domain.OrgID, generation uint32) (orgKey, error) {
	return o.cache.get(ctx, orgKeyName{org: org, generation: generation}, func(ctx context.Context) (orgKey, error) {
		for stored, err := range o.store.OrgKeys(ctx, string(org)) {
			if err != nil {
				return orgKey{}, fmt.Errorf("kms: reading org keys: %w", err)
			}
			if stored.ID != orgKeyID(generation) {
				continue
			}
			r, err := readOrgKey(stored)
			if err != nil {
				return orgKey{}, err
			}
			return o.unwrap(ctx, r)
		}
		return orgKey{}, fmt.Errorf("kms: org key %s of %s: %w", orgKeyID(generation), org, errOrgKeyMissing)
	})
}

// errOrgKeyMissing is apart from ErrKeyNotFound: an org key is never erased,
// so its absence is a damaged store and no answer to a client.
var errOrgKeyMissing = errors.New("it is not in the key store")

// inUse reports whether a stored secret key is of the organization. Each key is
// read once.
func (o *orgKeys) inUse(ctx context.Context, org domain.OrgID) (bool, error) {
	o.usedMu.Lock()
	defer o.usedMu.Unlock()
	for stored, err := range o.store.SecretKeys(ctx, o.usedTo) {
		if err != nil {
			return false, fmt.Errorf("kms: reading secret keys: %w", err)
		}
		if r, err := decodeSecretKeyRecord(stored.Record); err == nil {
			o.used[r.org] = struct{}{}
		}
		o.usedTo = stored.Sequence
	}
	_, ok := o.used[org]
	return ok, nil
}

func (o *orgKeys) newest(ctx context.Context, org domain.OrgID) (orgKeyRecord, error) {
	var newest orgKeyRecord
	for stored, err := range o.store.OrgKeys(ctx, string(org)) {
		if err != nil {
			return orgKeyRecord{}, fmt.Errorf("kms: reading org keys: %w", err)
		}
		r, err := readOrgKey(stored)
		if err != nil {
			return orgKeyRecord{}, err
		}
		if r.Generation > newest.Generation {
			newest = r
		}
	}
	if newest.Generation == 0 {
		return orgKeyRecord{}, ErrKeyNotFound
	}
	return newest, nil
}

func (o *orgKeys) create(ctx context.Context, org domain.OrgID) error {
	const generation = 1
	k, err := newKey(o.source.rand)
	if err != nil {
		return err
	}
	defer clear(k[:])
	id := orgKeyID(generation)
	w, err := o.provider.Wrap(ctx, k[:], orgKeyAAD(org, id))
	if err != nil {
		return fmt.Errorf("kms: wrapping an org key: %w", err)
	}
	record, err := encodeRecord(orgKeyRecord{
		V: recordVersion, Org: org, ID: id, Generation: generation, Wrapped: w, CreatedAt: o.source.millis(),
	})
	if err != nil {
		return err
	}
	if err := o.store.CreateOrgKey(ctx, string(org), id, record); err != nil {
		return fmt.Errorf("kms: storing an org key: %w", err)
	}
	return nil
}

func (o *orgKeys) unwrap(ctx context.Context, r orgKeyRecord) (orgKey, error) {
	k, err := unwrapOrgKey(ctx, o.provider, r)
	if err != nil {
		return orgKey{}, err
	}
	return orgKey{generation: r.Generation, key: k}, nil
}

// spend counts one wrap, or refuses it.
func (o *orgKeys) spend() error {
	if o.stored.Load()+o.wraps.Add(1) > maxWraps {
		return errors.New("kms: the org keys have wrapped as many keys as they may")
	}
	return nil
}

// readOrgKey decodes a stored org key and checks that it says it is what it
// was stored as.
func readOrgKey(stored StoredKey) (orgKeyRecord, error) {
	r, err := decodeOrgKeyRecord(stored.Record)
	if err == nil && (string(r.Org) != stored.Org || r.ID != stored.ID || r.Generation == 0 || r.ID != orgKeyID(r.Generation)) {
		err = ErrRecord
	}
	if err != nil {
		return orgKeyRecord{}, fmt.Errorf("kms: org key at sequence %d: %w", stored.Sequence, err)
	}
	return r, nil
}

func unwrapOrgKey(ctx context.Context, p Provider, r orgKeyRecord) (key, error) {
	raw, err := p.Unwrap(ctx, r.Wrapped, orgKeyAAD(r.Org, r.ID))
	if err != nil {
		return key{}, fmt.Errorf("kms: unwrapping org key %s of %s: %w", r.ID, r.Org, err)
	}
	defer clear(raw)
	if len(raw) != keyLen {
		return key{}, fmt.Errorf("kms: unwrapping org key %s of %s: %w", r.ID, r.Org, ErrAuth)
	}
	return key(raw), nil
}

// CheckProvider unwraps every org key in the store and says how many there
// are. An error means that this provider is not, or not wholly, the one that
// wrapped them; it names the first org key that does not open.
func CheckProvider(ctx context.Context, p Provider, s KeyStore) (orgKeys int, err error) {
	for stored, err := range s.AllOrgKeys(ctx) {
		if err != nil {
			return orgKeys, fmt.Errorf("kms: reading org keys: %w", err)
		}
		r, err := readOrgKey(stored)
		if err != nil {
			return orgKeys, err
		}
		k, err := unwrapOrgKey(ctx, p, r)
		if err != nil {
			return orgKeys, err
		}
		clear(k[:])
		orgKeys++
	}
	return orgKeys, nil
}
