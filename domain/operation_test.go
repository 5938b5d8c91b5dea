package domain_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// A command and the event that it leads to give the same operation.
func TestSecretOperationIsTheEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newSecretLog()
		for range rapid.IntRange(1, 20).Draw(t, "commands") {
			c := drawSecretCommand(t, l.state.Version)
			event, err := l.do(c)
			if err != nil || event == nil {
				continue
			}
			asked, was := domain.SecretOperation(secretRef(), c), domain.EventOperation(domain.SecretStream{Ref: secretRef()}, event)
			if asked != was || asked == "" {
				t.Fatalf("%T asked for %q, its %s came from %q", c, asked, event.Type(), was)
			}
		}
	})
}

func TestDirectoryOperationIsTheEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newOrgLog(false)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			c := drawDirectoryCommand(t)
			event, err := l.do(c)
			if err != nil || event == nil {
				continue
			}
			asked, was := domain.DirectoryOperation(home, c), domain.EventOperation(domain.DirectoryStream{Org: home}, event)
			if asked != was || asked == "" {
				t.Fatalf("%T asked for %q, its %s came from %q", c, asked, event.Type(), was)
			}
		}
	})
}

// Two requests share an operation exactly if they share method and path.
func TestOperationsTellPathsApart(t *testing.T) {
	at := scopes()
	moved, renamed, foreign := secretRef(), secretRef(), secretRef()
	moved.Scope, renamed.ID, foreign.Org = at["team"], "another", abroad
	var operations []string
	for _, ref := range []domain.SecretRef{secretRef(), moved, renamed, foreign} {
		for _, c := range []domain.SecretCommand{
			domain.CreateSecret{},
			set("a", nil), set("b", nil),
			domain.RemoveField{Key: "a"},
			domain.RemoveField{Key: "b"},
			domain.UpdateMetadata{},
			domain.DeleteSecret{},
		} {
			operations = append(operations, domain.SecretOperation(ref, c))
		}
	}
	for _, org := range []domain.OrgID{home, abroad} {
		for _, c := range []domain.DirectoryCommand{
			domain.CreateScope{Scope: at["team"]},
			domain.CreateScope{Scope: at["proj"]},
			domain.CreateScope{Scope: at["self"]},
			domain.RenameScope{Scope: at["team"]},
			domain.RenameScope{Scope: at["proj"]},
			domain.RenameScope{Scope: at["self"]},
			domain.RenameScope{Scope: at["org"]},
			domain.GrantMembership{Agent: alice, Scope: at["team"]},
			domain.GrantMembership{Agent: bob, Scope: at["team"]},
			domain.GrantMembership{Agent: alice, Scope: at["org"]},
			domain.RevokeMembership{Agent: alice, Scope: at["team"]},
			domain.RevokeMembership{Agent: bob, Scope: at["team"]},
			domain.IssueKey{Agent: alice},
			domain.IssueKey{Agent: bob},
			domain.RevokeKey{Agent: alice, ID: keyOne},
			domain.RevokeKey{Agent: alice, ID: keyTwo},
			domain.RevokeKey{Agent: bob, ID: keyOne},
		} {
			operations = append(operations, domain.DirectoryOperation(org, c))
		}
	}
	seen := map[string]bool{}
	for _, o := range operations {
		if seen[o] || o == "" {
			t.Errorf("%q stands for two paths, or none", o)
		}
		seen[o] = true
	}
	same := [][2]domain.DirectoryCommand{
		{domain.RenameScope{Scope: at["team"], Name: "x"}, domain.SetArchived{Scope: at["team"], Archived: true}},
		{domain.SetArchived{Scope: at["team"]}, domain.SetArchived{Scope: at["team"], Archived: true}},
		{domain.CreateScope{Scope: at["team"]}, domain.CreateScope{Scope: at["team2"]}},
		{domain.RevokeMembership{Agent: alice, Scope: at["org"]}, domain.RevokeMembership{Agent: alice, Scope: at["org"], Role: domain.RoleAdmin}},
		{domain.IssueKey{ID: keyOne, Agent: alice}, domain.IssueKey{ID: keyTwo, Agent: alice}},
	}
	for _, pair := range same {
		if a, b := domain.DirectoryOperation(home, pair[0]), domain.DirectoryOperation(home, pair[1]); a != b {
			t.Errorf("one path has two operations: %q, %q", a, b)
		}
	}
	newOrg := domain.CreateScope{Scope: at["org"]}
	if a, b := domain.DirectoryOperation(home, newOrg), domain.DirectoryOperation(abroad, newOrg); a != b {
		t.Errorf("POST /admin/orgs names no org: %q, %q", a, b)
	}
}

// No request asks for what happens to keys, nor for what lies on another
// kind of stream.
func TestNoOperation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(eventTypes()).Draw(t, "type")
		event := drawEvent(t, typ)
		for _, stream := range []domain.Stream{domain.SecretStream{Ref: secretRef()}, domain.DirectoryStream{Org: home}, domain.KeysStream{Org: home}} {
			want := stream == streamFor(typ) && typ != domain.TypeKeyDestroyed
			if got := domain.EventOperation(stream, event); (got != "") != want {
				t.Fatalf("%s on %T: %q", typ, stream, got)
			}
		}
	})
}
