package reports

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// What a row of the access matrix may name beside [domain.Actions].
const (
	mayAdminister = "administer" // directory, memberships and keys of the organization
	mayAudit      = "audit"      // its access log and reports
)

func accessMatrixReport() report {
	return report{
		name: "access-matrix", title: "Access matrix: who could do what at that time, and through which membership",
		events: true,
		columns: []Column{
			{"org", "Organization", KindText},
			{"agent", "Agent", KindText},
			{"agentName", "Name", KindText},
			{"agentOrg", "Of organization", KindText},
			{"scope", "Scope", KindText},
			{"scopeId", "Scope id", KindText},
			{"scopeName", "Scope name", KindText},
			{"role", "Role", KindText},
			{"actions", "Actions", KindList},
			{"rule", "Rule", KindText},
			{"through", "Through", KindList},
			{"usableKeys", "Usable API keys", KindNumber},
		},
		rows: func(ctx context.Context, v *view) iter.Seq2[Row, error] {
			return func(yield func(Row, error) bool) { v.accessMatrix(ctx, yield) }
		},
	}
}

func (v *view) accessMatrix(ctx context.Context, yield func(Row, error) bool) {
	w, err := v.foldDirectories(ctx, nil)
	if err != nil {
		failed(yield, err)
		return
	}
	at := v.moment(w.last)
	for _, org := range w.orgs() {
		if !v.about(org) {
			continue
		}
		d := w.byOrg[org]
		for _, p := range agents(d) {
			if !matrixOf(d, d, p, at, yield) {
				return
			}
		}
		if w.root == nil || w.root == d {
			continue
		}
		for _, p := range agents(w.root) { // the first organization's own reach into every other
			if !matrixOf(d, w.root, p, at, yield) {
				return
			}
		}
	}
}

// matrixOf gives the rows of one agent, of the directory home, on the
// organization d.
func matrixOf(d, home *domain.Directory, p domain.Principal, at time.Time, yield func(Row, error) bool) bool {
	keys := usableKeys(home, p.Agent, at)
	row := func(scope domain.Scope, role domain.Role, actions []string, rule domain.Rule, through []string) bool {
		return yield(Row{Values: []Value{
			Text(d.Org), Text(p.Agent), Text(p.Name), Text(home.Org), Text(scope.Kind), Text(scope.ID), Text(d.Scopes[scope].Name),
			Text(role), List(actions), Text(rule), List(through), Number(keys),
		}}, nil)
	}
	if d == home {
		for _, g := range p.Grants() {
			if !row(g.Scope, g.Role, allowed(p, g.Scope), g.Rule, through(home, p, g)) {
				return false
			}
		}
	}
	special := func(may domain.Decision, role domain.Role, action string) bool {
		return !may.Allowed || row(d.OrgScope(), role, []string{action}, may.Rule, []string{membershipText(home, domain.Membership{
			Agent: p.Agent, Scope: home.OrgScope(), Role: role,
		})})
	}
	return special(p.MayAdminister(d.Org), domain.RoleAdmin, mayAdminister) &&
		special(p.MayAudit(d.Org), domain.RoleAuditor, mayAudit)
}

// allowed lists the actions that the agent may do on the scope: none are left
// to it of a role on an archived one but to look and to take away.
func allowed(p domain.Principal, s domain.Scope) []string {
	var actions []string
	for _, a := range domain.Actions() {
		if p.May(a, s).Allowed {
			actions = append(actions, string(a))
		}
	}
	return actions
}

// through lists the memberships that a grant comes from: all that would give
// that role alone.
func through(d *domain.Directory, p domain.Principal, g domain.Grant) []string {
	switch g.Rule { //nolint:exhaustive // other rules grant nothing on a scope.
	case domain.RuleOwnScope:
		return []string{"its own scope"}
	case domain.RuleDirectMembership:
		return []string{membershipText(d, domain.Membership{Agent: p.Agent, Scope: g.Scope, Role: g.Role})}
	case domain.RuleAuditor:
		return []string{membershipText(d, domain.Membership{Agent: p.Agent, Scope: d.OrgScope(), Role: domain.RoleAuditor})}
	case domain.RuleUpward:
	default:
		return nil
	}
	var texts []string
	for _, below := range p.Grants() {
		lies := g.Scope.Kind == domain.ScopeOrg || d.Scopes[below.Scope].TeamID == g.Scope.ID
		if below.Scope.Kind == domain.ScopeOrg || below.Rule == domain.RuleUpward || !lies {
			continue
		}
		// What is lifted is at most reader, so a viewer's lift can lie below
		// the role that counted.
		if lifted := below.Role; lifted == g.Role || lifted != domain.RoleViewer && g.Role == domain.RoleReader {
			texts = append(texts, through(d, p, below)...)
		}
	}
	slices.Sort(texts)
	return texts
}

// membershipText names a membership as it stands in the directory.
func membershipText(d *domain.Directory, m domain.Membership) string {
	held := d.Memberships[m.Agent][m.Key()]
	return string(m.Role) + " on " + m.Scope.String() + ", granted " + held.GrantedAt.UTC().Format(timeLayout) + " by " + held.GrantedBy
}

// usableKeys counts the API keys that authenticate the agent at a time.
func usableKeys(d *domain.Directory, agent domain.AgentID, at time.Time) (n uint64) {
	for _, k := range d.Keys {
		if k.Agent == agent && usable(k, at) {
			n++
		}
	}
	return n
}

func usable(k domain.APIKey, at time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(at))
}
