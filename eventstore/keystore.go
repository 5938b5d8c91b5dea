package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

// Subjects of the keys' stream: chancery.keys.secret.<kekId in hex> and
// chancery.keys.org.<orgId>.<orgKeyId>.
const (
	secretKeyPrefix = keyPrefix + "secret."
	orgKeyPrefix    = keyPrefix + "org."
)

// keyBatch is how many keys are asked for at once.
const keyBatch = 500

// KeyStore keeps wrapped keys in a stream of an external JetStream, from which
// single messages can be erased; an embedded node keeps them in files instead.
// Records are opaque to it. Safe for concurrent use.
//
// Iterators yield an error at most once, as their last pair; keys that are
// erased while they run may be missing or not.
type KeyStore struct {
	jetStreamBroker
	appender appender
}

// OpenKeyStore makes the keys' stream when it is missing, verifies it and
// gives the store. The connection is as for [OpenJetStream], replicas as in
// [Options]. Errors: ErrConfiguration, ErrUnavailable.
func OpenKeyStore(ctx context.Context, nc *nats.Conn, replicas int) (*KeyStore, error) {
	b, err := openBroker(ctx, nc, keysConfig(max(1, replicas)))
	if err != nil {
		return nil, err
	}
	k := &KeyStore{jetStreamBroker: b}
	k.appender = appender{broker: &k.jetStreamBroker, timing: defaultTiming()}
	return k, nil
}

// Verify checks that the stream still is configured as it must be;
// ErrConfiguration names the setting that is not.
func (k *KeyStore) Verify(ctx context.Context) error { return k.verify(ctx) }

// CreateOrgKey stores an organization's key. Nil means durable;
// domain.ErrKeyExists: the id is taken by another record and nothing was
// stored. ErrUnavailable and ErrUncertain are those of [Log.Append].
func (k *KeyStore) CreateOrgKey(ctx context.Context, org, id string, record []byte) error {
	if err := checkToken(org, id); err != nil {
		return err
	}
	return k.create(ctx, orgKeyPrefix+org+"."+id, record)
}

// CreateSecretKey stores a secret's key. Nil means durable;
// domain.ErrKeyExists: the id is taken by another record and nothing was
// stored. ErrUnavailable and ErrUncertain are those of [Log.Append].
func (k *KeyStore) CreateSecretKey(ctx context.Context, kekID string, record []byte) error {
	if _, err := domain.ParseKekID(kekID); err != nil {
		return err
	}
	return k.create(ctx, secretKeyPrefix+kekID, record)
}

// create publishes singly: the staging files of a batch are not erased.
func (k *KeyStore) create(ctx context.Context, subject string, record []byte) error {
	_, _, err := k.appender.store(ctx, write{messages: []message{{subject: subject, body: record}}})
	if errors.Is(err, ErrConflict) {
		return domain.ErrKeyExists
	}
	return err
}

// SecretKey gives one secret's key. domain.ErrKeyNotFound: there is none;
// ErrUnavailable: the store cannot be reached.
func (k *KeyStore) SecretKey(ctx context.Context, kekID string) (domain.StoredKey, error) {
	if _, err := domain.ParseKekID(kekID); err != nil {
		return domain.StoredKey{}, err
	}
	m, ok, err := k.last(ctx, secretKeyPrefix+kekID)
	if err != nil {
		return domain.StoredKey{}, err
	}
	if !ok {
		return domain.StoredKey{}, domain.ErrKeyNotFound
	}
	return storedKey(m)
}

// EraseSecretKey overwrites and removes every message of a secret's key; nil
// also when there is none. It is durable on nil if the server syncs always.
// After an error the key may be erased or not, and erasing can be repeated.
//
// The server writes the key's block file anew and renames it, so the bytes
// are gone from its files at once; that the disk's free space keeps nothing is
// beyond it, and so are copies in Raft logs of a replicated stream. A server
// that encrypts its store does not overwrite: there the bytes stay, under its
// own key.
func (k *KeyStore) EraseSecretKey(ctx context.Context, kekID string) error {
	if _, err := domain.ParseKekID(kekID); err != nil {
		return err
	}
	stream, err := k.js.Stream(ctx, k.config.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for {
		m, ok, err := k.next(ctx, secretKeyPrefix+kekID, 0)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if err := stream.SecureDeleteMsg(ctx, m.position); err != nil && !k.gone(ctx, m.position) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// gone says for certain that there is no message at a position: another node
// may have erased it first.
func (k *KeyStore) gone(ctx context.Context, position uint64) bool {
	_, _, ok, err := k.get(ctx, getRequest{Sequence: position})
	return err == nil && !ok
}

// SecretKeys yields every stored secret key with a higher sequence, in order.
func (k *KeyStore) SecretKeys(ctx context.Context, after uint64) iter.Seq2[domain.StoredKey, error] {
	return k.keys(ctx, secretKeyPrefix+"*", after)
}

// OrgKeys yields one organization's keys, oldest first.
func (k *KeyStore) OrgKeys(ctx context.Context, org string) iter.Seq2[domain.StoredKey, error] {
	if err := checkToken(org); err != nil {
		return func(yield func(domain.StoredKey, error) bool) { yield(domain.StoredKey{}, err) }
	}
	return k.fewKeys(ctx, orgKeyPrefix+org+".*")
}

// AllOrgKeys yields the keys of every organization, oldest first.
func (k *KeyStore) AllOrgKeys(ctx context.Context) iter.Seq2[domain.StoredKey, error] {
	return k.fewKeys(ctx, orgKeyPrefix+"*.*")
}

func (k *KeyStore) keys(ctx context.Context, filter string, after uint64) iter.Seq2[domain.StoredKey, error] {
	return func(yield func(domain.StoredKey, error) bool) {
		if err := k.scan(ctx, filter, after, yield); err != nil && !errors.Is(err, errLeft) {
			yield(domain.StoredKey{}, err)
		}
	}
}

// fewKeys is keys where few match among many that don't: it ends with the last
// one, and does not have the rest looked through.
func (k *KeyStore) fewKeys(ctx context.Context, filter string) iter.Seq2[domain.StoredKey, error] {
	return func(yield func(domain.StoredKey, error) bool) {
		left, err := k.count(ctx, filter)
		if err != nil {
			yield(domain.StoredKey{}, err)
		}
		if left == 0 {
			return
		}
		for key, err := range k.keys(ctx, filter, 0) {
			if left--; !yield(key, err) || left == 0 {
				return
			}
		}
	}
}

// count says how many messages match a filter, which the server knows by
// heart. To find out by asking for the next one until there is none, it reads
// every block to the end.
func (k *KeyStore) count(ctx context.Context, filter string) (n uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := k.js.Stream(ctx, k.config.Name)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for _, messages := range info.State.Subjects {
		n += messages
	}
	return n, nil
}

// scan reads the first keys one by one: mostly there are no more. The rest
// comes in batches from a consumer, until the stream's leader has none behind
// it.
func (k *KeyStore) scan(ctx context.Context, filter string, after uint64, yield func(domain.StoredKey, error) bool) error {
	const single = 8
	for range single {
		m, ok, err := k.next(ctx, filter, after)
		if err != nil || !ok {
			return err
		}
		if after, err = handKey(m, yield); err != nil {
			return err
		}
	}
	consumer, remove, err := k.consumer(ctx, filter, after)
	if err != nil {
		return err
	}
	defer remove()
	for {
		before := after
		batch, err := consumer.FetchNoWait(keyBatch)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			m := stored{subject: msg.Subject(), position: meta.Sequence.Stream, data: msg.Data()}
			if m.position <= after {
				continue // it was asked for singly, of a replica that was ahead
			}
			if after, err = handKey(m, yield); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if after > before {
			continue
		}
		m, ok, err := k.next(ctx, filter, after)
		if err != nil || !ok {
			return err
		}
		if after, err = handKey(m, yield); err != nil {
			return err
		}
	}
}

func handKey(m stored, yield func(domain.StoredKey, error) bool) (uint64, error) {
	key, err := storedKey(m)
	if err != nil {
		return 0, err
	}
	if !yield(key, nil) {
		return 0, errLeft
	}
	return m.position, nil
}

func storedKey(m stored) (domain.StoredKey, error) {
	key := domain.StoredKey{Sequence: m.position, Record: m.data}
	if id, ok := strings.CutPrefix(m.subject, secretKeyPrefix); ok {
		key.ID = id
		return key, nil
	}
	rest, ok := strings.CutPrefix(m.subject, orgKeyPrefix)
	if !ok {
		return key, &CorruptError{Position: m.position, Reason: "the subject is not one of a key"}
	}
	key.Org, key.ID, _ = strings.Cut(rest, ".")
	return key, nil
}

func checkToken(tokens ...string) error {
	for _, t := range tokens {
		if _, err := domain.ParseSecretID(t); err != nil {
			return domain.Errorf(domain.CodeInvalidID, "not the id of an organization or key")
		}
	}
	return nil
}
