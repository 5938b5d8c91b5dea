package domain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// accessTable says what alice may do, one line for what she holds and one
// cell for a scope. A cell has a letter for each action, in the order
//
//	list history read release write remove mint manage
//
// allowed: o own_scope, d direct_membership, u upward, a auditor;
// denied: - no_membership, . role_insufficient, # scope_archived.
//
// On the left stand role@scope (alice's membership), !scope (archived), ~scope
// (restored) and bootstrap (the organization is the log's first). proj and sib
// are projects of team; lone and lone2 have no team; else is any scope that is
// not one of this organization.
const accessTable = `
                                   | self     other    team     team2    proj     sib      lone     lone2    org      else

                                   | ooooooo. -------- -------- -------- -------- -------- -------- -------- uuuu.... --------
viewer@org                         | ooooooo. -------- -------- -------- -------- -------- -------- -------- dd...... --------
reader@org                         | ooooooo. -------- -------- -------- -------- -------- -------- -------- dddd.... --------
writer@org                         | ooooooo. -------- -------- -------- -------- -------- -------- -------- ddddddd. --------
manager@org                        | ooooooo. -------- -------- -------- -------- -------- -------- -------- dddddddd --------
viewer@team                        | ooooooo. -------- dd...... -------- -------- -------- -------- -------- uuuu.... --------
reader@team                        | ooooooo. -------- dddd.... -------- -------- -------- -------- -------- uuuu.... --------
writer@team                        | ooooooo. -------- ddddddd. -------- -------- -------- -------- -------- uuuu.... --------
manager@team                       | ooooooo. -------- dddddddd -------- -------- -------- -------- -------- uuuu.... --------
viewer@proj                        | ooooooo. -------- uu...... -------- dd...... -------- -------- -------- uuuu.... --------
reader@proj                        | ooooooo. -------- uuuu.... -------- dddd.... -------- -------- -------- uuuu.... --------
writer@proj                        | ooooooo. -------- uuuu.... -------- ddddddd. -------- -------- -------- uuuu.... --------
manager@proj                       | ooooooo. -------- uuuu.... -------- dddddddd -------- -------- -------- uuuu.... --------
viewer@lone                        | ooooooo. -------- -------- -------- -------- -------- dd...... -------- uuuu.... --------
reader@lone                        | ooooooo. -------- -------- -------- -------- -------- dddd.... -------- uuuu.... --------
writer@lone                        | ooooooo. -------- -------- -------- -------- -------- ddddddd. -------- uuuu.... --------
manager@lone                       | ooooooo. -------- -------- -------- -------- -------- dddddddd -------- uuuu.... --------

viewer@team writer@proj            | ooooooo. -------- dd...... -------- ddddddd. -------- -------- -------- uuuu.... --------
viewer@org manager@team            | ooooooo. -------- dddddddd -------- -------- -------- -------- -------- dd...... --------
viewer@org manager@lone            | ooooooo. -------- -------- -------- -------- -------- dddddddd -------- dd...... --------
viewer@org viewer@team reader@proj | ooooooo. -------- dd...... -------- dddd.... -------- -------- -------- dd...... --------
manager@team viewer@proj           | ooooooo. -------- dddddddd -------- dd...... -------- -------- -------- uuuu.... --------
viewer@proj viewer@sib             | ooooooo. -------- uu...... -------- dd...... dd...... -------- -------- uuuu.... --------
viewer@proj writer@sib             | ooooooo. -------- uuuu.... -------- dd...... ddddddd. -------- -------- uuuu.... --------
writer@team reader@team            | ooooooo. -------- dddd.... -------- -------- -------- -------- -------- uuuu.... --------

auditor@org                        | aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... --------
auditor@org manager@org            | aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... --------
auditor@org manager@team           | aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... --------
auditor@org admin@org writer@proj  | aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... --------
admin@org                          | ooooooo. -------- -------- -------- -------- -------- -------- -------- uuuu.... --------
admin@org viewer@org               | ooooooo. -------- -------- -------- -------- -------- -------- -------- dd...... --------
admin@org manager@org              | ooooooo. -------- -------- -------- -------- -------- -------- -------- dddddddd --------
admin@org writer@proj              | ooooooo. -------- uuuu.... -------- ddddddd. -------- -------- -------- uuuu.... --------
bootstrap admin@org                | ooooooo. -------- -------- -------- -------- -------- -------- -------- uuuu.... --------
bootstrap admin@org manager@team   | ooooooo. -------- dddddddd -------- -------- -------- -------- -------- uuuu.... --------

!proj viewer@team reader@proj      | ooooooo. -------- dd...... -------- dd##.... -------- -------- -------- uuuu.... --------
!proj viewer@team writer@proj      | ooooooo. -------- dd...... -------- dd###d#. -------- -------- -------- uuuu.... --------
!proj viewer@team manager@proj     | ooooooo. -------- dd...... -------- dd###d## -------- -------- -------- uuuu.... --------
!proj writer@proj                  | ooooooo. -------- uuuu.... -------- dd###d#. -------- -------- -------- uuuu.... --------
!lone manager@lone                 | ooooooo. -------- -------- -------- -------- -------- dd###d## -------- uuuu.... --------
!team viewer@team                  | ooooooo. -------- dd...... -------- -------- -------- -------- -------- uuuu.... --------
!team writer@team                  | ooooooo. -------- dd###d#. -------- -------- -------- -------- -------- uuuu.... --------
!team writer@proj                  | ooooooo. -------- uu##.... -------- dd###d#. -------- -------- -------- uuuu.... --------
!team manager@lone writer@team2    | ooooooo. -------- -------- ddddddd. -------- -------- dddddddd -------- uuuu.... --------
!team ~team writer@team writer@sib | ooooooo. -------- ddddddd. -------- -------- ddddddd. -------- -------- uuuu.... --------
!org                               | oo###o#. -------- -------- -------- -------- -------- -------- -------- uu##.... --------
!org writer@proj                   | oo###o#. -------- uu##.... -------- dd###d#. -------- -------- -------- uu##.... --------
!org manager@org manager@team      | oo###o#. -------- dd###d## -------- -------- -------- -------- -------- dd###d## --------
!other                             | ooooooo. -------- -------- -------- -------- -------- -------- -------- uuuu.... --------
!org !other !team !lone auditor@org| aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... aa...... --------
`

func ruleLetters() map[byte]domain.Decision {
	return map[byte]domain.Decision{
		'o': {Allowed: true, Rule: domain.RuleOwnScope},
		'd': {Allowed: true, Rule: domain.RuleDirectMembership},
		'u': {Allowed: true, Rule: domain.RuleUpward},
		'a': {Allowed: true, Rule: domain.RuleAuditor},
		'A': {Allowed: true, Rule: domain.RuleAdmin},
		'R': {Allowed: true, Rule: domain.RuleRootAdmin},
		'-': {Rule: domain.RuleNoMembership},
		'.': {Rule: domain.RuleRoleInsufficient},
		'#': {Rule: domain.RuleScopeArchived},
		'x': {Rule: domain.RuleNotAdmin},
	}
}

// tableRow is one line of a table: what alice holds and a cell a column.
type tableRow struct {
	holds string
	cells map[string]string
}

func parseTable(t *testing.T, table string) []tableRow {
	t.Helper()
	var columns []string
	var rows []tableRow
	for line := range strings.Lines(table) {
		holds, cells, ok := strings.Cut(line, "|")
		if !ok {
			continue
		}
		got := strings.Fields(cells)
		if columns == nil {
			columns = got
			continue
		}
		if len(got) != len(columns) {
			t.Fatalf("%q has %d cells for %d columns", holds, len(got), len(columns))
		}
		row := tableRow{holds: strings.Join(strings.Fields(holds), " "), cells: map[string]string{}}
		for i, c := range columns {
			row.cells[c] = got[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// holding sets up what a line's left side says and gives alice's rights.
func holding(t *testing.T, holds string) domain.Principal {
	t.Helper()
	at := scopes()
	l := newWorld(t, strings.Contains(holds, "bootstrap"))
	for word := range strings.FieldsSeq(holds) {
		role, scope, isRole := strings.Cut(word, "@")
		switch {
		case isRole:
			l.must(t, domain.GrantMembership{Agent: alice, Scope: at[scope], Role: domain.Role(role)})
		case word[0] == '!':
			l.must(t, domain.SetArchived{Scope: at[word[1:]], Archived: true})
		case word[0] == '~':
			l.must(t, domain.SetArchived{Scope: at[word[1:]], Archived: false})
		}
	}
	p, ok := l.dir.Compile(alice, keyOne)
	if !ok {
		t.Fatalf("%q: alice does not authenticate", holds)
	}
	return p
}

// elsewhere lists scopes that the fixture organization does not have, one of
// them an id that it has under another kind.
func elsewhere() []domain.Scope {
	return []domain.Scope{
		{},
		{Kind: domain.ScopeOrg, ID: string(abroad)},
		{Kind: domain.ScopeTeam, ID: "team_abroad"},
		{Kind: domain.ScopeAgent, ID: "agt_01J0000000000000000000000Z"},
		{Kind: domain.ScopeProject, ID: "team_red"},
		{Kind: domain.ScopeTeam, ID: string(home)},
	}
}

// Invariant 5: authority is denied unless a rule grants it, and the rule is
// named.
func TestEveryActionOnEveryScope(t *testing.T) {
	at, letters := scopes(), ruleLetters()
	for _, row := range parseTable(t, accessTable) {
		t.Run(row.holds, func(t *testing.T) {
			p := holding(t, row.holds)
			for column, cell := range row.cells {
				asked := []domain.Scope{at[column]}
				if column == "else" {
					asked = elsewhere()
				}
				if len(cell) != len(domain.Actions()) {
					t.Fatalf("the cell %q has no letter for each action", cell)
				}
				for i, action := range domain.Actions() {
					for _, scope := range asked {
						if got, want := p.May(action, scope), letters[cell[i]]; got != want {
							t.Errorf("%s on %s (%s): %+v, want %+v", action, column, scope, got, want)
						}
					}
				}
			}
		})
	}
}

// Every ranked role stands alone in the table on every kind of scope that has
// members.
func TestAccessTableIsComplete(t *testing.T) {
	var seen []string
	for _, row := range parseTable(t, accessTable) {
		seen = append(seen, row.holds)
	}
	want := []string{"", "auditor@org", "admin@org", "bootstrap admin@org", "!org"}
	for _, role := range []domain.Role{domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager} {
		for _, scope := range []string{"org", "team", "proj", "lone"} {
			want = append(want, string(role)+"@"+scope)
		}
	}
	for _, w := range want {
		if !slices.Contains(seen, w) {
			t.Errorf("no line for %q", w)
		}
	}
}

// The order of the table's letters is the order of Actions.
func TestActionsOrder(t *testing.T) {
	want := strings.Fields("list history read release write remove mint manage")
	var got []string
	for _, a := range domain.Actions() {
		got = append(got, string(a))
	}
	if !slices.Equal(got, want) {
		t.Errorf("Actions() = %v, want %v", got, want)
	}
}
