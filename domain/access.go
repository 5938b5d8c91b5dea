package domain

import "time"

// Outcome says what became of an access.
type Outcome string

// The outcomes.
const (
	OutcomeAllowed Outcome = "allowed"
	OutcomeDenied  Outcome = "denied" // a rule refused it
	OutcomeFailed  Outcome = "failed" // something else did: the key, the credentials
)

// Actions of access records beside those of [Action].
const (
	AccessAuthenticate = "authenticate" // failed authentications alone
	AccessAdmin        = "admin"        // directory, memberships, API keys
	AccessSubscribe    = "subscribe"    // an event stream was opened
	AccessAudit        = "audit"        // the access log was read
	AccessReport       = "report"       // a report was made
	AccessExport       = "export"       // the log's tiles or entries were read
	AccessStart        = "start"        // a server began
	AccessStop         = "stop"         // a server ended in order
	AccessConfigure    = "configure"    // the operator made or removed something that reads the log
)

// Access is one access record: who touched what, whether it was allowed and
// which rule decided. It never holds a value, a key or a token.
type Access struct {
	Org OrgID // the actor's; "" where nobody was authenticated
	// Target is the organization that was acted on: the actor's own, except
	// for what administrators of the bootstrap organization do elsewhere. ""
	// concerns the whole server.
	Target OrgID
	Actor  Actor  // Kind "" where nobody was authenticated
	Action string // of [Action] or one of the constants above
	Scope  Scope
	Secret SecretID
	Field  FieldKey
	// Detail is what else was asked for: a report's name, a feed's filter. At
	// most 256 characters.
	Detail  string
	Outcome Outcome
	Code    Code // of the refusal, if any
	Rule    Rule
	Method  string
	Route   string // the pattern, never a path that a client sent
	Origin  Origin
	// TraceID is that of W3C Trace Context, 32 hexadecimal digits, or "".
	TraceID string
	Time    time.Time
	// Count and Until make the record a summary: so many accesses that agree
	// in what it says, the first at Time, the last at Until. Both zero: one
	// access.
	Count uint64
	Until time.Time
}

// AccessPlace names a record in the access log: the position of its message
// and its index there, both in the order of the log. Its zero value is before
// all.
type AccessPlace struct {
	Position uint64 // from 1
	Index    uint16 // from 0
}

// AccessMessage is one message of the access log: the records that were made
// durable together.
type AccessMessage struct {
	Position uint64
	// Raw is the message's exact bytes, the Merkle leaf: at most 60 KiB.
	Raw     []byte
	Records []Access
}

// AccessEntry is a record in its place.
type AccessEntry struct {
	Access
	Place AccessPlace
}

// AccessQuery asks for one page of an organization's access records.
type AccessQuery struct {
	// Target is the organization; Unowned adds the records that concern none.
	Target  OrgID
	Unowned bool
	// Each of these narrows the page unless it is zero.
	Actor   string
	Scope   Scope
	Secret  SecretID // needs a Scope
	Action  string
	Outcome Outcome
	From    time.Time // inclusive
	To      time.Time // exclusive
	// After is exclusive; the zero place is the beginning (or, descending,
	// the end).
	After     AccessPlace
	Ascending bool
	Limit     int // rows to return at most
	Examine   int // rows to look at, at most
}

// AccessPage is one page of access records.
type AccessPage struct {
	Entries []AccessEntry
	// Next is the After of the next page, when there is More. It can stand
	// beside fewer rows than asked for, even none.
	Next AccessPlace
	More bool
}

// LastRead says when a field's value or data key was released last.
type LastRead struct {
	Field FieldKey // "" for a read of the whole secret
	Time  time.Time
	Actor Actor
	Place AccessPlace
}
