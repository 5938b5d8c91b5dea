package projections

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chancery-dev/chancery/domain"
)

func equateEmpty() cmp.Option { return cmpopts.EquateEmpty() }

// staff is a world with an organization, a team, an agent and its key.
type staff struct {
	*world
	org   domain.OrgID
	team  domain.Scope
	agent domain.AgentID
	key   domain.IssueKey
}

func newStaff() staff {
	w := newWorld(&counter{})
	f := staff{world: w, org: w.newOrg()}
	f.team = domain.Scope{Kind: domain.ScopeTeam, ID: w.id(domain.TeamPrefix)}
	w.command(f.org, domain.CreateScope{Scope: f.team, Name: "a team"})
	f.agent = domain.AgentID(w.id(domain.AgentPrefix))
	w.command(f.org, domain.CreateScope{Scope: f.self(), Name: "an agent"})
	f.key = w.issueKey(f.org, f.agent)
	return f
}

func (f staff) self() domain.Scope { return domain.Scope{Kind: domain.ScopeAgent, ID: string(f.agent)} }

// TestAuthenticate follows a key through its life: every change of rights
// shows with the event that made it.
func TestAuthenticate(t *testing.T) {
	f := newStaff()
	s := openStore(t, f.log, nil)
	start(t, s, f.log)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	do := func(c domain.DirectoryCommand) {
		t.Helper()
		if f.command(f.org, c) == nil {
			t.Fatalf("%T came to nothing", c)
		}
		waitFor(t, s, f.log.head())
	}
	if _, _, ok := s.Authenticate("unknown"); ok {
		t.Error("an unknown lookup id is somebody")
	}
	for range 2 { // compiled, then cached
		key, p, ok := s.Authenticate(f.key.LookupID)
		if !ok || key.ID != f.key.ID || key.Hash != f.key.Hash || p.Key != key.ID || p.Agent != f.agent || p.Org != f.org {
			t.Fatalf("got %v %v %v", key.ID, p.Agent, ok)
		}
		if p.May(domain.ActionWrite, f.team).Allowed {
			t.Error("may write before being a member")
		}
	}
	do(domain.GrantMembership{Agent: f.agent, Scope: f.team, Role: domain.RoleWriter})
	if _, p, _ := s.Authenticate(f.key.LookupID); !p.May(domain.ActionWrite, f.team).Allowed {
		t.Error("the grant does not show")
	}
	do(domain.RevokeMembership{Agent: f.agent, Scope: f.team})
	if _, p, _ := s.Authenticate(f.key.LookupID); p.May(domain.ActionWrite, f.team).Allowed {
		t.Error("the revocation does not show")
	}
	do(domain.RenameScope{Scope: f.self(), Name: "another name"})
	if _, p, _ := s.Authenticate(f.key.LookupID); p.Name != "another name" || s.AgentName(f.org, f.agent) != "another name" {
		t.Errorf("the name is %q", p.Name)
	}
	do(domain.SetArchived{Scope: f.self(), Archived: true})
	if _, p, ok := s.Authenticate(f.key.LookupID); ok || p.Agent != "" {
		t.Error("an archived agent is somebody")
	}
	if _, ok := s.Principal(f.org, f.agent); ok {
		t.Error("an archived agent has rights")
	}
	do(domain.SetArchived{Scope: f.self(), Archived: false})
	if _, _, ok := s.Authenticate(f.key.LookupID); !ok {
		t.Error("a restored agent is nobody")
	}
	do(domain.RevokeKey{ID: f.key.ID, Agent: f.agent})
	if key, _, _ := s.Authenticate(f.key.LookupID); key.RevokedAt.IsZero() {
		t.Error("the key is not revoked")
	}
	if s.AgentName("org_none", f.agent) != "" || s.AgentName(f.org, "agt_none") != "" {
		t.Error("nobody has a name")
	}
}

// A later key with the same lookup id does not push the first one aside.
func TestLookupIDKeepsItsFirstKey(t *testing.T) {
	f := newStaff()
	again := f.key
	again.ID = domain.APIKeyID(f.id(domain.KeyPrefix))
	f.command(f.org, again)
	s := caughtUp(t, f.log)
	if key, _, ok := s.Authenticate(f.key.LookupID); !ok || key.ID != f.key.ID {
		t.Errorf("got %v %v", key.ID, ok)
	}
}

// The cache of compiled rights stays within its bound and is used.
func TestPrincipalCacheIsBounded(t *testing.T) {
	f := newStaff()
	var agents []domain.AgentID
	for i := range 50 {
		agent := domain.AgentID(f.id(domain.AgentPrefix))
		f.command(f.org, domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(agent)}, Name: fmt.Sprint(i)})
		agents = append(agents, agent)
	}
	s := openStore(t, f.log, func(o *Options) { o.CachedGrants = 20 })
	if err := s.CatchUp(context.Background(), f.log); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, agent := range agents {
			if p, ok := s.Principal(f.org, agent); !ok || p.Agent != agent {
				t.Fatalf("%s: %v", agent, ok)
			}
			c := &s.directories.cache
			held := 0
			for _, of := range c.byOrg {
				for _, p := range of {
					held += weight(p)
				}
			}
			if held != c.grants || held > 20 {
				t.Fatalf("%d grants are counted as %d", held, c.grants)
			}
			if _, ok := c.get(f.org, agent); !ok {
				t.Fatalf("%s is not kept", agent)
			}
		}
	}
}

// TestDirectoryLists compares the paged lists with the directory itself.
func TestDirectoryLists(t *testing.T) {
	w := newWorld(&counter{})
	for range 1500 {
		w.step()
	}
	s := caughtUp(t, w.log)
	slices.Sort(w.orgs)
	for limit := 1; limit < 4; limit++ {
		var got []domain.OrgID
		for more, after := true, domain.OrgID(""); more; {
			var orgs []domain.ScopeState
			var err error
			if orgs, more, err = s.Organizations(after, limit); err != nil || len(orgs) > limit {
				t.Fatal(err)
			}
			for _, org := range orgs {
				after = domain.OrgID(org.Scope.ID)
				got = append(got, after)
				if diff := cmp.Diff(w.dirs[after].Scopes[org.Scope], org); diff != "" {
					t.Error(diff)
				}
			}
		}
		if diff := cmp.Diff(w.orgs, got); diff != "" {
			t.Error(diff)
		}
		for org, d := range w.dirs {
			listScopes(t, s, d, limit)
			for scope := range d.Scopes {
				if scope.Kind == domain.ScopeAgent {
					listOfAgent(t, s, d, org, domain.AgentID(scope.ID), limit)
				}
			}
		}
	}
}

func listScopes(t *testing.T, s *Store, d *domain.Directory, limit int) {
	t.Helper()
	for _, kind := range []domain.ScopeKind{domain.ScopeTeam, domain.ScopeProject, domain.ScopeAgent} {
		var want, got []domain.ScopeState
		for scope, state := range d.Scopes {
			if scope.Kind == kind {
				want = append(want, state)
			}
		}
		slices.SortFunc(want, func(a, b domain.ScopeState) int { return compareStrings(a.Scope.ID, b.Scope.ID) })
		for more, after := true, ""; more; {
			var rows []domain.ScopeState
			var err error
			if rows, more, err = s.Scopes(d.Org, kind, after, limit); err != nil || len(rows) > limit {
				t.Fatal(err)
			}
			if got = append(got, rows...); len(rows) > 0 {
				after = rows[len(rows)-1].Scope.ID
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func listOfAgent(t *testing.T, s *Store, d *domain.Directory, org domain.OrgID, agent domain.AgentID, limit int) {
	t.Helper()
	var want, got []domain.Membership
	for _, m := range d.Memberships[agent] {
		want = append(want, m)
	}
	slices.SortFunc(want, func(a, b domain.Membership) int {
		return compareStrings(membershipCursor(a.Key()), membershipCursor(b.Key()))
	})
	for after, again := "", true; again; again = after != "" {
		rows, next, err := s.Memberships(org, agent, after, limit)
		if err != nil || len(rows) > limit {
			t.Fatal(err)
		}
		got, after = append(got, rows...), next
	}
	if diff := cmp.Diff(want, got, equateEmpty()); diff != "" {
		t.Error(diff)
	}
	var wantKeys, gotKeys []domain.APIKey
	for _, k := range sortedKeys(d) {
		if k.Agent == agent {
			wantKeys = append(wantKeys, k)
		}
	}
	for more, after := true, domain.APIKeyID(""); more; {
		var rows []domain.APIKey
		var err error
		if rows, more, err = s.Keys(org, agent, after, limit); err != nil || len(rows) > limit {
			t.Fatal(err)
		}
		if gotKeys = append(gotKeys, rows...); len(rows) > 0 {
			after = rows[len(rows)-1].ID
		}
	}
	if diff := cmp.Diff(wantKeys, gotKeys, equateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// An organization that nobody made is an empty directory.
func TestUnknownDirectory(t *testing.T) {
	f := newStaff()
	s := caughtUp(t, f.log)
	if err := s.Directory("org_none", func(d *domain.Directory) error {
		if d.Exists() || d.Org != "org_none" || d.Scopes == nil {
			t.Errorf("got %v", d)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
