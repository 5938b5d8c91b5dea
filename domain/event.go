package domain

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// EventType is the stored name of a kind of event. Stored names are literals
// and are never renamed.
type EventType string

// The event types.
const (
	TypeSecretCreated      EventType = "secret.created"
	TypeFieldSet           EventType = "secret.field_set"
	TypeFieldRemoved       EventType = "secret.field_removed"
	TypeSecretRenamed      EventType = "secret.renamed"
	TypeSecretReclassified EventType = "secret.reclassified"
	TypeSecretScheduled    EventType = "secret.scheduled"
	TypeSecretDeleted      EventType = "secret.deleted"
	TypeOrgCreated         EventType = "org.created"
	TypeOrgRenamed         EventType = "org.renamed"
	TypeOrgArchived        EventType = "org.archived"
	TypeOrgRestored        EventType = "org.restored"
	TypeTeamCreated        EventType = "team.created"
	TypeTeamRenamed        EventType = "team.renamed"
	TypeTeamArchived       EventType = "team.archived"
	TypeTeamRestored       EventType = "team.restored"
	TypeProjectCreated     EventType = "project.created"
	TypeProjectRenamed     EventType = "project.renamed"
	TypeProjectArchived    EventType = "project.archived"
	TypeProjectRestored    EventType = "project.restored"
	TypeAgentRegistered    EventType = "agent.registered"
	TypeAgentRenamed       EventType = "agent.renamed"
	TypeAgentArchived      EventType = "agent.archived"
	TypeAgentRestored      EventType = "agent.restored"
	TypeMembershipGranted  EventType = "membership.granted"
	TypeMembershipRevoked  EventType = "membership.revoked"
	TypeAPIKeyIssued       EventType = "apikey.issued"
	TypeAPIKeyRevoked      EventType = "apikey.revoked"
	TypeKeyDestroyed       EventType = "key.destroyed"
)

// Event is a fact as it is recorded. Values in it are [Sealed] or [Envelope];
// between Decide and the sealer they are [Plaintext] or [Envelope].
//
//sumtype:decl
type Event interface {
	// Type is the event's stored name.
	Type() EventType
	event()
}

type (
	// SecretCreated starts an incarnation of a secret with its initial
	// fields. It claims the secret keys it names.
	SecretCreated struct {
		Name     string
		Category string
		Tags     []string // sorted
		KekIDs   []KekID  // at least one; the first is the one for new data keys
		Fields   []Field  // sorted by key
	}
	// FieldSet adds a field or replaces its value.
	FieldSet struct{ Field Field }
	// FieldRemoved hides a field's value.
	FieldRemoved struct {
		Key         FieldKey
		Sensitivity Sensitivity
	}
	// SecretRenamed changes the name; what else the same request changed rides
	// along.
	SecretRenamed struct{ Changes Changes }
	// SecretReclassified changes the category, the tags or both; a schedule
	// changed by the same request rides along.
	SecretReclassified struct{ Changes Changes }
	// SecretScheduled changes when values should be replaced, when the secret
	// expires, or both, and nothing else.
	SecretScheduled struct{ Changes Changes }
	// SecretDeleted ends an incarnation. Its keys are destroyed next.
	SecretDeleted struct{ KekIDs []KekID }

	// ScopeCreated makes an org, team or project, or registers an agent.
	ScopeCreated struct {
		Scope  Scope
		Name   string
		TeamID string // of a project that lies in a team, else ""
	}
	// ScopeRenamed changes the name of an org, team, project or agent.
	ScopeRenamed struct {
		Scope Scope
		Name  Change[string]
	}
	// ScopeArchived freezes a scope; an archived agent's keys stop working.
	ScopeArchived struct{ Scope Scope }
	// ScopeRestored undoes ScopeArchived.
	ScopeRestored struct{ Scope Scope }
	// MembershipGranted gives an agent a role on a scope. A ranked role
	// replaces the ranked role before it; auditor and admin stand beside it.
	MembershipGranted struct {
		Agent AgentID
		Scope Scope
		Role  Role
	}
	// MembershipRevoked takes a role back.
	MembershipRevoked struct {
		Agent AgentID
		Scope Scope
		Role  Role
	}
	// APIKeyIssued makes an API key. LookupID and Hash lie in the body.
	APIKeyIssued struct {
		ID        APIKeyID
		Agent     AgentID
		LookupID  string
		Hash      [32]byte  // SHA-256 of the token's secret part
		ExpiresAt time.Time // zero: never
		Note      string
	}
	// APIKeyRevoked ends an API key.
	APIKeyRevoked struct {
		ID    APIKeyID
		Agent AgentID
	}

	// KeyDestroyed says that the keys of a deleted secret's incarnation are
	// gone from the key store.
	KeyDestroyed struct {
		Ref    SecretRef
		KekIDs []KekID
	}
)

// Type implements [Event].
func (SecretCreated) Type() EventType { return TypeSecretCreated }

// Type implements [Event].
func (FieldSet) Type() EventType { return TypeFieldSet }

// Type implements [Event].
func (FieldRemoved) Type() EventType { return TypeFieldRemoved }

// Type implements [Event].
func (SecretRenamed) Type() EventType { return TypeSecretRenamed }

// Type implements [Event].
func (SecretReclassified) Type() EventType { return TypeSecretReclassified }

// Type implements [Event].
func (SecretScheduled) Type() EventType { return TypeSecretScheduled }

// Type implements [Event].
func (SecretDeleted) Type() EventType { return TypeSecretDeleted }

// Type implements [Event].
func (e ScopeCreated) Type() EventType { return scopeTypes[e.Scope.Kind].created }

// Type implements [Event].
func (e ScopeRenamed) Type() EventType { return scopeTypes[e.Scope.Kind].renamed }

// Type implements [Event].
func (e ScopeArchived) Type() EventType { return scopeTypes[e.Scope.Kind].archived }

// Type implements [Event].
func (e ScopeRestored) Type() EventType { return scopeTypes[e.Scope.Kind].restored }

// Type implements [Event].
func (MembershipGranted) Type() EventType { return TypeMembershipGranted }

// Type implements [Event].
func (MembershipRevoked) Type() EventType { return TypeMembershipRevoked }

// Type implements [Event].
func (APIKeyIssued) Type() EventType { return TypeAPIKeyIssued }

// Type implements [Event].
func (APIKeyRevoked) Type() EventType { return TypeAPIKeyRevoked }

// Type implements [Event].
func (KeyDestroyed) Type() EventType { return TypeKeyDestroyed }

func (SecretCreated) event()      {}
func (FieldSet) event()           {}
func (FieldRemoved) event()       {}
func (SecretRenamed) event()      {}
func (SecretReclassified) event() {}
func (SecretScheduled) event()    {}
func (SecretDeleted) event()      {}
func (ScopeCreated) event()       {}
func (ScopeRenamed) event()       {}
func (ScopeArchived) event()      {}
func (ScopeRestored) event()      {}
func (MembershipGranted) event()  {}
func (MembershipRevoked) event()  {}
func (APIKeyIssued) event()       {}
func (APIKeyRevoked) event()      {}
func (KeyDestroyed) event()       {}

type lifecycle struct{ created, renamed, archived, restored EventType }

var scopeTypes = map[ScopeKind]lifecycle{
	ScopeOrg:     {TypeOrgCreated, TypeOrgRenamed, TypeOrgArchived, TypeOrgRestored},
	ScopeTeam:    {TypeTeamCreated, TypeTeamRenamed, TypeTeamArchived, TypeTeamRestored},
	ScopeProject: {TypeProjectCreated, TypeProjectRenamed, TypeProjectArchived, TypeProjectRestored},
	ScopeAgent:   {TypeAgentRegistered, TypeAgentRenamed, TypeAgentArchived, TypeAgentRestored},
}

// Change is one replaced metadata value. From is nil where there was none.
type Change[T any] struct {
	From *T
	To   T
}

// Changes are the metadata that an event changed.
type Changes struct {
	Name     *Change[string]
	Category *Change[string]
	Tags     *Change[[]string]
	// RotateEvery and ExpiresAt are the schedule. A zero To took it away; From
	// is never zero.
	RotateEvery *Change[RotateEvery]
	ExpiresAt   *Change[time.Time]
}

// ActorKind says what kind of principal made an event.
type ActorKind string

// The actor kinds. System is the server itself: the bootstrap, the
// reconciler, recover-admin.
const (
	ActorAgent  ActorKind = "agent"
	ActorSystem ActorKind = "system"
)

// Actor is who made an event.
type Actor struct {
	Kind  ActorKind
	ID    string   // an agent id, or the name of the system's part
	KeyID APIKeyID // the API key used; "" for the system
}

// Origin is where a request came from. Its members are recorded for ever.
type Origin struct {
	RequestID      string
	ClientIP       string
	UserAgent      string
	Reason         string
	RunID          string
	IdempotencyKey string
}

// Proposed is an event on its way into the log.
type Proposed struct {
	ID      ulid.ULID
	Version uint64    // of the stream, counting this event
	Time    time.Time // the writer's clock, UTC, whole milliseconds
	Actor   Actor
	Origin  Origin
	Event   Event
	// Known is a position: who proposes this knows what its stream holds up to
	// there. It is not recorded, and saves the log from looking; 0 says nothing.
	Known uint64
}

// Recorded is an event in the log, or a proven foreign message: something
// that is no event and that the operator has listed as such. That one has a nil
// Event, its Position and its Raw bytes, and Stream where its subject is one of
// a stream: the next append there must expect its Position. Everything else is
// zero, Version too, for it counts as nothing in the stream.
type Recorded struct {
	ID ulid.ULID
	// Stream is nil only for a foreign message on no stream's subject.
	Stream   Stream
	Position uint64 // its sequence in the log, from 1
	Version  uint64 // dense from 1 within the stream
	// Time is the writer's clock.
	Time time.Time
	// At is the folded time: the later of Time and the At of the event before
	// it in the log. The log leaves it zero, a fold of the whole log sets it.
	At     time.Time
	Actor  Actor
	Origin Origin
	// Event is nil for a foreign message alone.
	Event Event
	// Raw is the record's exact bytes: what feeds and Merkle leaves show. It
	// holds metadata only. Of a foreign message it is the whole message.
	Raw []byte
	// BodyHash is SHA-256 of the sealed body; of the empty string where there
	// is none.
	BodyHash [32]byte
}
