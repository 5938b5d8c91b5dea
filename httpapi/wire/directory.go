package wire

// DirectoryItem is an org, team, project or agent, as admin calls answer it.
type DirectoryItem struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	CreatedAt  Time   `json:"createdAt"`
	ArchivedAt *Time  `json:"archivedAt,omitempty"`
	TeamID     string `json:"teamId,omitempty"` // of a project that lies in a team
}

// CreateItem is the body that creates an org, a team or an agent.
type CreateItem struct {
	Name string `json:"name"`
}

// CreateProject is the body that creates a project.
type CreateProject struct {
	Name   string  `json:"name"`
	TeamID *string `json:"teamId,omitempty"`
}

// UpdateItem is the body of PATCH on an org, team, project or agent: exactly
// one member.
type UpdateItem struct {
	Name     *string `json:"name,omitempty"`
	Archived *bool   `json:"archived,omitempty"`
}

// GrantMembership is the body of PUT …/memberships/{scope}/{scopeId}.
type GrantMembership struct {
	Role string `json:"role"`
}

// RevokeMembership is the optional body of DELETE
// …/memberships/{scope}/{scopeId}. Without a role the ranked one goes.
type RevokeMembership struct {
	Role *string `json:"role,omitempty"`
}

// Membership is one role of an agent on a scope.
type Membership struct {
	AgentID   string `json:"agentId"`
	Scope     string `json:"scope"`
	ScopeID   string `json:"scopeId"`
	Role      string `json:"role"`
	GrantedAt Time   `json:"grantedAt"`
	GrantedBy string `json:"grantedBy"`
}

// RevokedMembership is the answer to a revocation.
type RevokedMembership struct {
	AgentID string `json:"agentId"`
	Scope   string `json:"scope"`
	ScopeID string `json:"scopeId"`
	Role    string `json:"role"` // the role that is gone
}

// IssueKey is the body of POST …/keys.
type IssueKey struct {
	ExpiresAt *Time   `json:"expiresAt,omitempty"` // in the future, at most 10 years
	Note      *string `json:"note,omitempty"`
}

// IssuedKey is a new API key. APIKey is shown this once.
type IssuedKey struct {
	ID     string `json:"id"`
	APIKey Value  `json:"apiKey"`
}

// APIKey is an API key without its secret.
type APIKey struct {
	ID        string `json:"id"`
	Note      string `json:"note"`
	CreatedAt Time   `json:"createdAt"`
	ExpiresAt *Time  `json:"expiresAt"` // null: never
	RevokedAt *Time  `json:"revokedAt"` // null: not revoked
	LookupID  string `json:"lookupId"`  // stands in the token
}

// Health is the answer of the health endpoints.
type Health struct {
	Status string `json:"status"` // ok or ready
}
