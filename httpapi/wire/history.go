package wire

// HistoryEntry is one event of a secret: metadata only.
type HistoryEntry struct {
	Position  uint64         `json:"position"` // in the log
	EventID   string         `json:"eventId"`  // a ULID
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
}

// Actor is who made an event.
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
