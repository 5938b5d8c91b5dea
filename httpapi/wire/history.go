package wire

import "encoding/json"

// Kinds of the rows of a history that includes the access log.
const (
	KindEvent  = "event"
	KindAccess = "access"
)

// HistoryEntry is one event of a secret: metadata only.
type HistoryEntry struct {
	Kind      string         `json:"kind,omitempty"` // KindEvent beside access records
	Position  uint64         `json:"position"`       // in the log
	EventID   string         `json:"eventId"`        // a ULID
	Type      string         `json:"type"`
	Time      Time           `json:"time"` // never earlier than the entry before
	Actor     Actor          `json:"actor"`
	Version   uint64         `json:"version"`
	Fields    []HistoryField `json:"fields,omitempty"`
	Changes   *Changes       `json:"changes,omitempty"`
	RequestID string         `json:"requestId"`
	ClientIP  string         `json:"clientIp"`
	UserAgent string         `json:"userAgent,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	RunID     string         `json:"runId,omitempty"`

	// Leaf is the record's exact bytes, the entry's leaf in the Merkle tree of
	// the events, and Index its place there; nil unless a proof was asked for.
	Leaf  []byte  `json:"leaf,omitempty"`
	Index *uint64 `json:"index,omitempty"`
	// Proof is a C2SP tlog-proof; "" also for what the newest signed checkpoint
	// does not cover yet.
	Proof string `json:"proof,omitempty"`
}

// HistoryRow is a row of a history that includes the access log: exactly one
// of both. Its JSON form is that one's.
type HistoryRow struct {
	Event  *HistoryEntry
	Access *AccessRecord
}

// MarshalJSON gives the JSON of whichever there is.
func (r HistoryRow) MarshalJSON() ([]byte, error) {
	if r.Access != nil {
		return json.Marshal(r.Access)
	}
	return json.Marshal(r.Event)
}

// UnmarshalJSON tells by kind which one it is.
func (r *HistoryRow) UnmarshalJSON(text []byte) error {
	var is struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(text, &is); err != nil {
		return err
	}
	*r = HistoryRow{}
	if is.Kind == KindAccess {
		return json.Unmarshal(text, &r.Access)
	}
	return json.Unmarshal(text, &r.Event)
}

// Actor is who made an event or an access.
type Actor struct {
	Kind  string `json:"kind"` // agent or system
	ID    string `json:"id"`
	Name  string `json:"name"`  // as it is now
	KeyID string `json:"keyId"` // "" for the system
}

// HistoryField is a field that an event set or removed.
type HistoryField struct {
	Key         string `json:"key"`
	Sensitivity string `json:"sensitivity"`
}

// Changes are the metadata that an event changed.
type Changes struct {
	Name     *Change  `json:"name,omitempty"`
	Category *Change  `json:"category,omitempty"`
	Tags     *TagsSet `json:"tags,omitempty"`

	RotateEvery *Removable[string] `json:"rotateEvery,omitempty"`
	ExpiresAt   *Removable[Time]   `json:"expiresAt,omitempty"`
}

// Removable is a change of what need not be there. From is nil where there was
// none, To where the change took it away.
type Removable[T any] struct {
	From *T `json:"from"`
	To   *T `json:"to"`
}

// Change is one replaced text. From is nil where there was none.
type Change struct {
	From *string `json:"from"`
	To   string  `json:"to"`
}

// TagsSet is a replaced set of tags. From is nil where there was none.
type TagsSet struct {
	From []string `json:"from"`
	To   []string `json:"to"`
}
