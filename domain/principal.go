package domain

import (
	"slices"
	"strings"
)

// Action is what a caller wants to do on a scope.
type Action string

// The actions, each with the least role that it needs.
const (
	ActionList    Action = "list"    // viewer: metadata of living secrets
	ActionHistory Action = "history" // viewer: history and as-of reads
	ActionRead    Action = "read"    // reader: values and envelopes
	ActionRelease Action = "release" // reader: unwrapped data keys
	ActionWrite   Action = "write"   // writer: create, set, rename
	ActionRemove  Action = "remove"  // writer: remove a field, delete a secret
	ActionMint    Action = "mint"    // writer: new data keys
	ActionManage  Action = "manage"  // manager: memberships of the scope
)

// Actions lists every action.
func Actions() []Action {
	return []Action{
		ActionList, ActionHistory, ActionRead, ActionRelease, ActionWrite, ActionRemove, ActionMint, ActionManage,
	}
}

func (a Action) needs() Role {
	switch a {
	case ActionList, ActionHistory:
		return RoleViewer
	case ActionRead, ActionRelease:
		return RoleReader
	case ActionWrite, ActionRemove, ActionMint:
		return RoleWriter
	case ActionManage:
		return RoleManager
	}
	return RoleManager
}

// inArchive says whether the action is still allowed on an archived scope:
// what is there may be seen and taken away.
func (a Action) inArchive() bool {
	switch a {
	case ActionList, ActionHistory, ActionRemove:
		return true
	case ActionRead, ActionRelease, ActionWrite, ActionMint, ActionManage:
	}
	return false
}

// Rule names what decided about a request. Rules stand in access records.
type Rule string

// The rules.
const (
	RuleOwnScope         Rule = "own_scope"
	RuleDirectMembership Rule = "direct_membership"
	RuleUpward           Rule = "upward"
	RuleAuditor          Rule = "auditor"
	RuleAdmin            Rule = "admin"
	RuleRootAdmin        Rule = "root_admin"
	RuleRootAuditor      Rule = "root_auditor"
	RuleNoMembership     Rule = "no_membership"
	RuleRoleInsufficient Rule = "role_insufficient"
	RuleScopeArchived    Rule = "scope_archived"
	RuleNotAdmin         Rule = "not_admin"
	RuleNotAuditor       Rule = "not_auditor"
)

// Decision is the answer to a permission question and the rule that gave it.
type Decision struct {
	Allowed bool
	Rule    Rule
}

// Err gives nil when allowed, else forbidden. It does not tell whether the
// scope exists.
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	return Errorf(CodeForbidden, "%s", forbiddenDetail[d.Rule])
}

var forbiddenDetail = map[Rule]string{
	RuleNoMembership:     "the caller has no role on this scope",
	RuleRoleInsufficient: "the caller's role on this scope does not allow this",
	RuleScopeArchived:    "the scope is archived",
	RuleNotAdmin:         "the caller is not an administrator of this organization",
	RuleNotAuditor:       "the caller is not an auditor of this organization",
}

// Grant is what a principal may do on one scope.
type Grant struct {
	Scope    Scope
	Name     string
	Role     Role // ranked, or auditor
	Rule     Rule
	Archived bool // the scope or one that holds it
}

// Principal is an authenticated agent with its rights as they stood when it
// was compiled. It is immutable and safe for concurrent use.
type Principal struct {
	Org     OrgID
	Agent   AgentID
	Name    string
	Key     APIKeyID
	Admin   bool
	Root    bool // admin of the bootstrap organization
	Auditor bool
	// RootAuditor is the auditor of the bootstrap organization.
	RootAuditor bool
	grants      map[Scope]Grant
	ordered     []Grant
}

// Compile gives the rights of an agent of this directory. ok is false for an
// agent that is unknown or archived: nobody to authenticate.
func (d *Directory) Compile(agent AgentID, key APIKeyID) (p Principal, ok bool) {
	self, ok := d.Agent(agent)
	if !ok || self.Archived() {
		return Principal{}, false
	}
	p = Principal{Org: d.Org, Agent: agent, Name: self.Name, Key: key, grants: map[Scope]Grant{}}
	held := d.Memberships[agent]
	if _, p.Auditor = held[MembershipKey{Scope: d.OrgScope(), Special: RoleAuditor}]; p.Auditor {
		p.RootAuditor = d.Root
		for _, s := range d.Scopes {
			p.grant(d, s, RoleAuditor, RuleAuditor)
		}
	} else {
		_, p.Admin = held[MembershipKey{Scope: d.OrgScope(), Special: RoleAdmin}]
		p.Root = p.Admin && d.Root
		d.compileRanked(&p, self, held)
	}
	for _, g := range p.grants {
		p.ordered = append(p.ordered, g)
	}
	slices.SortFunc(p.ordered, func(a, b Grant) int {
		if c := a.Scope.Kind.specificity() - b.Scope.Kind.specificity(); c != 0 {
			return c
		}
		return strings.Compare(a.Scope.ID, b.Scope.ID)
	})
	return p, true
}

func (d *Directory) compileRanked(p *Principal, self ScopeState, held map[MembershipKey]Membership) {
	p.grant(d, self, RoleWriter, RuleOwnScope)
	for key, m := range held {
		if s, ok := d.Scopes[key.Scope]; ok && key.Special == "" {
			p.grant(d, s, m.Role, RuleDirectMembership)
		}
	}
	// From below: projects lift to their team and the org, teams and the
	// agent itself to the org. A direct membership is never replaced.
	direct := make([]Grant, 0, len(p.grants))
	for _, g := range p.grants {
		direct = append(direct, g)
	}
	for _, g := range direct {
		if g.Scope.Kind == ScopeOrg {
			continue
		}
		if team := d.Scopes[g.Scope].TeamID; team != "" {
			p.lift(d, Scope{Kind: ScopeTeam, ID: team}, g.Role)
		}
		p.lift(d, d.OrgScope(), g.Role)
	}
}

func (p *Principal) lift(d *Directory, scope Scope, role Role) {
	s, ok := d.Scopes[scope]
	if !ok {
		return
	}
	role = role.atMost(RoleReader)
	if g, ok := p.grants[scope]; ok && (g.Rule == RuleDirectMembership || g.Role.rank() >= role.rank()) {
		return
	}
	p.grant(d, s, role, RuleUpward)
}

func (p *Principal) grant(d *Directory, s ScopeState, role Role, rule Rule) {
	p.grants[s.Scope] = Grant{Scope: s.Scope, Name: s.Name, Role: role, Rule: rule, Archived: d.archived(s)}
}

// May answers whether the principal may do something on a scope of its
// organization. Anything that no rule grants is denied.
func (p Principal) May(a Action, s Scope) Decision {
	g, ok := p.grants[s]
	switch {
	case !ok:
		return Decision{Rule: RuleNoMembership}
	case g.Rule == RuleAuditor:
		if a.needs() != RoleViewer {
			return Decision{Rule: RuleRoleInsufficient}
		}
	case g.Role.rank() < a.needs().rank():
		return Decision{Rule: RuleRoleInsufficient}
	}
	if g.Archived && !a.inArchive() {
		return Decision{Rule: RuleScopeArchived}
	}
	return Decision{Allowed: true, Rule: g.Rule}
}

// Grants lists what the principal may do, most specific scope first: agent,
// projects, teams, org; by id within a kind. The result must not be changed.
func (p Principal) Grants() []Grant { return p.ordered }

// MayAdminister answers for directory, membership and key calls on an
// organization.
func (p Principal) MayAdminister(org OrgID) Decision {
	switch {
	case p.Admin && org == p.Org:
		return Decision{Allowed: true, Rule: RuleAdmin}
	case p.Root:
		return Decision{Allowed: true, Rule: RuleRootAdmin}
	}
	return Decision{Rule: RuleNotAdmin}
}

// MayAudit answers for the access log and the reports of an organization. "" is
// the whole server: what the log says of all organizations.
func (p Principal) MayAudit(org OrgID) Decision {
	switch {
	case p.Auditor && org == p.Org:
		return Decision{Allowed: true, Rule: RuleAuditor}
	case p.RootAuditor:
		return Decision{Allowed: true, Rule: RuleRootAuditor}
	}
	return Decision{Rule: RuleNotAuditor}
}

// MayCreateOrgs answers for making and listing organizations.
func (p Principal) MayCreateOrgs() Decision {
	if p.Root {
		return Decision{Allowed: true, Rule: RuleRootAdmin}
	}
	return Decision{Rule: RuleNotAdmin}
}

// MayGrant answers whether the principal may grant or revoke a role on a
// scope: admins any, managers of the scope the ranked ones.
func (p Principal) MayGrant(org OrgID, s Scope, role Role) Decision {
	if d := p.MayAdminister(org); d.Allowed {
		return d
	}
	if org != p.Org || role != "" && !role.Ranked() {
		return Decision{Rule: RuleNotAdmin}
	}
	return p.May(ActionManage, s)
}

// Permissions lists what the principal may do somewhere, as whoami shows it:
// "secrets:list", "secrets:read", "secrets:write", "memberships:manage",
// "directory:admin", "orgs:admin", "audit:read".
func (p Principal) Permissions() []string {
	var list []string
	add := func(name string, ok bool) {
		if ok {
			list = append(list, name)
		}
	}
	may := func(a Action) bool {
		return slices.ContainsFunc(p.ordered, func(g Grant) bool { return p.May(a, g.Scope).Allowed })
	}
	add("secrets:list", may(ActionList))
	add("secrets:read", may(ActionRead))
	add("secrets:write", may(ActionWrite))
	add("memberships:manage", may(ActionManage))
	add("directory:admin", p.Admin)
	add("orgs:admin", p.Root)
	add("audit:read", p.Auditor)
	return list
}
