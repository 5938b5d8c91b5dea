package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// What a command on a directory is refused for; "" means an event, "same"
// none. alice writes the red team, audits and has keyOne; bob is archived and
// has keyTwo, revoked.
func TestDecideDirectory(t *testing.T) {
	at := scopes()
	unknown := domain.Scope{Kind: domain.ScopeTeam, ID: "team_unknown"}
	nobody := domain.AgentID("agt_01J0000000000000000000000Z")
	fresh := domain.APIKeyID("key_01J0000000000000000000000N")
	l := newWorld(t, false)
	l.must(
		t,
		domain.GrantMembership{Agent: alice, Scope: at["team"], Role: domain.RoleWriter},
		domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAuditor},
		domain.IssueKey{ID: keyOne, Agent: alice, LookupID: "l1"},
		domain.IssueKey{ID: keyTwo, Agent: bob, LookupID: "l2"},
		domain.RevokeKey{ID: keyTwo, Agent: bob},
		domain.SetArchived{Scope: at["other"], Archived: true},
	)
	for i, tc := range []struct {
		command domain.DirectoryCommand
		want    domain.Code
	}{
		{domain.CreateScope{Scope: at["org"], Name: "Home"}, domain.CodeConflict},
		{domain.CreateScope{Scope: at["team"], Name: "Red"}, domain.CodeConflict},
		{domain.CreateScope{Scope: at["other"], Name: "Bob again"}, domain.CodeConflict},
		{domain.CreateScope{Scope: unknown, Name: "Red"}, ""},
		{domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeProject, ID: "p"}, Name: "P", TeamID: at["team"].ID}, ""},
		{domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeProject, ID: "p"}, Name: "P", TeamID: unknown.ID}, domain.CodeNotFound},
		{domain.CreateScope{Scope: domain.Scope{Kind: domain.ScopeProject, ID: "p"}, Name: "P", TeamID: at["proj"].ID}, domain.CodeNotFound},
		{domain.CreateScope{Scope: unknown, Name: "T", TeamID: at["team"].ID}, domain.CodeInvalidRequest},

		{domain.RenameScope{Scope: at["team"], Name: "Crimson"}, ""},
		{domain.RenameScope{Scope: at["team"], Name: "Red"}, "same"},
		{domain.RenameScope{Scope: unknown, Name: "Red"}, domain.CodeNotFound},
		{domain.RenameScope{Scope: at["other"], Name: "Robert"}, ""},

		{domain.SetArchived{Scope: at["team"], Archived: true}, ""},
		{domain.SetArchived{Scope: at["team"]}, "same"},
		{domain.SetArchived{Scope: at["other"], Archived: true}, "same"},
		{domain.SetArchived{Scope: at["other"]}, ""},
		{domain.SetArchived{Scope: unknown}, domain.CodeNotFound},

		{domain.GrantMembership{Agent: alice, Scope: at["team"], Role: domain.RoleWriter}, "same"},
		{domain.GrantMembership{Agent: alice, Scope: at["team"], Role: domain.RoleReader}, ""},
		{domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAuditor}, "same"},
		{domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAdmin}, ""},
		{domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleViewer}, ""},
		{domain.GrantMembership{Agent: alice, Scope: unknown, Role: domain.RoleViewer}, domain.CodeNotFound},
		{domain.GrantMembership{Agent: nobody, Scope: at["team"], Role: domain.RoleViewer}, domain.CodeNotFound},

		{domain.RevokeMembership{Agent: alice, Scope: at["team"], Role: domain.RoleWriter}, ""},
		{domain.RevokeMembership{Agent: alice, Scope: at["team"]}, ""},
		{domain.RevokeMembership{Agent: alice, Scope: at["team"], Role: domain.RoleReader}, domain.CodeNotFound},
		{domain.RevokeMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAuditor}, ""},
		{domain.RevokeMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAdmin}, domain.CodeNotFound},
		{domain.RevokeMembership{Agent: alice, Scope: at["org"]}, domain.CodeNotFound},
		{domain.RevokeMembership{Agent: bob, Scope: at["team"]}, domain.CodeNotFound},
		{domain.RevokeMembership{Agent: nobody, Scope: at["team"]}, domain.CodeNotFound},

		{domain.IssueKey{ID: fresh, Agent: alice}, ""},
		{domain.IssueKey{ID: keyOne, Agent: alice}, domain.CodeKeyAlreadyIssued},
		{domain.IssueKey{ID: keyTwo, Agent: alice}, domain.CodeKeyAlreadyIssued},
		{domain.IssueKey{ID: fresh, Agent: bob}, domain.CodeForbidden},
		{domain.IssueKey{ID: fresh, Agent: nobody}, domain.CodeNotFound},

		{domain.RevokeKey{ID: keyOne, Agent: alice}, ""},
		{domain.RevokeKey{ID: keyTwo, Agent: bob}, "same"},
		{domain.RevokeKey{ID: keyOne, Agent: bob}, domain.CodeNotFound},
		{domain.RevokeKey{ID: fresh, Agent: alice}, domain.CodeNotFound},
	} {
		t.Run(fmt.Sprintf("%d/%T", i, tc.command), func(t *testing.T) {
			event, err := domain.DecideDirectory(l.dir, tc.command)
			got := domain.CodeOf(err)
			if err == nil && event == nil {
				got = "same"
			}
			if got != tc.want || err != nil && event != nil {
				t.Errorf("%q (event %v, error %v), want %q", got, event, err, tc.want)
			}
		})
	}
}

// An organization that does not exist, as a zero value too, takes no command
// but its creation.
func TestDecideDirectoryBeforeTheOrganization(t *testing.T) {
	at := scopes()
	for _, d := range []*domain.Directory{domain.NewDirectory(home), {Org: home}} {
		for _, c := range []domain.DirectoryCommand{
			domain.CreateScope{Scope: at["team"], Name: "T"},
			domain.CreateScope{Scope: at["self"], Name: "A"},
			domain.RenameScope{Scope: at["org"], Name: "N"},
			domain.SetArchived{Scope: at["org"], Archived: true},
			domain.GrantMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAdmin},
			domain.RevokeMembership{Agent: alice, Scope: at["org"]},
			domain.IssueKey{ID: keyOne, Agent: alice},
			domain.RevokeKey{ID: keyOne, Agent: alice},
		} {
			if event, err := domain.DecideDirectory(d, c); event != nil || domain.CodeOf(err) != domain.CodeNotFound {
				t.Errorf("%T: event %v, error %v", c, event, err)
			}
		}
		event, err := domain.DecideDirectory(d, domain.CreateScope{Scope: at["org"], Name: "Home"})
		if diff := cmp.Diff(domain.Event(domain.ScopeCreated{Scope: at["org"], Name: "Home"}), event); diff != "" || err != nil {
			t.Errorf("the creation (%v) (-want +got):\n%s", err, diff)
		}
	}
}

// SameContent of directory events sees each member of a request, and none of
// the ids and secrets that the server makes.
func TestSameContentOfDirectories(t *testing.T) {
	at := scopes()
	later := genesis().Add(time.Hour)
	issue := domain.APIKeyIssued{ID: keyOne, Agent: alice, LookupID: "l1", Hash: [32]byte{1}, ExpiresAt: later, Note: "n"}
	from := domain.Change[string]{From: new("old"), To: "new"}
	different := []domain.Event{
		domain.ScopeCreated{Scope: at["team"], Name: "N"},
		domain.ScopeCreated{Scope: at["team"], Name: "M"},
		domain.ScopeCreated{Scope: at["self"], Name: "N"},
		domain.ScopeCreated{Scope: at["proj"], Name: "N"},
		domain.ScopeCreated{Scope: at["proj"], Name: "N", TeamID: at["team"].ID},
		domain.ScopeCreated{Scope: at["proj"], Name: "N", TeamID: at["team2"].ID},
		domain.ScopeRenamed{Scope: at["team"], Name: from},
		domain.ScopeRenamed{Scope: at["team2"], Name: from},
		domain.ScopeRenamed{Scope: at["team"], Name: domain.Change[string]{From: from.From, To: "newer"}},
		domain.ScopeArchived{Scope: at["team"]},
		domain.ScopeArchived{Scope: at["team2"]},
		domain.ScopeRestored{Scope: at["team"]},
		domain.MembershipGranted{Agent: alice, Scope: at["team"], Role: domain.RoleViewer},
		domain.MembershipGranted{Agent: bob, Scope: at["team"], Role: domain.RoleViewer},
		domain.MembershipGranted{Agent: alice, Scope: at["proj"], Role: domain.RoleViewer},
		domain.MembershipGranted{Agent: alice, Scope: at["team"], Role: domain.RoleReader},
		domain.MembershipRevoked{Agent: alice, Scope: at["team"], Role: domain.RoleViewer},
		domain.MembershipRevoked{Agent: bob, Scope: at["team"], Role: domain.RoleViewer},
		issue,
		domain.APIKeyIssued{ID: keyOne, Agent: bob, LookupID: "l1", Hash: [32]byte{1}, ExpiresAt: later, Note: "n"},
		domain.APIKeyIssued{ID: keyOne, Agent: alice, LookupID: "l1", Hash: [32]byte{1}, Note: "n"},
		domain.APIKeyIssued{ID: keyOne, Agent: alice, LookupID: "l1", Hash: [32]byte{1}, ExpiresAt: later, Note: "m"},
		domain.APIKeyRevoked{ID: keyOne, Agent: alice},
		domain.APIKeyRevoked{ID: keyTwo, Agent: alice},
	}
	for i, a := range different {
		for j, b := range different {
			if got := domain.SameContent(a, b); got != (i == j) {
				t.Errorf("%#v and %#v: %t", a, b, got)
			}
		}
	}
	for _, pair := range [][2]domain.Event{
		{domain.ScopeCreated{Scope: at["team"], Name: "N"}, domain.ScopeCreated{Scope: at["team2"], Name: "N"}},
		{issue, domain.APIKeyIssued{ID: keyTwo, Agent: alice, LookupID: "l2", Hash: [32]byte{2}, ExpiresAt: later.In(time.FixedZone("", 3600)), Note: "n"}},
	} {
		if !domain.SameContent(pair[0], pair[1]) || !domain.SameContent(pair[1], pair[0]) {
			t.Errorf("what the server made counts: %#v and %#v", pair[0], pair[1])
		}
	}
}
