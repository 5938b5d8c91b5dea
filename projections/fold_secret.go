package projections

import (
	"slices"

	"github.com/chancery-dev/chancery/domain"
)

// secret folds an event of a secret: its state, the values that the event
// wrote or hid (no others are read or written), its history, the indexes, and
// the key ids that it names.
func (f *fold) secret(ref domain.SecretRef, r domain.Recorded) error {
	key := secretKey(ref)
	before, err := f.stateAt(ref, key)
	if err != nil {
		return err
	}
	if err := next(r, before.Version); err != nil {
		return err
	}
	entry, after := domain.Metadata(r), before
	after.ApplyEntry(entry, r.Event)
	kind := r.Event.Type()
	if kind == domain.TypeSecretCreated || kind == domain.TypeSecretDeleted || r.Version == 1 {
		after.since = r.Version
	}
	if err := f.putState(key, &before, &after); err != nil {
		return err
	}
	if err := f.hideFields(key, &before.Secret, &after.Secret); err != nil {
		return err
	}
	if err := f.writeFields(key, &after.Secret); err != nil {
		return err
	}
	if err := f.index(key, &before.Secret, &after.Secret); err != nil {
		return err
	}
	if err := f.claim(key, r); err != nil {
		return err
	}
	return f.put(tableHistory, versionKey(key, r.Version), encodeHistory(after.since, entry))
}

// state reads a secret without values; one without messages is zero.
func (ts *tables) state(ref domain.SecretRef) (secretRow, error) {
	return ts.stateAt(ref, secretKey(ref))
}

func (ts *tables) stateAt(ref domain.SecretRef, key []byte) (secretRow, error) {
	row := ts.at(tableSecrets).Get(key)
	if row == nil {
		row = ts.at(tableDeleted).Get(key)
	}
	if row == nil {
		return secretRow{Secret: domain.Secret{Ref: ref}}, nil
	}
	return decodeSecret(ref, row)
}

func stateTable(s *domain.Secret) table {
	if s.Exists {
		return tableSecrets
	}
	return tableDeleted
}

func (f *fold) putState(key []byte, before, after *secretRow) error {
	// The head alone says whether there is a row: a foreign message makes one
	// before the first event.
	if before.Head > 0 && before.Exists != after.Exists {
		if err := f.put(stateTable(&before.Secret), key, nil); err != nil {
			return err
		}
	}
	return f.put(stateTable(&after.Secret), key, after.encode())
}

// hideFields removes the values that the event hid or is about to replace.
func (f *fold) hideFields(key []byte, before, after *domain.Secret) error {
	for _, old := range before.Fields {
		now, ok := after.Field(old.Key)
		if ok && now.Version == old.Version {
			continue
		}
		if !ok {
			if err := f.put(tableValues, valueKey(key, old.Key), nil); err != nil {
				return err
			}
		}
		if !old.DekID.IsZero() {
			if err := f.put(tableDeksCurrent, dekUse(old.DekID, key, old.Key), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeFields stores the values that the event brought.
func (f *fold) writeFields(key []byte, after *domain.Secret) error {
	for _, now := range after.Fields {
		if now.Version != after.Version {
			continue
		}
		row, err := encodeValue(now.Value)
		if err != nil {
			return err
		}
		if err := f.put(tableValues, valueKey(key, now.Key), row); err != nil {
			return err
		}
		if now.DekID.IsZero() {
			continue
		}
		if err := f.put(tableDeksCurrent, dekUse(now.DekID, key, now.Key), present()); err != nil {
			return err
		}
		if f.recent(now.DekID) {
			f.oldestDek.put(now.DekID[:])
			if err := f.put(tableDeksRecent, now.DekID[:], present()); err != nil {
				return err
			}
		}
	}
	return nil
}

// index files a living secret under its name, category and tags.
func (f *fold) index(key []byte, before, after *domain.Secret) error {
	if before.Exists == after.Exists && before.Name == after.Name &&
		before.Category == after.Category && slices.Equal(before.Tags, after.Tags) {
		return nil
	}
	if before.Exists {
		if err := f.eachIndex(key, before, nil, nil); err != nil {
			return err
		}
	}
	if after.Exists {
		return f.eachIndex(key, after, []byte(after.Name), present())
	}
	return nil
}

func (f *fold) eachIndex(key []byte, s *domain.Secret, name, entry []byte) error {
	if err := f.put(tableNames, key, name); err != nil {
		return err
	}
	scope := key[:len(key)-len(s.Ref.ID)]
	filed := func(value string) []byte { return indexKey(scope, value, s.Ref.ID) }
	if err := f.put(tableCategories, filed(s.Category), entry); err != nil {
		return err
	}
	for _, tag := range s.Tags {
		if err := f.put(tableTags, filed(tag), entry); err != nil {
			return err
		}
	}
	return nil
}

// claim remembers the secret keys that a creation names, for ever, and those
// that a deletion leaves to be destroyed.
func (f *fold) claim(key []byte, r domain.Recorded) error {
	switch e := r.Event.(type) { //nolint:gochecksumtype // the other events neither claim keys nor give them up.
	case domain.SecretCreated:
		for _, kek := range e.KekIDs {
			if f.at(tableClaims).Get(kek[:]) != nil {
				continue
			}
			if err := f.put(tableClaims, kek[:], positionKey(r.Position)); err != nil {
				return err
			}
		}
	case domain.SecretDeleted:
		ref := r.Stream.(domain.SecretStream).Ref //nolint:errcheck,forcetypeassert // the fold of a secret's event.
		return f.putDestruction(r.Position, key, domain.KeyDestroyed{Ref: ref, KekIDs: e.KekIDs})
	}
	return nil
}
