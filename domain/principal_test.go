package domain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// Nobody authenticates as an archived or unknown agent; a restored one does.
func TestCompileRefusesWhoIsGone(t *testing.T) {
	l, self := newWorld(t, false), scopes()["self"]
	compiles := func(agent domain.AgentID) bool { _, ok := l.dir.Compile(agent, keyOne); return ok }
	if !compiles(alice) {
		t.Error("a living agent is refused")
	}
	l.must(t, domain.SetArchived{Scope: self, Archived: true})
	if compiles(alice) {
		t.Error("an archived agent is let in")
	}
	if !compiles(bob) {
		t.Error("archiving one agent shuts out another")
	}
	l.must(t, domain.SetArchived{Scope: self, Archived: false})
	if !compiles(alice) {
		t.Error("a restored agent is refused")
	}
	for _, nobody := range []domain.AgentID{"", "agt_01J0000000000000000000000Z", domain.AgentID(home)} {
		if compiles(nobody) {
			t.Errorf("%q is let in", nobody)
		}
	}
	if _, ok := (&domain.Directory{Org: home}).Compile(alice, keyOne); ok {
		t.Error("an organization that does not exist has an agent")
	}
}

// A revocation takes exactly its own role.
func TestRevokedRolesAreGone(t *testing.T) {
	at := scopes()
	l := newWorld(t, false)
	l.must(
		t,
		domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleViewer},
		domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAdmin},
		domain.GrantMembership{Agent: alice, Scope: at["team"], Role: domain.RoleWriter},
		domain.GrantMembership{Agent: bob, Scope: at["team"], Role: domain.RoleWriter},
		domain.RevokeMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAdmin},
		domain.RevokeMembership{Agent: alice, Scope: at["team"]},
	)
	p, _ := l.dir.Compile(alice, keyOne)
	if p.MayAdminister(home).Allowed {
		t.Error("a revoked admin still administers")
	}
	if got := p.May(domain.ActionList, at["team"]); got.Rule != domain.RuleNoMembership {
		t.Errorf("a revoked writer of a team: %+v", got)
	}
	if got := p.May(domain.ActionRead, at["org"]); got.Rule != domain.RuleRoleInsufficient {
		t.Errorf("the direct role beside the revoked one is gone: %+v", got)
	}
	other, _ := l.dir.Compile(bob, keyTwo)
	if !other.May(domain.ActionWrite, at["team"]).Allowed {
		t.Error("another agent's membership went with it")
	}
}

// Scopes are listed most specific first: agent, projects, teams, org.
func TestGrantsOrder(t *testing.T) {
	p := holding(t, "writer@team2 viewer@proj manager@lone2 reader@lone !lone")
	var got []string
	for _, g := range p.Grants() {
		got = append(got, string(g.Scope.Kind)+" "+g.Name+" "+string(g.Role)+" "+string(g.Rule)+strings.Repeat(" archived", boolInt(g.Archived)))
	}
	want := []string{
		"agent Alice writer own_scope",
		"project Solo reader direct_membership archived",
		"project Other solo manager direct_membership",
		"project Rocket viewer direct_membership",
		"team Blue writer direct_membership",
		"team Red viewer upward",
		"org Home reader upward",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Grants (-want +got):\n%s", diff)
	}
	if p.Org != home || p.Agent != alice || p.Name != "Alice" || p.Key != keyOne {
		t.Errorf("the principal is %s %s %q %s", p.Org, p.Agent, p.Name, p.Key)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestPermissions(t *testing.T) {
	for holds, want := range map[string]string{
		"":                                "secrets:list secrets:read secrets:write",
		"!org":                            "secrets:list",
		"manager@team":                    "secrets:list secrets:read secrets:write memberships:manage",
		"!team manager@team":              "secrets:list secrets:read secrets:write",
		"admin@org":                       "secrets:list secrets:read secrets:write directory:admin",
		"bootstrap admin@org":             "secrets:list secrets:read secrets:write directory:admin orgs:admin",
		"auditor@org":                     "secrets:list audit:read",
		"bootstrap auditor@org admin@org": "secrets:list audit:read",
	} {
		if got := strings.Join(holding(t, holds).Permissions(), " "); got != want {
			t.Errorf("%q: %s, want %s", holds, got, want)
		}
	}
}

// A denial is forbidden, says why, and does not tell whether the scope exists.
func TestDecisionErr(t *testing.T) {
	for letter, d := range ruleLetters() {
		err := d.Err()
		if d.Allowed {
			if err != nil {
				t.Errorf("%c: allowed, but %v", letter, err)
			}
			continue
		}
		if domain.CodeOf(err) != domain.CodeForbidden || strings.TrimPrefix(err.Error(), "forbidden: ") == "" {
			t.Errorf("%c: %v", letter, err)
		}
	}
	p := holding(t, "")
	there, nowhere := p.May(domain.ActionRead, scopes()["team"]), p.May(domain.ActionRead, elsewhere()[2])
	if diff := cmp.Diff(there.Err().Error(), nowhere.Err().Error()); diff != "" {
		t.Errorf("a denial tells whether the scope exists:\n%s", diff)
	}
}

// Laws over random directories: what is not of this organization is denied;
// reading lifts, changing never does; nothing flows down to another agent;
// an auditor never gets at a value; compiling is a function of the directory.
func TestPrincipalLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newWorld(t, rapid.Bool().Draw(t, "bootstrap"))
		for range rapid.IntRange(0, 15).Draw(t, "commands") {
			_, _ = l.do(drawMembershipCommand(t)) // a refusal is as good a step
		}
		l.dir.Apply(l.record(domain.DirectoryStream{Org: home}, l.dir.Version+1, domain.ScopeRestored{Scope: scopes()["self"]}))
		p, ok := l.dir.Compile(alice, keyOne)
		if !ok {
			t.Fatal("alice does not authenticate")
		}
		again, _ := l.dir.Compile(alice, keyOne)
		if diff := cmp.Diff(p.Grants(), again.Grants()); diff != "" {
			t.Fatalf("two compilations differ:\n%s", diff)
		}
		for _, scope := range append(elsewhere(), scopes()["other"]) {
			for _, a := range domain.Actions() {
				if p.May(a, scope).Allowed && !p.Auditor {
					t.Fatalf("%s on %s is allowed", a, scope)
				}
			}
		}
		for _, g := range p.Grants() {
			for _, a := range domain.Actions() {
				d := p.May(a, g.Scope)
				reads := slices.Contains([]domain.Action{domain.ActionList, domain.ActionHistory, domain.ActionRead, domain.ActionRelease}, a)
				metadata := a == domain.ActionList || a == domain.ActionHistory
				if d.Allowed && (d.Rule == domain.RuleUpward && !reads || p.Auditor && !metadata) {
					t.Fatalf("%s on %s is allowed by %s", a, g.Scope, d.Rule)
				}
			}
		}
		if p.Auditor && (p.MayAdminister(home).Allowed || p.MayCreateOrgs().Allowed) {
			t.Fatal("an auditor administers")
		}
	})
}

// Each ranked role includes the one before, whatever else is held.
func TestHigherRolesIncludeLower(t *testing.T) {
	ranked := []domain.Role{domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager}
	rapid.Check(t, func(t *rapid.T) {
		l := newWorld(t, false)
		for range rapid.IntRange(0, 8).Draw(t, "commands") {
			if c := drawMembershipCommand(t); !archives(c, scopes()["self"]) {
				_, _ = l.do(c)
			}
		}
		scope := rapid.SampledFrom(memberScopes()).Draw(t, "scope")
		var before domain.Principal
		for i, role := range ranked {
			_, _ = l.do(domain.GrantMembership{Agent: alice, Scope: scope, Role: role})
			after, ok := l.dir.Compile(alice, keyOne)
			if !ok {
				t.Fatal("alice does not authenticate")
			}
			for _, g := range before.Grants() {
				for _, a := range domain.Actions() {
					if i > 0 && before.May(a, g.Scope).Allowed && !after.May(a, g.Scope).Allowed {
						t.Fatalf("%s on %s is lost when the role on %s becomes %s", a, g.Scope, scope, role)
					}
				}
			}
			before = after
		}
	})
}

func archives(c domain.DirectoryCommand, scope domain.Scope) bool {
	a, ok := c.(domain.SetArchived)
	return ok && a.Archived && a.Scope == scope
}

func memberScopes() []domain.Scope {
	at := scopes()
	return []domain.Scope{at["org"], at["team"], at["team2"], at["proj"], at["sib"], at["lone"], at["lone2"]}
}

// drawMembershipCommand grants, revokes, archives and restores.
func drawMembershipCommand(t *rapid.T) domain.DirectoryCommand {
	scope := rapid.SampledFrom(memberScopes()).Draw(t, "scope")
	agent := rapid.SampledFrom([]domain.AgentID{alice, alice, bob}).Draw(t, "agent")
	roles := []domain.Role{domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager}
	if scope.Kind == domain.ScopeOrg {
		roles = append(roles, domain.RoleAuditor, domain.RoleAdmin)
	}
	role := rapid.SampledFrom(roles).Draw(t, "role")
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		return domain.RevokeMembership{Agent: agent, Scope: scope, Role: role}
	case 1:
		archived := append(memberScopes(), scopes()["self"], scopes()["other"])
		return domain.SetArchived{Scope: rapid.SampledFrom(archived).Draw(t, "archive"), Archived: rapid.Bool().Draw(t, "archived")}
	default:
		return domain.GrantMembership{Agent: agent, Scope: scope, Role: role}
	}
}
