package wire

// AccessRecord is one record of the access log: who touched what, whether it
// was allowed and by which rule. It never holds a value.
type AccessRecord struct {
	Kind string `json:"kind,omitempty"` // KindAccess among the entries of a history
	ID   string `json:"id"`             // position and index, with a dot between
	// Position is that of its message in the access log, Index its place there.
	Position uint64 `json:"position"`
	Index    uint16 `json:"index"`
	Time     Time   `json:"time"`
	// Actor is nil where nobody was authenticated.
	Actor     *Actor `json:"actor,omitempty"`
	Org       string `json:"org,omitempty"` // that was acted on; "" for the whole server
	Action    string `json:"action"`
	Scope     string `json:"scope,omitempty"`
	ScopeID   string `json:"scopeId,omitempty"`
	SecretID  string `json:"secretId,omitempty"`
	FieldKey  string `json:"fieldKey,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Outcome   string `json:"outcome"`        // allowed, denied or failed
	Code      string `json:"code,omitempty"` // of the refusal
	Rule      string `json:"rule,omitempty"` // that decided
	Method    string `json:"method,omitempty"`
	Route     string `json:"route,omitempty"`
	RequestID string `json:"requestId,omitempty"`
	TraceID   string `json:"traceId,omitempty"`
	ClientIP  string `json:"clientIp,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	Reason    string `json:"reason,omitempty"`
	RunID     string `json:"runId,omitempty"`
	// Count and Until make it a summary: so many accesses, the last at Until.
	Count uint64 `json:"count,omitempty"`
	Until *Time  `json:"until,omitempty"`
}

// LogKey is a public key that signs a log's checkpoints.
type LogKey struct {
	Log    string `json:"log"`    // events or access
	Origin string `json:"origin"` // the first line of its checkpoints
	Name   string `json:"name"`   // the key's, as it stands in signatures
	VKey   string `json:"vkey"`   // C2SP signed-note verifier key
}

// ReportName is a report that the server can make.
type ReportName struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}
