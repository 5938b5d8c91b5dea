package domain_test

import (
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// administerTable says which directory alice may administer. admin has a
// letter each for her own organization, another one, and for making
// organizations. The other cells are about granting (or, for none, revoking)
// a role on a scope, with a letter each for
//
//	viewer reader writer manager (none: the ranked one) auditor admin
//
// allowed: A admin, R root_admin, d direct_membership;
// denied: x not_admin, - no_membership, . role_insufficient, # scope_archived.
// abroad is a team of another organization, fake one of this organization's
// teams asked for under another one's id. The left side is accessTable's.
const administerTable = `
                                  | admin self    team    proj    lone    org     abroad  fake

                                  | xxx   .....xx -----xx -----xx -----xx .....xx xxxxxxx xxxxxxx
viewer@team                       | xxx   .....xx .....xx -----xx -----xx .....xx xxxxxxx xxxxxxx
writer@team writer@org            | xxx   .....xx .....xx -----xx -----xx .....xx xxxxxxx xxxxxxx
manager@team                      | xxx   .....xx dddddxx -----xx -----xx .....xx xxxxxxx xxxxxxx
manager@proj                      | xxx   .....xx .....xx dddddxx -----xx .....xx xxxxxxx xxxxxxx
manager@lone                      | xxx   .....xx -----xx -----xx dddddxx .....xx xxxxxxx xxxxxxx
manager@org                       | xxx   .....xx -----xx -----xx -----xx dddddxx xxxxxxx xxxxxxx
bootstrap                         | xxx   .....xx -----xx -----xx -----xx .....xx xxxxxxx xxxxxxx
bootstrap manager@org             | xxx   .....xx -----xx -----xx -----xx dddddxx xxxxxxx xxxxxxx

admin@org                         | Axx   AAAAAAA AAAAAAA AAAAAAA AAAAAAA AAAAAAA xxxxxxx xxxxxxx
admin@org manager@team viewer@org | Axx   AAAAAAA AAAAAAA AAAAAAA AAAAAAA AAAAAAA xxxxxxx xxxxxxx
bootstrap admin@org               | ARR   AAAAAAA AAAAAAA AAAAAAA AAAAAAA AAAAAAA RRRRRRR RRRRRRR
auditor@org                       | xxx   .....xx .....xx .....xx .....xx .....xx xxxxxxx xxxxxxx
auditor@org manager@team          | xxx   .....xx .....xx .....xx .....xx .....xx xxxxxxx xxxxxxx
auditor@org admin@org             | xxx   .....xx .....xx .....xx .....xx .....xx xxxxxxx xxxxxxx
bootstrap auditor@org admin@org   | xxx   .....xx .....xx .....xx .....xx .....xx xxxxxxx xxxxxxx

!team manager@team                | xxx   .....xx #####xx -----xx -----xx .....xx xxxxxxx xxxxxxx
!team manager@proj                | xxx   .....xx .....xx #####xx -----xx .....xx xxxxxxx xxxxxxx
!org manager@org                  | xxx   .....xx -----xx -----xx -----xx #####xx xxxxxxx xxxxxxx
!team admin@org                   | Axx   AAAAAAA AAAAAAA AAAAAAA AAAAAAA AAAAAAA xxxxxxx xxxxxxx
`

func TestWhoAdministersWhat(t *testing.T) {
	at, letters := scopes(), ruleLetters()
	granted := []domain.Role{
		domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager, "",
		domain.RoleAuditor, domain.RoleAdmin,
	}
	for _, row := range parseTable(t, administerTable) {
		t.Run(row.holds, func(t *testing.T) {
			p := holding(t, row.holds)
			for i, got := range []domain.Decision{p.MayAdminister(home), p.MayAdminister(abroad), p.MayCreateOrgs()} {
				if want := letters[row.cells["admin"][i]]; got != want {
					t.Errorf("administration %d: %+v, want %+v", i, got, want)
				}
			}
			for column, cell := range row.cells {
				org, scope := home, at[column]
				switch column {
				case "admin":
					continue
				case "abroad":
					org, scope = abroad, domain.Scope{Kind: domain.ScopeTeam, ID: "team_abroad"}
				case "fake":
					org, scope = abroad, at["team"]
				}
				if len(cell) != len(granted) {
					t.Fatalf("the cell %q has no letter for each role", cell)
				}
				for i, role := range granted {
					if got, want := p.MayGrant(org, scope, role), letters[cell[i]]; got != want {
						t.Errorf("%q on %s: %+v, want %+v", role, column, got, want)
					}
				}
			}
		})
	}
}

// A membership scope of agent is refused, and auditor and admin stand on the
// organization only.
func TestCheckMembership(t *testing.T) {
	all := []domain.Role{
		"", domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager, domain.RoleAuditor, domain.RoleAdmin,
	}
	refused := map[string]map[domain.Role]bool{
		"team": {domain.RoleAuditor: true, domain.RoleAdmin: true},
		"proj": {domain.RoleAuditor: true, domain.RoleAdmin: true},
		"self": {
			"": true, domain.RoleViewer: true, domain.RoleReader: true, domain.RoleWriter: true,
			domain.RoleManager: true, domain.RoleAuditor: true, domain.RoleAdmin: true,
		},
	}
	for _, name := range []string{"org", "team", "proj", "self"} {
		for _, role := range all {
			var want domain.Code
			if refused[name][role] {
				want = domain.CodeInvalidRequest
			}
			if got := domain.CodeOf(domain.CheckMembership(scopes()[name], role)); got != want {
				t.Errorf("%q on %s: %q, want %q", role, name, got, want)
			}
		}
	}
}
