package domain

// ScopeKind is one of the four levels on which secrets live.
type ScopeKind string

// The scope kinds. An organization holds teams and projects, a team holds
// projects, and every agent is a scope of its own.
const (
	ScopeOrg     ScopeKind = "org"
	ScopeTeam    ScopeKind = "team"
	ScopeProject ScopeKind = "project"
	ScopeAgent   ScopeKind = "agent"
)

// ParseScopeKind accepts the four kinds; else invalid_id.
func ParseScopeKind(s string) (ScopeKind, error) {
	switch k := ScopeKind(s); k {
	case ScopeOrg, ScopeTeam, ScopeProject, ScopeAgent:
		return k, nil
	default:
		return "", Errorf(CodeInvalidID, "a scope is one of org, team, project, agent")
	}
}

// Prefix gives the prefix of the ids that Chancery makes for the kind.
func (k ScopeKind) Prefix() string {
	switch k {
	case ScopeOrg:
		return OrgPrefix
	case ScopeTeam:
		return TeamPrefix
	case ScopeProject:
		return ProjectPrefix
	case ScopeAgent:
		return AgentPrefix
	default:
		return ""
	}
}

// specificity orders scopes for listing and resolving: most specific first.
func (k ScopeKind) specificity() int {
	switch k {
	case ScopeAgent:
		return 0
	case ScopeProject:
		return 1
	case ScopeTeam:
		return 2
	case ScopeOrg:
		return 3
	default:
		return 4
	}
}

// Scope names one org, team, project or agent within an organization.
type Scope struct {
	Kind ScopeKind
	ID   string
}

// ParseScope checks the shape of both parts, not whether the scope exists.
// Both failures are invalid_id.
func ParseScope(kind, id string) (Scope, error) {
	k, err := ParseScopeKind(kind)
	if err != nil {
		return Scope{}, err
	}
	if !validID(id, false) {
		return Scope{}, Errorf(CodeInvalidID, "a scopeId is 1 to 128 of A-Z a-z 0-9 _ - and starts with a letter or digit")
	}
	return Scope{Kind: k, ID: id}, nil
}

// String gives kind/id.
func (s Scope) String() string { return string(s.Kind) + "/" + s.ID }

// SecretRef is the full path of a secret: what its subject, its rows and its
// key material are bound to.
type SecretRef struct {
	Org   OrgID
	Scope Scope
	ID    SecretID
}

// String gives org/kind/scopeId/secretId.
func (r SecretRef) String() string {
	return string(r.Org) + "/" + r.Scope.String() + "/" + string(r.ID)
}
