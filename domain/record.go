package domain

import (
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// FieldMetadata is what may be known about a field without its value.
type FieldMetadata struct {
	Key         FieldKey
	Sensitivity Sensitivity
	DekID       DekID // zero for plaintext fields and removals
}

// Details are the metadata of one event: everything but its values. No member
// can hold a value.
type Details struct {
	// Scope is the secret's scope or, in a directory event, the scope that
	// was made, changed or opened to a member.
	Scope     Scope
	SecretID  SecretID
	KekIDs    []KekID
	Fields    []FieldMetadata
	Changes   Changes
	TeamID    string
	Agent     AgentID
	Role      Role
	KeyID     APIKeyID
	ExpiresAt time.Time
	Note      string
}

// Record is the metadata of a recorded event.
type Record struct {
	ID      ulid.ULID
	Type    EventType
	Stream  Stream
	Version uint64
	Time    time.Time // the writer's clock
	Actor   Actor
	Origin  Origin
	Details Details
}

// HistoryEntry is a record in its place in the log.
type HistoryEntry struct {
	Record
	Position uint64
	At       time.Time // the folded time
}

// Metadata is the only door from an event to history, feeds and leaves. r must
// have an Event: a foreign message is in no history.
func Metadata(r Recorded) HistoryEntry {
	return HistoryEntry{
		Record: Record{
			ID: r.ID, Type: r.Event.Type(), Stream: r.Stream, Version: r.Version,
			Time: r.Time, Actor: r.Actor, Origin: r.Origin, Details: Describe(r.Stream, r.Event),
		},
		Position: r.Position,
		At:       r.At,
	}
}

// Body is the part of an event that is not metadata.
type Body struct {
	Fields   []Field // key and value; in the order of Details.Fields
	LookupID string
	Hash     [32]byte
}

// Describe gives an event's metadata.
func Describe(stream Stream, event Event) Details {
	var d Details
	if s, ok := stream.(SecretStream); ok {
		d.Scope, d.SecretID = s.Ref.Scope, s.Ref.ID
	}
	switch e := event.(type) {
	case SecretCreated:
		d.KekIDs = e.KekIDs
		d.Fields = slices.Grow(d.Fields, len(e.Fields))
		for _, f := range e.Fields {
			d.Fields = append(d.Fields, fieldMetadata(f))
		}
		d.Changes = Changes{Name: &Change[string]{To: e.Name}, Category: &Change[string]{To: e.Category}}
		if len(e.Tags) > 0 {
			d.Changes.Tags = &Change[[]string]{To: e.Tags}
		}
	case FieldSet:
		d.Fields = []FieldMetadata{fieldMetadata(e.Field)}
	case FieldRemoved:
		d.Fields = []FieldMetadata{{Key: e.Key, Sensitivity: e.Sensitivity}}
	case SecretRenamed:
		d.Changes = e.Changes
	case SecretReclassified:
		d.Changes = e.Changes
	case SecretScheduled:
		d.Changes = e.Changes
	case SecretDeleted:
		d.KekIDs = e.KekIDs
	case ScopeCreated:
		d.Scope, d.TeamID = e.Scope, e.TeamID
		d.Changes.Name = &Change[string]{To: e.Name}
	case ScopeRenamed:
		d.Scope = e.Scope
		d.Changes.Name = &e.Name
	case ScopeArchived:
		d.Scope = e.Scope
	case ScopeRestored:
		d.Scope = e.Scope
	case MembershipGranted:
		d.Scope, d.Agent, d.Role = e.Scope, e.Agent, e.Role
	case MembershipRevoked:
		d.Scope, d.Agent, d.Role = e.Scope, e.Agent, e.Role
	case APIKeyIssued:
		d.KeyID, d.Agent, d.ExpiresAt, d.Note = e.ID, e.Agent, e.ExpiresAt, e.Note
	case APIKeyRevoked:
		d.KeyID, d.Agent = e.ID, e.Agent
	case KeyDestroyed:
		d.Scope, d.SecretID, d.KekIDs = e.Ref.Scope, e.Ref.ID, e.KekIDs
	}
	return d
}

// BodyOf gives the part of an event that Describe leaves out.
func BodyOf(event Event) Body {
	switch e := event.(type) {
	case SecretCreated:
		return Body{Fields: e.Fields}
	case FieldSet:
		return Body{Fields: []Field{e.Field}}
	case APIKeyIssued:
		return Body{LookupID: e.LookupID, Hash: e.Hash}
	case FieldRemoved, SecretRenamed, SecretReclassified, SecretScheduled, SecretDeleted, ScopeCreated, ScopeRenamed,
		ScopeArchived, ScopeRestored, MembershipGranted, MembershipRevoked, APIKeyRevoked, KeyDestroyed:
	}
	return Body{}
}

// Compose is the inverse of Describe and BodyOf. It refuses (ok false) an
// unknown type, a type that does not lie on this kind of stream, and members
// that are missing or do not belong to the type.
func Compose(t EventType, stream Stream, d Details, b Body) (event Event, ok bool) {
	event = compose(t, stream, d, b)
	if event == nil || event.Type() != t || !Describe(stream, event).equal(d) {
		return nil, false
	}
	rest := BodyOf(event)
	return event, rest.LookupID == b.LookupID && rest.Hash == b.Hash && len(rest.Fields) == len(b.Fields)
}

func compose(t EventType, stream Stream, d Details, b Body) Event {
	switch s := stream.(type) {
	case SecretStream:
		return composeSecret(t, d, b)
	case DirectoryStream:
		return composeDirectory(t, d, b)
	case KeysStream:
		if t == TypeKeyDestroyed && len(d.KekIDs) > 0 && d.Scope.named() && d.SecretID != "" {
			return KeyDestroyed{Ref: SecretRef{Org: s.Org, Scope: d.Scope, ID: d.SecretID}, KekIDs: d.KekIDs}
		}
	}
	return nil
}

func composeSecret(t EventType, d Details, b Body) Event {
	switch t { //nolint:exhaustive // the other types do not lie on a secret's stream.
	case TypeSecretCreated:
		fields, ok := joinFields(d.Fields, b.Fields)
		if !ok || len(d.KekIDs) == 0 || d.Changes.Name == nil || d.Changes.Category == nil {
			return nil
		}
		e := SecretCreated{Name: d.Changes.Name.To, Category: d.Changes.Category.To, KekIDs: d.KekIDs, Fields: fields}
		if d.Changes.Tags != nil {
			e.Tags = d.Changes.Tags.To
		}
		return e
	case TypeFieldSet:
		fields, ok := joinFields(d.Fields, b.Fields)
		if !ok || len(fields) != 1 {
			return nil
		}
		return FieldSet{Field: fields[0]}
	case TypeFieldRemoved:
		if len(d.Fields) != 1 || d.Fields[0].Key == "" {
			return nil
		}
		return FieldRemoved{Key: d.Fields[0].Key, Sensitivity: d.Fields[0].Sensitivity}
	case TypeSecretRenamed:
		if d.Changes.Name == nil || !d.Changes.replace() {
			return nil
		}
		return SecretRenamed{Changes: d.Changes}
	case TypeSecretReclassified:
		if d.Changes.Name != nil || d.Changes.Category == nil && d.Changes.Tags == nil || !d.Changes.replace() {
			return nil
		}
		return SecretReclassified{Changes: d.Changes}
	case TypeSecretScheduled:
		if d.Changes.Name != nil || d.Changes.Category != nil || d.Changes.Tags != nil || !d.Changes.scheduled() || !d.Changes.replace() {
			return nil
		}
		return SecretScheduled{Changes: d.Changes}
	case TypeSecretDeleted:
		if len(d.KekIDs) == 0 {
			return nil
		}
		return SecretDeleted{KekIDs: d.KekIDs}
	}
	return nil
}

func composeDirectory(t EventType, d Details, b Body) Event {
	noMember := d.Agent == "" || !d.Scope.named() || d.Role == ""
	noKey := d.Agent == "" || d.KeyID == ""
	switch t { //nolint:exhaustive // scope life cycle types are looked up below, secret types do not lie here.
	case TypeMembershipGranted:
		if noMember {
			return nil
		}
		return MembershipGranted{Agent: d.Agent, Scope: d.Scope, Role: d.Role}
	case TypeMembershipRevoked:
		if noMember {
			return nil
		}
		return MembershipRevoked{Agent: d.Agent, Scope: d.Scope, Role: d.Role}
	case TypeAPIKeyIssued:
		if noKey || b.LookupID == "" {
			return nil
		}
		return APIKeyIssued{ID: d.KeyID, Agent: d.Agent, LookupID: b.LookupID, Hash: b.Hash, ExpiresAt: d.ExpiresAt, Note: d.Note}
	case TypeAPIKeyRevoked:
		if noKey {
			return nil
		}
		return APIKeyRevoked{ID: d.KeyID, Agent: d.Agent}
	}
	life, ok := scopeTypes[d.Scope.Kind]
	if !ok || !d.Scope.named() {
		return nil // else an empty type would match the empty life cycle
	}
	switch t { //nolint:exhaustive // the cases are looked up, not constants.
	case life.created:
		if d.Changes.Name == nil || d.TeamID != "" && d.Scope.Kind != ScopeProject {
			return nil
		}
		return ScopeCreated{Scope: d.Scope, Name: d.Changes.Name.To, TeamID: d.TeamID}
	case life.renamed:
		if d.Changes.Name == nil || !d.Changes.replace() {
			return nil
		}
		return ScopeRenamed{Scope: d.Scope, Name: *d.Changes.Name}
	case life.archived:
		return ScopeArchived{Scope: d.Scope}
	case life.restored:
		return ScopeRestored{Scope: d.Scope}
	}
	return nil
}

// named says whether both parts of a scope are there.
func (s Scope) named() bool { return s.Kind != "" && s.ID != "" }

// replace says whether a changed name or category has the one before it, and
// a changed schedule is one on one side at least. Tags are optional, so there
// may have been none.
func (c Changes) replace() bool {
	return (c.Name == nil || c.Name.From != nil) && (c.Category == nil || c.Category.From != nil) &&
		optional(c.RotateEvery, func(r RotateEvery) bool { return r == 0 }) && optional(c.ExpiresAt, time.Time.IsZero)
}

// optional says whether a change of what need not be there has one form: none
// before is a nil From, and none after none is no change.
func optional[T any](c *Change[T], none func(T) bool) bool {
	return c == nil || c.From == nil && !none(c.To) || c.From != nil && !none(*c.From)
}

// scheduled says whether the schedule changed.
func (c Changes) scheduled() bool { return c.RotateEvery != nil || c.ExpiresAt != nil }

func fieldMetadata(f Field) FieldMetadata {
	return FieldMetadata{Key: f.Key, Sensitivity: f.Value.Sensitivity(), DekID: f.DekID}
}

// joinFields pairs metadata with values; both must list the same fields in
// the same order, with the sensitivity that the value has, and a data key for
// exactly the encrypted ones.
func joinFields(metadata []FieldMetadata, values []Field) ([]Field, bool) {
	if len(metadata) != len(values) {
		return nil, false
	}
	fields := slices.Clone(values)
	for i, m := range metadata {
		if fields[i].Key != m.Key || fields[i].Value == nil || fields[i].Value.Sensitivity() != m.Sensitivity {
			return nil, false
		}
		if m.DekID.IsZero() != (m.Sensitivity == SensitivityPlaintext) {
			return nil, false
		}
		fields[i].DekID = m.DekID
	}
	return fields, true
}
