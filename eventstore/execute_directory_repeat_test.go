package eventstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// repeatable are directory requests by the number of the attempt: ids and key
// material that the server chooses for each attempt differ. Each finds what
// those before it made.
var repeatable = []struct {
	name    string
	command func(try int) domain.DirectoryCommand
	other   domain.DirectoryCommand // another request of the same operation, nil for none
}{
	{
		"team", func(try int) domain.DirectoryCommand {
			return domain.CreateScope{Scope: scopeID(domain.ScopeTeam, try), Name: "T"}
		},
		domain.CreateScope{Scope: scopeID(domain.ScopeTeam, 99), Name: "Other"},
	},
	{
		"project", func(try int) domain.DirectoryCommand {
			return domain.CreateScope{Scope: scopeID(domain.ScopeProject, try), Name: "P", TeamID: teamScope.ID}
		},
		domain.CreateScope{Scope: scopeID(domain.ScopeProject, 99), Name: "P"},
	},
	{
		"agent", func(try int) domain.DirectoryCommand {
			return domain.CreateScope{Scope: scopeID(domain.ScopeAgent, try), Name: "A"}
		},
		domain.CreateScope{Scope: scopeID(domain.ScopeAgent, 99), Name: "B"},
	},
	{
		"rename", func(int) domain.DirectoryCommand { return domain.RenameScope{Scope: teamScope, Name: "Renamed"} },
		domain.RenameScope{Scope: teamScope, Name: "Other"},
	},
	{
		"archive", func(int) domain.DirectoryCommand { return domain.SetArchived{Scope: homeScope, Archived: true} },
		domain.RenameScope{Scope: homeScope, Name: "Other"},
	},
	{
		"restore", func(int) domain.DirectoryCommand { return domain.SetArchived{Scope: homeScope} },
		domain.SetArchived{Scope: homeScope, Archived: true},
	},
	{
		"grant", func(int) domain.DirectoryCommand {
			return domain.GrantMembership{Agent: alice, Scope: teamScope, Role: domain.RoleReader}
		},
		domain.GrantMembership{Agent: alice, Scope: teamScope, Role: domain.RoleWriter},
	},
	{
		"revoke", func(int) domain.DirectoryCommand { return domain.RevokeMembership{Agent: alice, Scope: teamScope} },
		domain.RevokeMembership{Agent: alice, Scope: teamScope, Role: domain.RoleManager},
	},
	{
		"issue", func(try int) domain.DirectoryCommand { return issue(try) },
		domain.IssueKey{ID: issue(99).ID, Agent: alice, LookupID: "lookup000099", Note: "another note"},
	},
	{"revoke key", func(int) domain.DirectoryCommand { return domain.RevokeKey{ID: issue(1).ID, Agent: alice} }, nil},
}

// TestDirectoryRepeat: an equal request under the same key gets the first
// one's event, with the ids of then, and appends nothing, also when all that
// it did has been undone; another is refused. A key is never shown again.
func TestDirectoryRepeat(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	c := founded(n)
	var first []domain.DirectoryResult
	for _, tt := range repeatable {
		first = append(first, c.with(tt.name).direct(home, tt.command(1)))
		w.wait(time.Second)
	}
	repeat := func(n *node) {
		t.Helper()
		for i, tt := range repeatable {
			c := n.as(alice).with(tt.name)
			if tt.other != nil {
				c.refusedDirectory(home, tt.other, domain.CodeIdempotencyKeyReused)
			}
			if tt.name == "issue" {
				c.refusedDirectory(home, tt.command(2), domain.CodeKeyAlreadyIssued)
				if _, err := c.tryDirectory(home, tt.command(2)); err == nil || !strings.Contains(err.Error(), string(issue(1).ID)) {
					t.Errorf("%v does not name the key", err)
				}
				continue
			}
			w.unchanged(func() {
				want := first[i]
				want.Replayed = true
				same(t, tt.name, want, c.direct(home, tt.command(2)))
			})
		}
	}
	repeat(n)
	c.direct(home, domain.RenameScope{Scope: teamScope, Name: "Third"})
	c.direct(home, domain.GrantMembership{Agent: alice, Scope: teamScope, Role: domain.RoleManager})
	c.direct(home, domain.SetArchived{Scope: aliceScope, Archived: true})
	repeat(n)
	repeat(w.node())

	// Another agent's key is another key, and so is none.
	if res := n.as(bob).with("team").direct(home, repeatable[0].command(3)); res.Replayed {
		t.Errorf("%+v", res)
	}
	if res := c.direct(home, repeatable[0].command(4)); res.Replayed {
		t.Errorf("%+v", res)
	}
	w.wait(24 * time.Hour)
	if res := c.with("team").direct(home, repeatable[0].command(5)); res.Replayed {
		t.Errorf("after 24 hours: %+v", res)
	}
}

// TestOrgRepeat: the id of a new organization is derived from the request's
// key, so a repeat names the same one. It is created once, however often and
// wherever it is asked for at once.
func TestOrgRepeat(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		const times = 6
		nodes := []*node{w.node(), w.node()}
		results, errs := make([]domain.DirectoryResult, times), make([]error, times)
		var wg sync.WaitGroup
		for i := range times {
			wg.Go(func() { results[i], errs[i] = nodes[i%2].as(alice).with("k").tryDirectory(home, createOrg) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		fresh := 0
		for _, res := range results {
			if !res.Replayed {
				fresh++
			}
			res.Replayed = false
			same(t, "answer", domain.DirectoryResult{Event: domain.ScopeCreated{Scope: homeScope, Name: "Home"}, Position: 1}, res)
		}
		if fresh != 1 || len(w.events()) != 1 {
			t.Errorf("%d answers of the first, %d events", fresh, len(w.events()))
		}
		c := nodes[0].as(alice)
		c.with("k").refusedDirectory(home, domain.CreateScope{Scope: homeScope, Name: "Other"}, domain.CodeIdempotencyKeyReused)
		c.with("k2").refusedDirectory(home, createOrg, domain.CodeConflict)
		c.refusedDirectory(home, createOrg, domain.CodeConflict)
	})
}

// TestSameDirectoryBetween: the same request comes between any two steps of
// another with the same key. One event is stored, and both get it.
func TestSameDirectoryBetween(t *testing.T) {
	for _, p := range []place{loaded, lookedUp, appending} {
		t.Run(string(p), func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			founded(n)
			other := domain.OrgID(scopeID(domain.ScopeOrg, 7).ID)
			cases := append([]struct {
				name    string
				command func(try int) domain.DirectoryCommand
				other   domain.DirectoryCommand
			}{{"org", func(int) domain.DirectoryCommand {
				return domain.CreateScope{Scope: scopeID(domain.ScopeOrg, 7), Name: "O"}
			}, nil}}, repeatable...)
			for i, tt := range cases {
				org := home
				if tt.name == "org" {
					org = other
				}
				c := n.as(alice).with(fmt.Sprint("k", i))
				before := len(w.events())
				var first domain.DirectoryResult
				n.seams.once(p, func() { first = c.direct(org, tt.command(1)) })
				second, err := c.tryDirectory(org, tt.command(2))
				n.seams.at(p, nil)
				if stored := len(w.events()) - before; stored != 1 || first.Position != uint64(before+1) {
					t.Errorf("%s: %d events, %+v", tt.name, stored, first)
				}
				if tt.name == "issue" {
					wantCode(t, err, domain.CodeKeyAlreadyIssued)
					continue
				}
				first.Replayed = true
				same(t, tt.name, first, second)
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
			}
		})
	}
}
