package kms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// secretKey is an unwrapped secret key: the one key of an incarnation of a
// secret, or an unclaimed one that may become it.
type secretKey struct {
	kek     domain.KekID
	org     domain.OrgID
	created time.Time
	key     key
	// values is the key of one event's values, so that it need not be derived for
	// each read. It lives and is cleared with key.
	values eventKey
}

// Format prints [domain.Redacted], whatever the verb.
func (secretKey) Format(f fmt.State, _ rune) { redact(f) }

func (s *secretKey) wipe() {
	clear(s.key[:])
	s.values = eventKey{}
}

// secretKeys makes, loads and destroys secret keys.
type secretKeys struct {
	store  KeyStore
	org    *orgKeys
	source *source
	cache  *cache[domain.KekID, secretKey]
}

// create makes a secret key for org that is durable when it returns
// (invariant 3). The copy is the caller's to clear, and it is not yet cached.
//
// A crash after the store call leaves an unclaimed key, which is swept.
func (s *secretKeys) create(ctx context.Context, org domain.OrgID, log LogStatus) (secretKey, error) {
	ok, err := s.org.current(ctx, org)
	if err != nil {
		return secretKey{}, err
	}
	defer clear(ok.key[:])
	k := secretKey{org: org, created: s.source.millis()}
	if _, err := io.ReadFull(s.source.rand, k.kek[:]); err != nil {
		return secretKey{}, fmt.Errorf("kms: drawing a key id: %w", err)
	}
	if k.key, err = newKey(s.source.rand); err != nil {
		return secretKey{}, err
	}
	record, err := s.wrap(k, ok, log)
	if err == nil {
		err = s.store.CreateSecretKey(ctx, k.kek.String(), record)
	}
	if err != nil {
		k.wipe()
		return secretKey{}, fmt.Errorf("kms: storing a secret key: %w", err)
	}
	return k, nil
}

func (s *secretKeys) wrap(k secretKey, ok orgKey, log LogStatus) ([]byte, error) {
	if log.FirstEvent.IsZero() || log.Applied == 0 {
		return nil, fmt.Errorf("%w: no event is applied yet", ErrUnavailable)
	}
	if err := s.org.spend(); err != nil {
		return nil, err
	}
	const generation = 1
	box, err := sealUnder(ok.key, orgKeyInfo(ok.id()), k.key[:], secretKeyAAD(k.org, ok.id(), k.kek, generation))
	if err != nil {
		return nil, err
	}
	r := secretKeyRecord{
		kek: k.kek, org: k.org, orgKey: ok.generation, generation: generation, box: [secretKeyBox]byte(box),
		created: k.created, first: log.FirstEvent, head: logPosition{position: log.Applied, event: log.AppliedEvent},
	}
	return r.encode()
}

// get gives a secret key of org, from memory or the store. ErrKeyNotFound
// when there is none, also when it is another organization's. The copy is the
// caller's to clear.
func (s *secretKeys) get(ctx context.Context, org domain.OrgID, kek domain.KekID) (secretKey, error) {
	k, err := s.cache.get(ctx, kek, func(ctx context.Context) (secretKey, error) { return s.load(ctx, org, kek) })
	if err != nil {
		return secretKey{}, err
	}
	if k.org != org {
		k.wipe()
		return secretKey{}, ErrKeyNotFound
	}
	return k, nil
}

// remember keeps the event key that k has beside the cached key. Where the key
// is cached no more, by then it may be destroyed, nothing is kept.
func (s *secretKeys) remember(k secretKey) {
	s.cache.change(k.kek, func(cached *secretKey) { cached.values = k.values })
}

// load reads and unwraps a key, whichever organization's it is; org is the one
// that asks.
func (s *secretKeys) load(ctx context.Context, org domain.OrgID, kek domain.KekID) (secretKey, error) {
	stored, err := s.store.SecretKey(ctx, kek.String())
	if err != nil {
		return secretKey{}, fmt.Errorf("kms: reading secret key %s: %w", kek, err)
	}
	r, err := decodeSecretKeyRecord(stored.Record)
	if err == nil && r.kek != kek {
		err = ErrRecord
	}
	if err != nil {
		return secretKey{}, fmt.Errorf("kms: secret key %s at sequence %d: %w", kek, stored.Sequence, err)
	}
	ok, err := s.org.byGeneration(ctx, r.org, r.orgKey)
	if err != nil {
		return secretKey{}, err
	}
	defer clear(ok.key[:])
	raw, err := openUnder(ok.key, orgKeyInfo(ok.id()), r.box[:], secretKeyAAD(r.org, ok.id(), kek, r.generation))
	if err != nil {
		return secretKey{}, fmt.Errorf("kms: opening secret key %s: %w", kek, err)
	}
	defer clear(raw)
	if len(raw) != keyLen {
		return secretKey{}, fmt.Errorf("kms: opening secret key %s: %w", kek, ErrAuth)
	}
	if r.org == org {
		r.org = org // many keys share the caller's text
	}
	return secretKey{kek: kek, org: r.org, created: r.created, key: key(raw)}, nil
}

// destroy erases keys from the store and then from memory. It goes on after a
// failure, so that one unreachable key keeps no other alive.
func (s *secretKeys) destroy(ctx context.Context, keks []domain.KekID) error {
	var failed []error
	for _, kek := range keks {
		if err := s.store.EraseSecretKey(ctx, kek.String()); err != nil {
			failed = append(failed, fmt.Errorf("kms: erasing secret key %s: %w", kek, err))
		}
		// Also after a failure: it may have been erased. Evicting second makes
		// sure that no load which began before the erasure is kept.
		s.cache.evict(kek)
	}
	return errors.Join(failed...)
}
