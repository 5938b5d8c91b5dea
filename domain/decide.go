package domain

import (
	"errors"
	"slices"
	"time"
)

// errSealed is a fault of the caller of Decide, never of a client.
var errSealed = errors.New("domain: a stored value was not opened before deciding on it")

// Decide gives the event that a command means on a state, nil if the state is
// already what it asks for, or a refusal.
//
// The values that it must compare must have been opened: see [Compared].
// Checks run in the wire contract's order: not found, version mismatch,
// identical, conflicts. Data keys are verified afterwards, by the sealer.
func Decide(s Secret, c SecretCommand) (Event, error) {
	switch c := c.(type) {
	case CreateSecret:
		return decideCreate(s, c)
	case SetField:
		return decideSet(s, c)
	case RemoveField:
		if !s.Exists {
			return nil, errSecretNotFound()
		}
		f, ok := s.Field(c.Key)
		if !ok {
			return nil, Errorf(CodeFieldNotFound, "the secret has no such field")
		}
		if err := c.Expect.check(s.Version); err != nil {
			return nil, err
		}
		return FieldRemoved{Key: c.Key, Sensitivity: f.Sensitivity}, nil
	case UpdateMetadata:
		return decideUpdate(s, c)
	case DeleteSecret:
		if !s.Exists {
			return nil, errSecretNotFound()
		}
		if err := c.Expect.check(s.Version); err != nil {
			return nil, err
		}
		return SecretDeleted{KekIDs: s.KekIDs}, nil
	}
	return nil, errors.New("domain: unknown command")
}

// Compared lists the fields whose stored plaintext Decide compares with the
// command's.
func Compared(s Secret, c SecretCommand) []FieldKey {
	var given []Field
	switch c := c.(type) {
	case CreateSecret:
		given = c.Fields
	case SetField:
		given = []Field{c.Field}
	case RemoveField, UpdateMetadata, DeleteSecret:
	}
	var keys []FieldKey
	for _, g := range given {
		f, ok := s.Field(g.Key)
		if ok && f.Sensitivity == SensitivityPlaintext && g.Value.Sensitivity() == SensitivityPlaintext {
			keys = append(keys, g.Key)
		}
	}
	return keys
}

func errSecretNotFound() error { return Errorf(CodeSecretNotFound, "there is no such secret") }

func decideCreate(s Secret, c CreateSecret) (Event, error) {
	fields := sortedFields(c.Fields)
	if !s.Exists {
		if !c.Expect.none() {
			return nil, Errorf(CodeVersionMismatch, "there is no such secret to match")
		}
		if len(fields) > MaxFields {
			return nil, errTooManyFields()
		}
		return SecretCreated{Name: c.Name, Category: c.Category, Tags: c.Tags, Fields: fields}, nil
	}
	if err := c.Expect.check(s.Version); err != nil {
		return nil, err
	}
	same := s.Name == c.Name && s.Category == c.Category && slices.Equal(s.Tags, c.Tags) && len(s.Fields) == len(fields)
	for i := 0; same && i < len(fields); i++ {
		if same = s.Fields[i].Key == fields[i].Key; same {
			var err error
			if same, err = equalValues(s.Fields[i].Value, fields[i].Value); err != nil {
				return nil, err
			}
		}
	}
	if !same {
		return nil, Errorf(CodeSecretExists, "another secret has this id")
	}
	return nil, nil //nolint:nilnil // already so: the contract of Decide.
}

func decideSet(s Secret, c SetField) (Event, error) {
	if !s.Exists {
		return nil, errSecretNotFound()
	}
	if err := c.Expect.check(s.Version); err != nil {
		return nil, err
	}
	f, ok := s.Field(c.Field.Key)
	if !ok {
		if len(s.Fields) >= MaxFields {
			return nil, errTooManyFields()
		}
		return FieldSet{Field: c.Field}, nil
	}
	same, err := equalValues(f.Value, c.Field.Value)
	if err != nil {
		return nil, err
	}
	if same {
		return nil, nil //nolint:nilnil // already so: the contract of Decide.
	}
	if f.Sensitivity == SensitivityEncrypted && c.Field.Value.Sensitivity() == SensitivityPlaintext {
		return nil, Errorf(CodeSensitivityDowngrade, "the field is encrypted: remove it before storing it in plaintext")
	}
	return FieldSet{Field: c.Field}, nil
}

func decideUpdate(s Secret, c UpdateMetadata) (Event, error) {
	if !s.Exists {
		return nil, errSecretNotFound()
	}
	if err := c.Expect.check(s.Version); err != nil {
		return nil, err
	}
	var ch Changes
	if c.Name != nil && *c.Name != s.Name {
		ch.Name = &Change[string]{From: &s.Name, To: *c.Name}
	}
	if c.Category != nil && *c.Category != s.Category {
		ch.Category = &Change[string]{From: &s.Category, To: *c.Category}
	}
	if c.Tags != nil && !slices.Equal(*c.Tags, s.Tags) {
		ch.Tags = &Change[[]string]{From: &s.Tags, To: *c.Tags}
	}
	if c.RotateEvery != nil && *c.RotateEvery != s.RotateEvery {
		ch.RotateEvery = &Change[RotateEvery]{To: *c.RotateEvery}
		if s.RotateEvery != 0 {
			ch.RotateEvery.From = &s.RotateEvery
		}
	}
	if c.ExpiresAt != nil && !c.ExpiresAt.Equal(s.ExpiresAt) {
		ch.ExpiresAt = &Change[time.Time]{To: *c.ExpiresAt}
		if !s.ExpiresAt.IsZero() {
			ch.ExpiresAt.From = &s.ExpiresAt
		}
	}
	switch {
	case ch.Name != nil:
		return SecretRenamed{Changes: ch}, nil
	case ch.Category != nil || ch.Tags != nil:
		return SecretReclassified{Changes: ch}, nil
	case ch.scheduled():
		return SecretScheduled{Changes: ch}, nil
	}
	return nil, nil //nolint:nilnil // already so: the contract of Decide.
}

func errTooManyFields() error {
	return Errorf(CodeTooManyFields, "a secret has at most %d fields", MaxFields)
}

func equalValues(stored, given Value) (bool, error) {
	switch g := given.(type) {
	case Plaintext:
		switch v := stored.(type) {
		case Plaintext:
			return v.Equal(g), nil
		case Sealed:
			return false, errSealed
		case Envelope:
			return false, nil
		}
	case Envelope:
		v, ok := stored.(Envelope)
		return ok && v.Equal(g), nil
	case Sealed:
		v, ok := stored.(Sealed)
		return ok && v.Equal(g), nil
	}
	return false, errSealed
}

// SameContent says whether two events of the same stream mean the same
// change: what a repeated request is compared by. Values must be opened. Ids
// and key material that the server chose are not compared.
func SameContent(a, b Event) bool {
	if a == nil || b == nil || a.Type() != b.Type() {
		return false
	}
	switch a := a.(type) {
	case SecretCreated:
		b, ok := b.(SecretCreated)
		return ok && a.Name == b.Name && a.Category == b.Category && slices.Equal(a.Tags, b.Tags) && sameFields(a.Fields, b.Fields)
	case FieldSet:
		b, ok := b.(FieldSet)
		return ok && sameFields([]Field{a.Field}, []Field{b.Field})
	case FieldRemoved:
		b, ok := b.(FieldRemoved)
		return ok && a.Key == b.Key
	case SecretRenamed:
		b, ok := b.(SecretRenamed)
		return ok && sameChanges(a.Changes, b.Changes)
	case SecretReclassified:
		b, ok := b.(SecretReclassified)
		return ok && sameChanges(a.Changes, b.Changes)
	case SecretScheduled:
		b, ok := b.(SecretScheduled)
		return ok && sameChanges(a.Changes, b.Changes)
	case ScopeCreated:
		b, ok := b.(ScopeCreated)
		return ok && a.Scope.Kind == b.Scope.Kind && a.Name == b.Name && a.TeamID == b.TeamID
	case ScopeRenamed:
		b, ok := b.(ScopeRenamed)
		return ok && a.Scope == b.Scope && a.Name.To == b.Name.To
	case APIKeyIssued:
		b, ok := b.(APIKeyIssued)
		return ok && a.Agent == b.Agent && a.ExpiresAt.Equal(b.ExpiresAt) && a.Note == b.Note
	case SecretDeleted:
		return true // the path says it all
	case ScopeArchived, ScopeRestored, MembershipGranted, MembershipRevoked, APIKeyRevoked:
		return a == b
	case KeyDestroyed:
	}
	return false
}

func sameFields(a, b []Field) bool {
	return slices.EqualFunc(a, b, func(x, y Field) bool {
		same, err := equalValues(x.Value, y.Value)
		return err == nil && same && x.Key == y.Key
	})
}

func sameChanges(a, b Changes) bool {
	return sameChange(a.Name, b.Name, same[string]) &&
		sameChange(a.Category, b.Category, same[string]) &&
		sameChange(a.Tags, b.Tags, slices.Equal[[]string]) &&
		sameChange(a.RotateEvery, b.RotateEvery, same[RotateEvery]) &&
		sameChange(a.ExpiresAt, b.ExpiresAt, time.Time.Equal)
}

func sameChange[T any](a, b *Change[T], equal func(T, T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equal(a.To, b.To)
}
