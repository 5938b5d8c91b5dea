package reports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// cell is one statement of the access matrix.
type cell struct {
	Org, Agent, Scope, ScopeID, Rule string
	Actions                          []string
}

// TestMatrixIsWhatMayAnswers verifies, at every position of a random history
// of a directory, that the matrix says of every agent, scope and action what
// the domain's own compilation says, no more and no less, and names only
// memberships that there are (invariant 5).
func TestMatrixIsWhatMayAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, dir := &eventLog{}, domain.NewDirectory(home)
		org := dir.OrgScope()
		agents := []domain.AgentID{ada, ben, cora}
		scopes := []domain.Scope{org, scope(domain.ScopeTeam, team), scope(domain.ScopeProject, proj), scope(domain.ScopeProject, "proj_lone")}
		commands := []domain.DirectoryCommand{domain.CreateScope{Scope: org, Name: "Home"}}
		for _, a := range agents {
			commands = append(commands, domain.CreateScope{Scope: scope(domain.ScopeAgent, string(a)), Name: string(a[26:])})
		}
		commands = append(commands, domain.CreateScope{Scope: scopes[1], Name: "T"},
			domain.CreateScope{Scope: scopes[2], Name: "P", TeamID: team}, domain.CreateScope{Scope: scopes[3], Name: "L"})
		for range rapid.IntRange(1, 25).Draw(t, "changes") {
			commands = append(commands, drawCommand(t, agents, scopes))
		}
		for _, c := range commands {
			event, err := domain.DecideDirectory(dir, c)
			if err != nil || event == nil {
				continue
			}
			n := uint64(len(log.events) + 1)
			r := domain.Recorded{
				Stream: domain.DirectoryStream{Org: home}, Position: n, Version: n, Event: event,
				Time: start.Add(time.Duration(n) * time.Minute), Actor: domain.Actor{Kind: domain.ActorSystem, ID: "test"},
			}
			log.events = append(log.events, r)
			dir.Apply(r)
		}
		asked := domain.NewDirectory(home)
		for _, r := range log.events {
			r.At = r.Time
			asked.Apply(r)
			// By position and by time must be the same question.
			for _, q := range []domain.ReportQuery{{Events: r.Position}, {At: r.At}} {
				compareMatrix(t, asked, log, q)
			}
		}
	})
}

func drawCommand(t *rapid.T, agents []domain.AgentID, scopes []domain.Scope) domain.DirectoryCommand {
	agent, sc := rapid.SampledFrom(agents).Draw(t, "agent"), rapid.SampledFrom(scopes).Draw(t, "scope")
	role := rapid.SampledFrom([]domain.Role{
		domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager, domain.RoleAuditor, domain.RoleAdmin,
	}).Draw(t, "role")
	if !role.Ranked() {
		sc = scopes[0]
	}
	switch rapid.IntRange(0, 4).Draw(t, "command") {
	case 0:
		return domain.RevokeMembership{Agent: agent, Scope: sc, Role: role}
	case 1:
		if rapid.Bool().Draw(t, "an agent") {
			sc = scope(domain.ScopeAgent, string(agent))
		}
		return domain.SetArchived{Scope: sc, Archived: rapid.Bool().Draw(t, "archived")}
	}
	return domain.GrantMembership{Agent: agent, Scope: sc, Role: role}
}

func compareMatrix(t *rapid.T, d *domain.Directory, log *eventLog, q domain.ReportQuery) {
	q.Name, q.Format = "access-matrix", "jsonl"
	text := runRapid(t, Source{Events: log}, q)
	said := map[string][]string{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, `{"manifest"`) {
			continue
		}
		var row struct {
			cell
			Through []string
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if len(row.Through) == 0 {
			t.Fatalf("nothing is named that %s gave: %s", row.Rule, line)
		}
		for _, m := range row.Through {
			if strings.Contains(m, "granted 0001") {
				t.Fatalf("a membership is named that there was not: %s", line)
			}
		}
		for _, a := range row.Actions {
			key := fmt.Sprintf("%s %s/%s %s", row.Agent, row.Scope, row.ScopeID, a)
			said[key] = append(said[key], row.Rule)
		}
	}
	for _, a := range []domain.AgentID{ada, ben, cora} {
		p, _ := d.Compile(a, "")
		for s := range d.Scopes {
			for _, action := range domain.Actions() {
				var want []string
				if may := p.May(action, s); may.Allowed {
					want = []string{string(may.Rule)}
				}
				key := fmt.Sprintf("%s %s %s", a, s, action)
				if !slices.Equal(want, said[key]) {
					t.Fatalf("%s: the matrix says %v, the domain %v", key, said[key], want)
				}
				delete(said, key)
			}
		}
		for action, may := range map[string]domain.Decision{mayAdminister: p.MayAdminister(home), mayAudit: p.MayAudit(home)} {
			key := fmt.Sprintf("%s %s %s", a, d.OrgScope(), action)
			if may.Allowed != (len(said[key]) == 1) {
				t.Fatalf("%s: the matrix says %v, the domain %v", key, said[key], may)
			}
			delete(said, key)
		}
	}
	if len(said) > 0 {
		t.Fatalf("the matrix says more than the domain: %v", said)
	}
}

func runRapid(t *rapid.T, s Source, q domain.ReportQuery) string {
	p, err := New(s, nil).Prepare(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := p.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
