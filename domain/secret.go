package domain

import (
	"slices"
	"strings"
	"time"
)

// Limits of a secret's metadata.
const (
	MaxNameLen   = 256 // characters
	MaxFields    = 64
	MaxTags      = 32
	MaxTagLen    = 64 // characters
	MaxCategory  = 64 // bytes
	MaxKeyNote   = 256
	MaxHeaderLen = 256 // characters of User-Agent, reason and run id
)

// Secret is the state of one secretId. Its zero value, with a Ref, is one
// that never existed.
type Secret struct {
	Ref SecretRef
	// Version is that of the last event, 0 before the first. It runs on
	// through deletion and re-creation.
	Version uint64
	// Head is the position of the last event, or of a foreign message behind
	// it: the expectation of the next append.
	Head uint64
	// Exists is false before the first creation and after a deletion. Then
	// everything below but DeletedAt is zero.
	Exists    bool
	Name      string
	Category  string
	Tags      []string // sorted
	KekIDs    []KekID
	CreatedAt time.Time
	CreatedBy string // agent id
	UpdatedAt time.Time
	UpdatedBy string
	// Incarnation is the version of the creation that this life began with.
	Incarnation uint64
	Fields      []SecretField // sorted by key
	// RotateEvery and ExpiresAt are when the values should be replaced and
	// when the secret should be gone; zero where nothing is said.
	RotateEvery RotateEvery
	ExpiresAt   time.Time
	DeletedAt   time.Time
}

// SecretField is the state of one field.
type SecretField struct {
	Key         FieldKey
	Sensitivity Sensitivity
	Version     uint64 // the secret's version that set it
	UpdatedAt   time.Time
	UpdatedBy   string
	DekID       DekID
	// Value is nil where only metadata was asked for.
	Value Value
}

// Field finds a field.
func (s *Secret) Field(key FieldKey) (SecretField, bool) {
	i, ok := s.find(key)
	if !ok {
		return SecretField{}, false
	}
	return s.Fields[i], true
}

func (s *Secret) find(key FieldKey) (int, bool) {
	return slices.BinarySearchFunc(s.Fields, key, func(f SecretField, k FieldKey) int {
		return strings.Compare(string(f.Key), string(k))
	})
}

// Clone gives a copy that shares no mutable part. Values are immutable and
// shared.
func (s *Secret) Clone() Secret {
	c := *s
	c.Tags, c.KekIDs, c.Fields = slices.Clone(s.Tags), slices.Clone(s.KekIDs), slices.Clone(s.Fields)
	return c
}

// Apply folds one recorded event of the secret's stream. It is total: a
// recorded event is a fact. A foreign message (nil Event) moves Head and
// nothing else. What a copy of the secret shares with it is not changed.
func (s *Secret) Apply(r Recorded) {
	if r.Event == nil {
		s.Head = r.Position
		return
	}
	s.ApplyEntry(Metadata(r), r.Event)
}

// ApplyEntry is Apply where the event's metadata are at hand.
func (s *Secret) ApplyEntry(e HistoryEntry, event Event) {
	s.Replay(e)
	for _, f := range BodyOf(event).Fields { // their places are new
		if i, ok := s.find(f.Key); ok {
			s.Fields[i].Value = f.Value
		}
	}
}

// Replay folds the metadata of one event: Apply without values. As-of reads
// use it.
func (s *Secret) Replay(e HistoryEntry) {
	s.Version, s.Head = e.Version, e.Position
	d := e.Details
	switch e.Type { //nolint:exhaustive // the other types do not lie on a secret's stream.
	case TypeSecretCreated:
		*s = Secret{
			Ref: s.Ref, Version: e.Version, Head: e.Position, Exists: true, KekIDs: d.KekIDs,
			CreatedAt: e.At, CreatedBy: e.Actor.ID, Incarnation: e.Version,
		}
		s.change(d.Changes)
		s.setFields(d.Fields, e)
	case TypeFieldSet:
		s.setFields(d.Fields, e)
	case TypeFieldRemoved:
		for _, f := range d.Fields {
			if i, ok := s.find(f.Key); ok {
				s.Fields = slices.Delete(slices.Clone(s.Fields), i, i+1)
			}
		}
	case TypeSecretRenamed, TypeSecretReclassified, TypeSecretScheduled:
		s.change(d.Changes)
	case TypeSecretDeleted:
		*s = Secret{Ref: s.Ref, Version: e.Version, Head: e.Position, DeletedAt: e.At}
		return
	}
	s.UpdatedAt, s.UpdatedBy = e.At, e.Actor.ID
}

func (s *Secret) change(c Changes) {
	if c.Name != nil {
		s.Name = c.Name.To
	}
	if c.Category != nil {
		s.Category = c.Category.To
	}
	if c.Tags != nil {
		s.Tags = c.Tags.To
	}
	if c.RotateEvery != nil {
		s.RotateEvery = c.RotateEvery.To
	}
	if c.ExpiresAt != nil {
		s.ExpiresAt = c.ExpiresAt.To
	}
}

// setFields puts fields into a new slice.
func (s *Secret) setFields(fields []FieldMetadata, e HistoryEntry) {
	if len(fields) == 0 {
		return
	}
	s.Fields = append(make([]SecretField, 0, len(s.Fields)+len(fields)), s.Fields...)
	for _, m := range fields {
		f := SecretField{
			Key: m.Key, Sensitivity: m.Sensitivity, DekID: m.DekID,
			Version: e.Version, UpdatedAt: e.At, UpdatedBy: e.Actor.ID,
		}
		if i, ok := s.find(m.Key); ok {
			s.Fields[i] = f
		} else {
			s.Fields = slices.Insert(s.Fields, i, f)
		}
	}
}

// WithValues gives a copy in which the named fields hold the given values:
// how opened values take the place of sealed ones. Unknown keys are ignored.
func (s *Secret) WithValues(fields []Field) Secret {
	c := s.Clone()
	for _, f := range fields {
		if i, ok := c.find(f.Key); ok {
			c.Fields[i].Value = f.Value
		}
	}
	return c
}
