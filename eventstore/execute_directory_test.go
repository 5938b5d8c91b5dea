package eventstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

var (
	homeScope  = domain.Scope{Kind: domain.ScopeOrg, ID: string(home)}
	teamScope  = domain.Scope{Kind: domain.ScopeTeam, ID: "team_01JD3Z8Q7G00000000000000D1"}
	aliceScope = domain.Scope{Kind: domain.ScopeAgent, ID: string(alice)}
	createOrg  = domain.CreateScope{Scope: homeScope, Name: "Home"}
)

// scopeID gives ids that the caller of a create makes anew each time.
func scopeID(kind domain.ScopeKind, n int) domain.Scope {
	return domain.Scope{Kind: kind, ID: fmt.Sprintf("%s01JD3Z8Q7G%016d", kind.Prefix(), n)}
}

func issue(n int) domain.IssueKey {
	return domain.IssueKey{
		ID: domain.APIKeyID(fmt.Sprintf("key_01JD3Z8Q7G%016d", n)), Agent: alice, LookupID: fmt.Sprintf("lookup%06d", n), Hash: [32]byte{byte(n)}, Note: "ci",
	}
}

// founded gives a caller in an organization with a team and the agent.
func founded(n *node) caller {
	c := n.as(alice)
	c.direct(home, createOrg)
	c.direct(home, domain.CreateScope{Scope: teamScope, Name: "Team"})
	c.direct(home, domain.CreateScope{Scope: aliceScope, Name: "Alice"})
	return c
}

// TestDirectoryLife: every command answers with the event as it is recorded
// and its position, this node shows it at once, and what is already so appends
// nothing.
func TestDirectoryLife(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		n := w.node()
		c := n.as(alice)
		grant := domain.GrantMembership{Agent: alice, Scope: teamScope, Role: domain.RoleReader}
		key := issue(1)
		for i, tt := range []struct {
			command domain.DirectoryCommand
			event   domain.Event
			again   domain.Code // "" where the same again is already so
		}{
			{createOrg, domain.ScopeCreated{Scope: homeScope, Name: "Home"}, domain.CodeConflict},
			{domain.CreateScope{Scope: teamScope, Name: "Team"}, domain.ScopeCreated{Scope: teamScope, Name: "Team"}, domain.CodeConflict},
			{domain.CreateScope{Scope: aliceScope, Name: "Alice"}, domain.ScopeCreated{Scope: aliceScope, Name: "Alice"}, domain.CodeConflict},
			{
				domain.CreateScope{Scope: scopeID(domain.ScopeProject, 1), Name: "P", TeamID: teamScope.ID},
				domain.ScopeCreated{Scope: scopeID(domain.ScopeProject, 1), Name: "P", TeamID: teamScope.ID},
				domain.CodeConflict,
			},
			{
				domain.RenameScope{Scope: teamScope, Name: "Other"},
				domain.ScopeRenamed{Scope: teamScope, Name: domain.Change[string]{From: ptr("Team"), To: "Other"}},
				"",
			},
			{domain.SetArchived{Scope: teamScope, Archived: true}, domain.ScopeArchived{Scope: teamScope}, ""},
			{domain.SetArchived{Scope: teamScope}, domain.ScopeRestored{Scope: teamScope}, ""},
			{grant, domain.MembershipGranted(grant), ""},
			{
				domain.RevokeMembership{Agent: alice, Scope: teamScope},
				domain.MembershipRevoked{Agent: alice, Scope: teamScope, Role: domain.RoleReader},
				domain.CodeNotFound,
			},
			{key, domain.APIKeyIssued(key), domain.CodeKeyAlreadyIssued},
			{domain.RevokeKey{ID: key.ID, Agent: alice}, domain.APIKeyRevoked{ID: key.ID, Agent: alice}, ""},
		} {
			res := c.direct(home, tt.command)
			stored := w.events()
			same(t, fmt.Sprintf("%T", tt.command), domain.DirectoryResult{Event: tt.event, Position: uint64(len(stored))}, res)
			r := stored[len(stored)-1]
			same(t, "recorded", tt.event, r.Event)
			same(t, "the actor", domain.Actor{Kind: domain.ActorAgent, ID: string(alice), KeyID: aliceKey}, r.Actor)
			same(t, "the origin", c.origin(), r.Origin)
			if n.state.Position() != res.Position || r.Version != uint64(i+1) {
				t.Errorf("%T: version %d at %d, shown up to %d", tt.command, r.Version, res.Position, n.state.Position())
			}
			if tt.again != "" {
				c.refusedDirectory(home, tt.command, tt.again)
				continue
			}
			unrelated := c.do(secretRef(domain.SecretID(fmt.Sprint("s", i))), create())
			w.unchanged(func() {
				same(t, "the same again", domain.DirectoryResult{Position: unrelated.Position}, c.direct(home, tt.command))
			})
		}
	})
}

// TestDirectoryRefusals: what DecideDirectory refuses passes through.
func TestDirectoryRefusals(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	n.as(alice).refusedDirectory(home, domain.CreateScope{Scope: teamScope, Name: "Team"}, domain.CodeNotFound)
	c := founded(n)
	c.direct(home, domain.SetArchived{Scope: aliceScope, Archived: true})
	for _, tt := range []struct {
		command domain.DirectoryCommand
		code    domain.Code
	}{
		{domain.CreateScope{Scope: scopeID(domain.ScopeProject, 1), Name: "P", TeamID: scopeID(domain.ScopeTeam, 9).ID}, domain.CodeNotFound},
		{domain.CreateScope{Scope: scopeID(domain.ScopeTeam, 9), Name: "P", TeamID: teamScope.ID}, domain.CodeInvalidRequest},
		{domain.RenameScope{Scope: scopeID(domain.ScopeTeam, 9), Name: "n"}, domain.CodeNotFound},
		{domain.SetArchived{Scope: scopeID(domain.ScopeTeam, 9), Archived: true}, domain.CodeNotFound},
		{domain.GrantMembership{Agent: bob, Scope: teamScope, Role: domain.RoleReader}, domain.CodeNotFound},
		{domain.RevokeMembership{Agent: alice, Scope: teamScope}, domain.CodeNotFound},
		{issue(1), domain.CodeForbidden},
		{domain.RevokeKey{ID: aliceKey, Agent: alice}, domain.CodeNotFound},
	} {
		c.refusedDirectory(home, tt.command, tt.code)
	}
}

// TestConcurrentAdmins: many changes of one directory at once, on two nodes,
// all succeed; of those that ask for the same one appends.
func TestConcurrentAdmins(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		const each = 8
		nodes := []*node{w.node(), w.node()}
		founded(nodes[0])
		nodes[1].caughtUp()
		var wg sync.WaitGroup
		errs, events := make([]error, 2*each), make([]domain.Event, 2*each)
		for i := range each {
			wg.Go(func() {
				res, err := nodes[i%2].as(alice).tryDirectory(home, domain.CreateScope{Scope: scopeID(domain.ScopeAgent, i), Name: "n"})
				errs[2*i], events[2*i] = err, res.Event
			})
			wg.Go(func() {
				res, err := nodes[i%2].as(bob).tryDirectory(home, domain.GrantMembership{Agent: alice, Scope: teamScope, Role: domain.RoleReader})
				errs[2*i+1], events[2*i+1] = err, res.Event
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		granted := 0
		for _, e := range events {
			if e != nil && e.Type() == domain.TypeMembershipGranted {
				granted++
			}
		}
		stored := w.stream(domain.DirectoryStream{Org: home})
		if granted != 1 || len(stored) != 3+each+1 {
			t.Errorf("%d were told of a grant, %d events", granted, len(stored))
		}
		for i, r := range stored {
			same(t, "version", uint64(i+1), r.Version)
		}
	})
}

// TestDirectoryOutcomes: success means stored, a failure not, and what can't
// be known names its event; a repeat with the key then finds out.
func TestDirectoryOutcomes(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  func(int) (bool, error)
		code   domain.Code
		stored bool
	}{
		"stored, lost":            {attempt(true, errLost), "", true},
		"not stored, lost":        {attempt(false, errLost), "", true},
		"unavailable":             {attempt(false, eventstore.ErrUnavailable), domain.CodeUnavailable, false},
		"stored, not settled":     {attempt(true, eventstore.ErrUncertain), domain.CodeOutcomeUnknown, true},
		"not stored, not settled": {attempt(false, eventstore.ErrUncertain), domain.CodeOutcomeUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			c := founded(n).with("k")
			command := domain.GrantMembership{Agent: alice, Scope: teamScope, Role: domain.RoleWriter}
			w.faults(on(domain.TypeMembershipGranted, tt.fault))
			res, err := c.tryDirectory(home, command)
			w.faults(nil)
			events := w.events()[3:]
			if domain.CodeOf(err) != tt.code || (len(events) == 1) != tt.stored || err == nil && res.Position != 4 {
				t.Fatalf("%+v, %v, %d stored", res, err, len(events))
			}
			var refusal *domain.Error
			if errors.As(err, &refusal) && tt.stored && refusal.EventID != events[0].ID.String() {
				t.Errorf("%v does not name the event", err)
			}
			n.caughtUp()
			if again := c.direct(home, command); again.Position != 4 || again.Replayed != tt.stored || len(w.events()) != 4 {
				t.Errorf("asked again: %+v", again)
			}
		})
	}
}

// TestAsSystem: a change by the system itself names its part as the actor, and
// no API key.
func TestAsSystem(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	founded(n)
	w.wait(time.Second)
	command := domain.GrantMembership{Agent: alice, Scope: homeScope, Role: domain.RoleAdmin}
	res, err := n.ChangeDirectoryAsSystem(t.Context(), home, command, "recover-admin")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the answer", domain.DirectoryResult{Event: domain.MembershipGranted(command), Position: 4}, res)
	r := w.events()[3]
	same(t, "the actor", domain.Actor{Kind: domain.ActorSystem, ID: "recover-admin"}, r.Actor)
	same(t, "the origin", domain.Origin{}, r.Origin)
	if p, ok := n.state.Principal(home, alice); !ok || !p.Admin || !p.Root {
		t.Errorf("rights %+v", p)
	}
	w.unchanged(func() {
		res, err := n.ChangeDirectoryAsSystem(t.Context(), home, command, "recover-admin")
		if err != nil || res.Event != nil || res.Position != 4 {
			t.Errorf("again: %+v, %v", res, err)
		}
		_, err = n.ChangeDirectoryAsSystem(t.Context(), home, domain.RenameScope{Scope: scopeID(domain.ScopeTeam, 9)}, "recover-admin")
		wantCode(t, err, domain.CodeNotFound)
	})
}
