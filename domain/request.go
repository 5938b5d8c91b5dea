package domain

import "time"

// SecretRequest is an authenticated, well-formed and authorized request to
// change one secret.
type SecretRequest struct {
	Principal Principal
	Ref       SecretRef
	Command   SecretCommand
	Origin    Origin
}

// SecretResult is what a change of a secret led to.
type SecretResult struct {
	// Secret is the state at Version. After a create or a metadata change its
	// plaintext values are open; after a field change that field's alone.
	Secret Secret
	// Event is what was appended, now or by the request that this one
	// repeats; "" when nothing had to change.
	Event    EventType
	Position uint64 // of that event, else the position this node has applied
	Version  uint64
	At       time.Time // the event's folded time
	// Replayed says that an earlier request with the same Idempotency-Key
	// appended the event. Secret is then the state as it stands now.
	Replayed bool
	// KeyDestroyed says, after a delete, that the secret's keys are gone.
	KeyDestroyed bool
}

// DirectoryRequest is an authorized request to change a directory.
type DirectoryRequest struct {
	Principal Principal
	Org       OrgID
	Command   DirectoryCommand
	Origin    Origin
}

// DirectoryResult is what a change of a directory led to.
type DirectoryResult struct {
	// Event is what was appended, now or by the repeated request, as recorded
	// (its ids are those of the first request); nil when nothing had to
	// change.
	Event    Event
	Position uint64
	Replayed bool
}

// SecretQuery asks for one page of the living secrets of a scope, by id.
type SecretQuery struct {
	Org      OrgID
	Scope    Scope
	Category string   // "" for any
	Tags     []string // all must be there
	Text     string   // substring of id or name; "" for any
	After    SecretID // exclusive; "" from the start
	Limit    int      // rows to return at most
	Examine  int      // rows to look at, at most
}

// HistoryQuery asks for one page of a secret's history.
type HistoryQuery struct {
	Ref       SecretRef
	Ascending bool
	// After is the version to go on behind, exclusive; 0 from the start (or,
	// descending, from the newest).
	After uint64
	Limit int
}

// EffectiveQuery asks for one page of what resolves from a list of scopes.
type EffectiveQuery struct {
	Org     OrgID
	Scopes  []Scope // most specific first
	After   SecretID
	Limit   int
	Examine int
}

// EffectiveSecret is one secretId with every scope that has it.
type EffectiveSecret struct {
	Secret Secret  // the first scope's, metadata only
	Scopes []Scope // in the order of the query
}

// EffectivePage is one page of the effective set.
type EffectivePage struct {
	Secrets []EffectiveSecret
	Next    SecretID
}

// IdempotentEvent is the event that a request with an Idempotency-Key
// appended.
type IdempotentEvent struct {
	Stream   Stream
	Position uint64
	Version  uint64
	At       time.Time // folded
}

// LogStatus is what a log says about itself.
type LogStatus struct {
	// Created is the stream's creation time: with position and event id it
	// identifies the log that a checkpoint belongs to.
	Created time.Time
	// First and Head are the first and the last durable position, both 0 when
	// there is none.
	First, Head uint64
	// Stored is the last position, durable or not: Head or higher. Nobody acts
	// on what lies behind Head; Stored tells whether something does.
	Stored uint64
	// Durability says who vouches for Head.
	Durability Durability
	// Bytes is what the log takes up where it is stored, behind Head too; 0
	// where that is not known.
	Bytes uint64
	// Clock is the log server's clock at the answer.
	Clock time.Time
}

// Durability says who vouches that what a log shows is durable.
type Durability uint8

const (
	// DurableHere says that this process made it durable.
	DurableHere Durability = iota + 1
	// DurableByServer says that an external server stored it. It is durable if
	// that server syncs always, which a client cannot find out.
	DurableByServer
)
