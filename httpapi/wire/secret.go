package wire

// Scope names where a secret lies.
type Scope struct {
	Scope   string `json:"scope"`
	ScopeID string `json:"scopeId"`
	Name    string `json:"name"`
}

// ScopeRole is a row of GET /agent/secrets/scopes: one scope that the caller
// belongs to.
type ScopeRole struct {
	Scope   string `json:"scope"`
	ScopeID string `json:"scopeId"`
	Name    string `json:"name"`
	Role    string `json:"role"` // a ranked role, or auditor
}

// Whoami is the caller.
type Whoami struct {
	AgentID     string   `json:"agentId"`
	OrgID       string   `json:"orgId"`
	TenantID    string   `json:"tenantId"` // the same as OrgID
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

// Aggregate is a secret without its envelopes.
type Aggregate struct {
	SecretID   string           `json:"secretId"`
	Scope      string           `json:"scope"`
	ScopeID    string           `json:"scopeId"`
	SecretName string           `json:"secretName"`
	Category   string           `json:"category"`
	Tags       []string         `json:"tags"` // sorted
	Version    uint64           `json:"version"`
	CreatedAt  Time             `json:"createdAt"`
	CreatedBy  string           `json:"createdBy"` // agent id
	UpdatedAt  Time             `json:"updatedAt"`
	UpdatedBy  string           `json:"updatedBy"` // agent id
	Fields     []AggregateField `json:"fields"`    // sorted by key
	// RotateEvery, like 90d, and ExpiresAt are advice; "" and nil where nothing
	// is said.
	RotateEvery string `json:"rotateEvery,omitempty"`
	ExpiresAt   *Time  `json:"expiresAt,omitempty"`
}

// AggregateField is one field of an [Aggregate].
type AggregateField struct {
	Key         string `json:"key"`
	Sensitivity string `json:"sensitivity"`
	Version     uint64 `json:"version"` // the secret's version that set it
	UpdatedAt   Time   `json:"updatedAt"`
	UpdatedBy   string `json:"updatedBy"`
	// Value is nil for encrypted fields, in lists and in as-of answers.
	Value *Value `json:"value,omitempty"`
}

// Secret is the answer to GET of a secret. An as-of answer has no Envelopes.
type Secret struct {
	Aggregate Aggregate `json:"aggregate"`
	// Envelopes has one for each encrypted field, by its key.
	Envelopes map[string]Envelope `json:"envelopes"`
}

// SecretAsOf is the answer to GET of a secret with at or version: metadata as
// it stood then.
type SecretAsOf struct {
	Aggregate Aggregate `json:"aggregate"`
}

// ResolvedSecret is the answer to GET /agent/secrets/resolve/{secretId}.
type ResolvedSecret struct {
	Aggregate    Aggregate           `json:"aggregate"`
	Envelopes    map[string]Envelope `json:"envelopes"`
	ResolvedFrom Scope               `json:"resolvedFrom"`
	// Shadowed lists the less specific scopes that have the same secretId.
	Shadowed []Scope `json:"shadowed"`
}

// EffectiveSecret is a row of GET /agent/secrets/resolve: what a secretId
// resolves to. Either Ambiguous lists the scopes of the winning level that
// both have it, or Aggregate and ResolvedFrom say what wins.
type EffectiveSecret struct {
	SecretID     string     `json:"secretId"`
	Aggregate    *Aggregate `json:"aggregate,omitempty"`
	ResolvedFrom *Scope     `json:"resolvedFrom,omitempty"`
	Ambiguous    []Scope    `json:"ambiguous,omitempty"`
	Shadowed     []Scope    `json:"shadowed"`
}

// Field is one field with its value: exactly one of Value and Envelope,
// matching the sensitivity. In a request Version, UpdatedAt and UpdatedBy are
// absent; see [NewField] and [SetField].
type Field struct {
	Key         string    `json:"key"`
	Sensitivity string    `json:"sensitivity"` // plaintext or encrypted
	Value       *Value    `json:"value,omitempty"`
	Envelope    *Envelope `json:"envelope,omitempty"`
	Version     uint64    `json:"version"` // the secret's version that set it
	UpdatedAt   Time      `json:"updatedAt"`
	UpdatedBy   string    `json:"updatedBy"`
}

// NewField is a field of a [CreateSecret].
type NewField struct {
	Key         string    `json:"key"`
	Sensitivity string    `json:"sensitivity"`
	Value       *Value    `json:"value,omitempty"`
	Envelope    *Envelope `json:"envelope,omitempty"`
}

// CreateSecret is the body of PUT …/{secretId}.
type CreateSecret struct {
	SecretName string     `json:"secretName"`
	Category   string     `json:"category"`
	Tags       []string   `json:"tags,omitempty"`
	Fields     []NewField `json:"fields,omitempty"`
}

// UpdateSecret is the body of PATCH …/{secretId}: at least one member. A nil
// one stays as it is; Tags replaces the whole set; null takes RotateEvery or
// ExpiresAt away.
type UpdateSecret struct {
	SecretName  *string         `json:"secretName,omitempty"`
	Category    *string         `json:"category,omitempty"`
	Tags        *[]string       `json:"tags,omitempty"`
	RotateEvery *OrNull[string] `json:"rotateEvery,omitempty"` // 1d to 3650d
	ExpiresAt   *OrNull[Time]   `json:"expiresAt,omitempty"`
}

// SetField is the body of PUT …/fields/{fieldKey}.
type SetField struct {
	Sensitivity string    `json:"sensitivity"`
	Value       *Value    `json:"value,omitempty"`
	Envelope    *Envelope `json:"envelope,omitempty"`
}

// RemovedField is the answer to DELETE …/fields/{fieldKey}.
type RemovedField struct {
	SecretID string `json:"secretId"`
	FieldKey string `json:"fieldKey"`
	Version  uint64 `json:"version"` // the secret's, counting the removal
}

// DeletedSecret is the answer to DELETE …/{secretId}.
type DeletedSecret struct {
	SecretID  string `json:"secretId"`
	DeletedAt Time   `json:"deletedAt"`
	Version   uint64 `json:"version"`
	// KeyDestroyed is false when the secret is deleted but destroying its
	// keys is still to be finished by the server.
	KeyDestroyed bool `json:"keyDestroyed"`
}

// GenerateDataKey is the body of POST /agent/secrets/generate-data-key.
type GenerateDataKey struct {
	Scope    string `json:"scope"`
	ScopeID  string `json:"scopeId"`
	SecretID string `json:"secretId"`
	FieldKey string `json:"fieldKey"`
}

// DecryptDataKey is the body of POST /agent/secrets/decrypt-data-key.
type DecryptDataKey struct {
	Scope             string `json:"scope"`
	ScopeID           string `json:"scopeId"`
	SecretID          string `json:"secretId"`
	FieldKey          string `json:"fieldKey"`
	DataKeyCiphertext string `json:"dataKeyCiphertext"`
}

// DataKey is the answer to a mint.
type DataKey struct {
	PlaintextKey      Value  `json:"plaintextKey"`      // 32 bytes in base64
	DataKeyCiphertext string `json:"dataKeyCiphertext"` // goes into the envelope
	KeyID             string `json:"keyId"`             // of the secret key that wraps it
}

// PlaintextKey is the answer to a release.
type PlaintextKey struct {
	PlaintextKey Value `json:"plaintextKey"` // 32 bytes in base64
}
