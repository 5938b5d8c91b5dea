package domain_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func drawAgent(t *rapid.T) domain.AgentID {
	return rapid.SampledFrom([]domain.AgentID{alice, bob}).Draw(t, "agent")
}

func drawFixtureScope(t *rapid.T) domain.Scope {
	names := slices.Sorted(maps.Keys(scopes()))
	return scopes()[rapid.SampledFrom(names).Draw(t, "scope")]
}

func drawKeyID(t *rapid.T) domain.APIKeyID {
	return rapid.SampledFrom([]domain.APIKeyID{keyOne, keyTwo}).Draw(t, "api key")
}

func drawRole(t *rapid.T) domain.Role {
	return rapid.SampledFrom([]domain.Role{
		domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager, domain.RoleAuditor, domain.RoleAdmin,
	}).Draw(t, "role")
}

// drawDirectoryCommand draws from few enough scopes, agents and keys that
// most of them come again.
func drawDirectoryCommand(t *rapid.T) domain.DirectoryCommand {
	switch rapid.IntRange(0, 11).Draw(t, "command") {
	case 0:
		return domain.RenameScope{Scope: drawFixtureScope(t), Name: drawName(t)}
	case 1:
		return domain.SetArchived{Scope: drawFixtureScope(t), Archived: rapid.Bool().Draw(t, "archived")}
	case 2, 3:
		return domain.GrantMembership{Agent: drawAgent(t), Scope: drawFixtureScope(t), Role: drawRole(t)}
	case 4:
		role := rapid.OneOf(rapid.Just(domain.Role("")), rapid.Custom(drawRole)).Draw(t, "revoked role")
		return domain.RevokeMembership{Agent: drawAgent(t), Scope: drawFixtureScope(t), Role: role}
	case 5, 6:
		return domain.IssueKey{
			ID: drawKeyID(t), Agent: drawAgent(t), LookupID: "lookup12char", Hash: [32]byte{1}, ExpiresAt: genesis().Add(time.Hour), Note: "n",
		}
	case 7:
		return domain.RevokeKey{ID: drawKeyID(t), Agent: drawAgent(t)}
	default:
		c := domain.CreateScope{Scope: drawFixtureScope(t), Name: drawName(t)}
		if c.Scope.Kind == domain.ScopeProject && rapid.Bool().Draw(t, "in a team") {
			c.TeamID = scopes()["team"].ID
		}
		return c
	}
}

// copyDirectory shares nothing with the original.
func copyDirectory(d *domain.Directory) *domain.Directory {
	c := *d
	c.Scopes, c.Keys = maps.Clone(d.Scopes), maps.Clone(d.Keys)
	c.Memberships = map[domain.AgentID]map[domain.MembershipKey]domain.Membership{}
	for agent, held := range d.Memberships {
		c.Memberships[agent] = maps.Clone(held)
	}
	return &c
}

// Invariant 1 for directories. Versions are dense, and reading the rows back
// gives the same directory and the same rights as folding the log does.
func TestDirectoryReplayEqualsLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newOrgLog(rapid.Bool().Draw(t, "bootstrap"))
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			_, _ = l.do(drawDirectoryCommand(t)) // a refusal is as good a step
			if l.dir.Version != uint64(len(l.events)) {
				t.Fatalf("version %d after %d events", l.dir.Version, len(l.events))
			}
		}
		folded := domain.NewDirectory(home)
		for _, r := range l.events {
			event, ok := domain.Compose(r.Event.Type(), r.Stream, domain.Describe(r.Stream, r.Event), domain.BodyOf(r.Event))
			if !ok {
				t.Fatalf("a recorded %s cannot be put together again", r.Event.Type())
			}
			r.Event = event
			folded.Apply(r)
		}
		if diff := cmp.Diff(l.dir, folded); diff != "" {
			t.Fatalf("replay (-live +replayed):\n%s", diff)
		}
		read := domain.NewDirectory(home)
		read.Version, read.Head, read.Root = l.dir.Version, l.dir.Head, l.dir.Root
		for _, s := range l.dir.Scopes {
			read.Put(s)
		}
		for _, held := range l.dir.Memberships {
			for _, m := range held {
				read.Put(m)
			}
		}
		for _, k := range l.dir.Keys {
			read.Put(k)
		}
		if diff := cmp.Diff(l.dir, read, cmpopts.IgnoreMapEntries(func(_ domain.AgentID, held map[domain.MembershipKey]domain.Membership) bool {
			return len(held) == 0 // all revoked
		})); diff != "" {
			t.Fatalf("read back (-live +read):\n%s", diff)
		}
		for _, agent := range []domain.AgentID{alice, bob} {
			live, ok := l.dir.Compile(agent, keyOne)
			again, okAgain := read.Compile(agent, keyOne)
			if diff := cmp.Diff(live, again, cmp.AllowUnexported(domain.Principal{})); diff != "" || ok != okAgain {
				t.Fatalf("rights (-live +read):\n%s", diff)
			}
		}
	})
}

// Invariant 2 for directories: no command that led to an event leads to
// another one on the state that it produced. What is made is made once, so
// its command is a conflict; what is taken away is not there.
func TestIdenticalDirectoryCommandAppendsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newOrgLog(false)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			c := drawDirectoryCommand(t)
			event, err := l.do(c)
			if err != nil || event == nil {
				continue
			}
			var want domain.Code
			switch c.(type) {
			case domain.CreateScope:
				want = domain.CodeConflict
			case domain.IssueKey:
				want = domain.CodeKeyAlreadyIssued
			case domain.RevokeMembership:
				want = domain.CodeNotFound
			case domain.RenameScope, domain.SetArchived, domain.GrantMembership, domain.RevokeKey:
			}
			again, err := domain.DecideDirectory(l.dir, c)
			if again != nil || domain.CodeOf(err) != want && !archivesItsAgent(l.dir, c) {
				t.Fatalf("%T again: event %v, error %v", c, again, err)
			}
		}
	})
}

func archivesItsAgent(d *domain.Directory, c domain.DirectoryCommand) bool {
	issue, ok := c.(domain.IssueKey)
	if !ok {
		return false
	}
	agent, _ := d.Agent(issue.Agent)
	return agent.Archived()
}

func TestDecideDirectoryMutatesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newOrgLog(false)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			c, before := drawDirectoryCommand(t), copyDirectory(l.dir)
			event, err := domain.DecideDirectory(l.dir, c)
			if diff := cmp.Diff(before, l.dir); diff != "" {
				t.Fatalf("%T changed the directory:\n%s", c, diff)
			}
			again, errAgain := domain.DecideDirectory(l.dir, c)
			if diff := cmp.Diff(event, again); diff != "" || domain.CodeOf(err) != domain.CodeOf(errAgain) {
				t.Fatalf("%T decided differently (%v, then %v):\n%s", c, err, errAgain, diff)
			}
			_, _ = l.do(c)
		}
	})
}

// Apply is total: no event in any order stops a fold.
func TestDirectoryApplyIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newOrgLog(false)
		for i := range rapid.IntRange(1, 20).Draw(t, "events") {
			r := l.record(domain.DirectoryStream{Org: home}, uint64(i+1), drawEvent(t, rapid.SampledFrom(eventTypes()).Draw(t, "type")))
			l.dir.Apply(r)
			if l.dir.Version != r.Version || l.dir.Head != r.Position {
				t.Fatalf("version %d, head %d after %d at %d", l.dir.Version, l.dir.Head, r.Version, r.Position)
			}
		}
	})
}

// The rows say when things happened by the folded time, and who did them.
func TestDirectoryRows(t *testing.T) {
	at := scopes()
	l := newOrgLog(true)
	when := map[string]domain.Recorded{}
	step := func(name string, c domain.DirectoryCommand) {
		t.Helper()
		l.must(t, c)
		when[name] = l.events[len(l.events)-1]
	}
	step("org", domain.CreateScope{Scope: at["org"], Name: "Home"})
	step("team", domain.CreateScope{Scope: at["team"], Name: "Red"})
	step("proj", domain.CreateScope{Scope: at["proj"], Name: "Rocket", TeamID: at["team"].ID})
	step("self", domain.CreateScope{Scope: at["self"], Name: "Alice"})
	step("rename", domain.RenameScope{Scope: at["proj"], Name: "Moon"})
	step("archive", domain.SetArchived{Scope: at["proj"], Archived: true})
	step("archive then", domain.SetArchived{Scope: at["team"], Archived: true})
	step("restore", domain.SetArchived{Scope: at["team"]})
	step("read", domain.GrantMembership{Agent: alice, Scope: at["team"], Role: domain.RoleReader})
	step("write", domain.GrantMembership{Agent: alice, Scope: at["team"], Role: domain.RoleWriter})
	step("audit", domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAuditor})
	expires := genesis().Add(time.Hour)
	step("key", domain.IssueKey{ID: keyOne, Agent: alice, LookupID: "l1", Hash: [32]byte{7}, ExpiresAt: expires, Note: "n"})
	step("other key", domain.IssueKey{ID: keyTwo, Agent: alice, LookupID: "l2"})
	step("revoke", domain.RevokeKey{ID: keyTwo, Agent: alice})

	want := domain.NewDirectory(home)
	want.Version, want.Head, want.Root = 14, when["revoke"].Position, true
	want.Put(
		domain.ScopeState{Scope: at["org"], Name: "Home", CreatedAt: when["org"].At},
		domain.ScopeState{Scope: at["team"], Name: "Red", CreatedAt: when["team"].At},
		domain.ScopeState{Scope: at["proj"], Name: "Moon", TeamID: at["team"].ID, CreatedAt: when["proj"].At, ArchivedAt: when["archive"].At},
		domain.ScopeState{Scope: at["self"], Name: "Alice", CreatedAt: when["self"].At},
		domain.Membership{Agent: alice, Scope: at["team"], Role: domain.RoleWriter, GrantedAt: when["write"].At, GrantedBy: when["write"].Actor.ID},
		domain.Membership{Agent: alice, Scope: at["org"], Role: domain.RoleAuditor, GrantedAt: when["audit"].At, GrantedBy: when["audit"].Actor.ID},
		domain.APIKey{
			ID: keyOne, Agent: alice, LookupID: "l1", Hash: [32]byte{7}, Note: "n", CreatedAt: when["key"].At, ExpiresAt: expires,
		},
		domain.APIKey{ID: keyTwo, Agent: alice, LookupID: "l2", CreatedAt: when["other key"].At, RevokedAt: when["revoke"].At},
	)
	if diff := cmp.Diff(want, l.dir); diff != "" {
		t.Errorf("the directory (-want +got):\n%s", diff)
	}
	if when["write"].Actor.ID == when["audit"].Actor.ID {
		t.Error("the fixture has one actor, so who granted what goes untested")
	}
}

// Only the organization of the log's first event is the bootstrap one.
func TestRootIsTheFirstOrganization(t *testing.T) {
	for _, bootstrap := range []bool{true, false} {
		if got := newWorld(t, bootstrap).dir.Root; got != bootstrap {
			t.Errorf("Root is %t", got)
		}
	}
}
