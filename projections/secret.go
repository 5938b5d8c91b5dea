package projections

import (
	"bytes"
	"fmt"
	"sort"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Secret gives a secret with its stored values, [domain.Sealed] or
// [domain.Envelope]. One that does not exist has its Ref, Version and Head all
// the same.
func (s *Store) Secret(ref domain.SecretRef) (domain.Secret, error) {
	secret, ok, changes, err := s.cachedSecret(ref)
	if ok || err != nil {
		return secret, err
	}
	err = s.view(func(ts *tables) (err error) {
		secret, err = ts.secret(ref)
		return err
	})
	if err == nil && secret.Exists {
		s.secrets.put(secret, changes)
	}
	return secret, err
}

// cachedSecret looks for a secret in memory, if the store may answer. changes is
// for the cache.
func (s *Store) cachedSecret(ref domain.SecretRef) (secret domain.Secret, ok bool, changes uint64, err error) {
	s.file.RLock()
	defer s.file.RUnlock()
	if err := s.answering(); err != nil {
		return domain.Secret{}, false, 0, err
	}
	secret, ok, changes = s.secrets.get(ref)
	return secret, ok, changes, nil
}

// secret reads a secret with its stored values.
func (ts *tables) secret(ref domain.SecretRef) (domain.Secret, error) {
	key := secretKey(ref)
	row, err := ts.stateAt(ref, key)
	if err != nil {
		return row.Secret, err
	}
	err = ts.fillValues(key, &row.Secret)
	return row.Secret, err
}

// fillValues reads the fields' values: both lie in the order of the field
// keys.
func (ts *tables) fillValues(key []byte, secret *domain.Secret) error {
	if len(secret.Fields) == 0 {
		return nil
	}
	prefix := below(key)
	c := ts.at(tableValues).Cursor()
	k, row := c.Seek(prefix)
	for i := range secret.Fields {
		f := &secret.Fields[i]
		if rest, ok := bytes.CutPrefix(k, prefix); !ok || string(rest) != string(f.Key) {
			return fmt.Errorf("projections: a field of %s has no value", secret.Ref)
		}
		var err error
		if f.Value, err = decodeValue(row); err != nil {
			return err
		}
		k, row = c.Next()
	}
	return nil
}

// SecretMetadata is Secret with nil values.
func (s *Store) SecretMetadata(ref domain.SecretRef) (secret domain.Secret, err error) {
	err = s.view(func(ts *tables) error {
		row, err := ts.state(ref)
		secret = row.Secret
		return err
	})
	return secret, err
}

// SecretAtVersion gives a secret as its first events made it, up to and with
// version, without values. ok is false where it did not exist then: never
// made, deleted, or not at that version yet.
func (s *Store) SecretAtVersion(ref domain.SecretRef, version uint64) (secret domain.Secret, ok bool, err error) {
	err = s.view(func(ts *tables) error {
		secret, err = ts.asOf(ref, version)
		return err
	})
	return secret, secret.Exists, err
}

// SecretAtTime gives a secret as it stood at a moment, every event with a
// folded time up to and with it included, without values. ok is as in
// SecretAtVersion.
func (s *Store) SecretAtTime(ref domain.SecretRef, at time.Time) (secret domain.Secret, ok bool, err error) {
	secret.Ref = ref
	err = s.view(func(ts *tables) error {
		row, err := ts.state(ref)
		if err != nil {
			return err
		}
		// Folded times never fall, so the versions up to a moment are a prefix.
		key := secretKey(ref)
		later := sort.Search(int(row.Version), func(i int) bool { //nolint:gosec // fewer than positions.
			head, failed := ts.historyHead(key, uint64(i)+1) //nolint:gosec // not negative.
			if failed != nil {
				err = failed
			}
			return fromMillis(head.at).After(at)
		})
		if err != nil || later == 0 {
			return err
		}
		secret, err = ts.asOf(ref, uint64(later)) //nolint:gosec // not negative.
		return err
	})
	return secret, secret.Exists, err
}

func (ts *tables) historyHead(secret []byte, version uint64) (historyHead, error) {
	row := ts.at(tableHistory).Get(versionKey(secret, version))
	if row == nil {
		return historyHead{}, fmt.Errorf("projections: version %d is missing in the history: %w", version, errRow)
	}
	return decodeHistoryHead(row)
}

// asOf replays the history of one life of the secret.
func (ts *tables) asOf(ref domain.SecretRef, version uint64) (domain.Secret, error) {
	secret, key := domain.Secret{Ref: ref}, secretKey(ref)
	if row := ts.at(tableHistory).Get(versionKey(key, version)); row == nil {
		return secret, nil
	}
	head, err := ts.historyHead(key, version)
	if err != nil {
		return secret, err
	}
	c := ts.at(tableHistory).Cursor()
	k, row := c.Seek(versionKey(key, head.since))
	for at := head.since; at <= version; at++ {
		if !bytes.Equal(k, versionKey(key, at)) {
			return secret, fmt.Errorf("projections: version %d is missing in the history: %w", at, errRow)
		}
		e, err := decodeHistory(ref, at, row)
		if err != nil {
			return secret, err
		}
		secret.Replay(e)
		k, row = c.Next()
	}
	return secret, nil
}
