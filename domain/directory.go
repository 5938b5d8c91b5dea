package domain

import (
	"time"
)

// Directory is the state of one organization's directory stream: its scopes,
// memberships and API keys. Its zero value, with an Org, is an organization
// that does not exist.
//
// It is not safe for use while Apply runs.
type Directory struct {
	Org     OrgID
	Version uint64 // of the last event
	Head    uint64 // position of the last event, or of a foreign message behind it
	// Root marks the bootstrap organization: the owner of the log's first
	// event. Its admins administer every organization.
	Root        bool
	Scopes      map[Scope]ScopeState
	Memberships map[AgentID]map[MembershipKey]Membership
	Keys        map[APIKeyID]APIKey
}

// ScopeState is one org, team, project or agent.
type ScopeState struct {
	Scope      Scope
	Name       string
	TeamID     string // of a project that lies in a team
	CreatedAt  time.Time
	ArchivedAt time.Time // zero: not archived
}

// Archived says whether the scope itself is archived.
func (s ScopeState) Archived() bool { return !s.ArchivedAt.IsZero() }

// MembershipKey identifies a membership of an agent. A ranked role has the
// empty Special; auditor and admin stand beside it under their own name.
type MembershipKey struct {
	Scope   Scope
	Special Role
}

// Membership is one role of an agent on a scope.
type Membership struct {
	Agent     AgentID
	Scope     Scope
	Role      Role
	GrantedAt time.Time
	GrantedBy string
}

// Key gives the membership's place.
func (m Membership) Key() MembershipKey { return membershipKey(m.Scope, m.Role) }

func membershipKey(scope Scope, role Role) MembershipKey {
	if role.Ranked() || role == "" {
		return MembershipKey{Scope: scope}
	}
	return MembershipKey{Scope: scope, Special: role}
}

// APIKey is an API key without its secret.
type APIKey struct {
	ID        APIKeyID
	Agent     AgentID
	LookupID  string
	Hash      [32]byte // SHA-256 of the token's secret part
	Note      string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
}

// NewDirectory gives an empty directory, ready for Apply.
func NewDirectory(org OrgID) *Directory {
	return &Directory{
		Org:         org,
		Scopes:      map[Scope]ScopeState{},
		Memberships: map[AgentID]map[MembershipKey]Membership{},
		Keys:        map[APIKeyID]APIKey{},
	}
}

// OrgScope is the scope that is the organization itself.
func (d *Directory) OrgScope() Scope { return Scope{Kind: ScopeOrg, ID: string(d.Org)} }

// Exists says whether the organization has been made.
func (d *Directory) Exists() bool { return d.Version > 0 }

// Agent finds an agent's scope.
func (d *Directory) Agent(id AgentID) (ScopeState, bool) {
	s, ok := d.Scopes[Scope{Kind: ScopeAgent, ID: string(id)}]
	return s, ok
}

// Put stores rows as an earlier Apply made them: how a directory is read back
// from its projection. Rows of other kinds are ignored.
func (d *Directory) Put(rows ...any) {
	for _, row := range rows {
		switch r := row.(type) {
		case ScopeState:
			d.Scopes[r.Scope] = r
		case Membership:
			d.putMembership(r)
		case APIKey:
			d.Keys[r.ID] = r
		}
	}
}

func (d *Directory) putMembership(m Membership) {
	if d.Memberships[m.Agent] == nil {
		d.Memberships[m.Agent] = map[MembershipKey]Membership{}
	}
	d.Memberships[m.Agent][m.Key()] = m
}

// Apply folds one recorded event of the directory's stream. It is total. A
// foreign message (nil Event) moves Head and nothing else: it makes no
// organization the bootstrap one either.
func (d *Directory) Apply(r Recorded) {
	if r.Event == nil {
		d.Head = r.Position
		return
	}
	d.Version, d.Head = r.Version, r.Position
	if r.Position == 1 {
		d.Root = true
	}
	switch e := r.Event.(type) { //nolint:gochecksumtype // secret and key events do not lie here.
	case ScopeCreated:
		d.Scopes[e.Scope] = ScopeState{Scope: e.Scope, Name: e.Name, TeamID: e.TeamID, CreatedAt: r.At}
	case ScopeRenamed:
		d.updateScope(e.Scope, func(s *ScopeState) { s.Name = e.Name.To })
	case ScopeArchived:
		d.updateScope(e.Scope, func(s *ScopeState) { s.ArchivedAt = r.At })
	case ScopeRestored:
		d.updateScope(e.Scope, func(s *ScopeState) { s.ArchivedAt = time.Time{} })
	case MembershipGranted:
		d.putMembership(Membership{Agent: e.Agent, Scope: e.Scope, Role: e.Role, GrantedAt: r.At, GrantedBy: r.Actor.ID})
	case MembershipRevoked:
		delete(d.Memberships[e.Agent], membershipKey(e.Scope, e.Role))
	case APIKeyIssued:
		d.Keys[e.ID] = APIKey{
			ID: e.ID, Agent: e.Agent, LookupID: e.LookupID, Hash: e.Hash, Note: e.Note,
			CreatedAt: r.At, ExpiresAt: e.ExpiresAt,
		}
	case APIKeyRevoked:
		if k, ok := d.Keys[e.ID]; ok {
			k.RevokedAt = r.At
			d.Keys[e.ID] = k
		}
	}
}

func (d *Directory) updateScope(scope Scope, change func(*ScopeState)) {
	if s, ok := d.Scopes[scope]; ok {
		change(&s)
		d.Scopes[scope] = s
	}
}

// archived says whether the scope or one that holds it is archived.
func (d *Directory) archived(s ScopeState) bool {
	if s.Archived() || d.Scopes[d.OrgScope()].Archived() {
		return true
	}
	return s.TeamID != "" && d.Scopes[Scope{Kind: ScopeTeam, ID: s.TeamID}].Archived()
}

// DecideDirectory gives the event that a command means on a directory, nil if
// it is already so, or a refusal.
func DecideDirectory(d *Directory, c DirectoryCommand) (Event, error) {
	if create, ok := c.(CreateScope); ok && create.Scope.Kind == ScopeOrg {
		if d.Exists() {
			return nil, Errorf(CodeConflict, "the organization exists")
		}
		return ScopeCreated{Scope: create.Scope, Name: create.Name}, nil
	}
	if !d.Exists() {
		return nil, errNotFound("organization")
	}
	switch c := c.(type) {
	case CreateScope:
		if _, ok := d.Scopes[c.Scope]; ok {
			return nil, Errorf(CodeConflict, "the %s exists", c.Scope.Kind)
		}
		if c.TeamID != "" {
			if c.Scope.Kind != ScopeProject {
				return nil, Errorf(CodeInvalidRequest, "only a project lies in a team")
			}
			if _, ok := d.Scopes[Scope{Kind: ScopeTeam, ID: c.TeamID}]; !ok {
				return nil, errNotFound("team")
			}
		}
		return ScopeCreated{Scope: c.Scope, Name: c.Name, TeamID: c.TeamID}, nil
	case RenameScope:
		s, ok := d.Scopes[c.Scope]
		switch {
		case !ok:
			return nil, errNotFound(string(c.Scope.Kind))
		case s.Name == c.Name:
			return nil, nil //nolint:nilnil // already so.
		}
		return ScopeRenamed{Scope: c.Scope, Name: Change[string]{From: &s.Name, To: c.Name}}, nil
	case SetArchived:
		s, ok := d.Scopes[c.Scope]
		switch {
		case !ok:
			return nil, errNotFound(string(c.Scope.Kind))
		case s.Archived() == c.Archived:
			return nil, nil //nolint:nilnil // already so.
		case c.Archived:
			return ScopeArchived{Scope: c.Scope}, nil
		}
		return ScopeRestored{Scope: c.Scope}, nil
	case GrantMembership:
		return d.decideGrant(c)
	case RevokeMembership:
		m, ok := d.Memberships[c.Agent][membershipKey(c.Scope, c.Role)]
		if !ok || c.Role != "" && m.Role != c.Role {
			return nil, errNotFound("membership")
		}
		return MembershipRevoked{Agent: c.Agent, Scope: c.Scope, Role: m.Role}, nil
	case IssueKey:
		agent, ok := d.Agent(c.Agent)
		if !ok {
			return nil, errNotFound("agent")
		}
		if agent.Archived() {
			return nil, Errorf(CodeForbidden, "the agent is archived")
		}
		if _, ok := d.Keys[c.ID]; ok {
			return nil, Errorf(CodeKeyAlreadyIssued, "the key %s was issued before", c.ID)
		}
		return APIKeyIssued(c), nil
	case RevokeKey:
		k, ok := d.Keys[c.ID]
		if !ok || k.Agent != c.Agent {
			return nil, errNotFound("API key")
		}
		if !k.RevokedAt.IsZero() {
			return nil, nil //nolint:nilnil // already so.
		}
		return APIKeyRevoked(c), nil
	}
	return nil, errNotFound("command")
}

func (d *Directory) decideGrant(c GrantMembership) (Event, error) {
	if _, ok := d.Agent(c.Agent); !ok {
		return nil, errNotFound("agent")
	}
	if _, ok := d.Scopes[c.Scope]; !ok {
		return nil, errNotFound(string(c.Scope.Kind))
	}
	if m, ok := d.Memberships[c.Agent][membershipKey(c.Scope, c.Role)]; ok && m.Role == c.Role {
		return nil, nil //nolint:nilnil // already so.
	}
	return MembershipGranted(c), nil
}

func errNotFound(what string) error { return Errorf(CodeNotFound, "there is no such %s", what) }

// CheckMembership refuses (invalid_request) a membership that no organization
// can have: on an agent's scope, or a special role anywhere but on the org.
func CheckMembership(scope Scope, role Role) error {
	switch {
	case scope.Kind == ScopeAgent:
		return Errorf(CodeInvalidRequest, "an agent's own scope has no members")
	case role != "" && !role.Ranked() && scope.Kind != ScopeOrg:
		return Errorf(CodeInvalidRequest, "%s is a role on the organization", role)
	}
	return nil
}
