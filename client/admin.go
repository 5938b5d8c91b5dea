package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// Admin calls the admin API: for keys of admins, and memberships for managers
// of the scope too. Get one from [Client.Admin].
type Admin struct{ c *Client }

const orgsPath = "/admin/orgs"

// collection gives the path element of a kind's collection below its org.
func collection(kind domain.ScopeKind) string {
	switch kind {
	case domain.ScopeTeam:
		return "/teams"
	case domain.ScopeProject:
		return "/projects"
	case domain.ScopeAgent:
		return "/agents"
	case domain.ScopeOrg:
	}
	return ""
}

func orgPath(org domain.OrgID) (string, error) {
	if _, err := domain.ParseOrgID(string(org)); err != nil {
		return "", err
	}
	return orgsPath + "/" + string(org), nil
}

// itemPath names an org, team, project or agent. For an org scope the item is
// the org itself.
func itemPath(org domain.OrgID, scope domain.Scope) (string, error) {
	base, err := orgPath(org)
	if err != nil {
		return "", err
	}
	if _, err := domain.ParseScope(string(scope.Kind), scope.ID); err != nil {
		return "", err
	}
	if scope.Kind == domain.ScopeOrg {
		if scope.ID != string(org) {
			return "", domain.Errorf(domain.CodeInvalidID, "an org scope is the organization itself")
		}
		return base, nil
	}
	return base + collection(scope.Kind) + "/" + scope.ID, nil
}

// CreateOrg makes an organization; for admins of the bootstrap organization.
// Durable on nil, like every change here.
func (a *Admin) CreateOrg(ctx context.Context, name string, opts ...Option) (DirectoryItem, error) {
	return a.create(ctx, orgsPath, wire.CreateItem{Name: name}, opts)
}

// CreateTeam makes a team.
func (a *Admin) CreateTeam(ctx context.Context, org domain.OrgID, name string, opts ...Option) (DirectoryItem, error) {
	return a.createIn(ctx, org, domain.ScopeTeam, wire.CreateItem{Name: name}, opts)
}

// CreateProject makes a project; teamID "" puts it in no team.
func (a *Admin) CreateProject(ctx context.Context, org domain.OrgID, name, teamID string, opts ...Option) (DirectoryItem, error) {
	body := wire.CreateProject{Name: name}
	if teamID != "" {
		body.TeamID = &teamID
	}
	return a.createIn(ctx, org, domain.ScopeProject, body, opts)
}

// CreateAgent registers an agent. It has no key yet: see [Admin.IssueKey].
func (a *Admin) CreateAgent(ctx context.Context, org domain.OrgID, name string, opts ...Option) (DirectoryItem, error) {
	return a.createIn(ctx, org, domain.ScopeAgent, wire.CreateItem{Name: name}, opts)
}

func (a *Admin) createIn(ctx context.Context, org domain.OrgID, kind domain.ScopeKind, body any, opts []Option) (DirectoryItem, error) {
	path, err := orgPath(org)
	if err != nil {
		return DirectoryItem{}, err
	}
	return a.create(ctx, path+collection(kind), body, opts)
}

func (a *Admin) create(ctx context.Context, path string, body any, opts []Option) (DirectoryItem, error) {
	return send[DirectoryItem](ctx, a.c, call{kind: adminChange, method: http.MethodPost, path: path, body: body}, opts)
}

// Orgs gives the organizations that the caller administers.
func (a *Admin) Orgs(ctx context.Context, opts ...Option) iter.Seq2[DirectoryItem, error] {
	return pages[DirectoryItem](ctx, a.c, orgsPath, nil, opts)
}

// ListOrgs gives all rows of [Admin.Orgs].
func (a *Admin) ListOrgs(ctx context.Context, opts ...Option) ([]DirectoryItem, error) {
	return collect(a.Orgs(ctx, opts...))
}

// Scopes gives the teams, projects or agents of an organization.
func (a *Admin) Scopes(ctx context.Context, org domain.OrgID, kind domain.ScopeKind, opts ...Option) iter.Seq2[DirectoryItem, error] {
	path, err := orgPath(org)
	if err == nil && collection(kind) == "" {
		err = domain.Errorf(domain.CodeInvalidID, "an organization has teams, projects and agents")
	}
	if err != nil {
		return failed[DirectoryItem](err)
	}
	return pages[DirectoryItem](ctx, a.c, path+collection(kind), nil, opts)
}

// ListScopes gives all rows of [Admin.Scopes].
func (a *Admin) ListScopes(ctx context.Context, org domain.OrgID, kind domain.ScopeKind, opts ...Option) ([]DirectoryItem, error) {
	return collect(a.Scopes(ctx, org, kind, opts...))
}

// Rename names an org, team, project or agent anew.
func (a *Admin) Rename(ctx context.Context, org domain.OrgID, scope domain.Scope, name string, opts ...Option) (DirectoryItem, error) {
	return a.patch(ctx, org, scope, wire.UpdateItem{Name: &name}, opts)
}

// SetArchived freezes a scope or lifts that. An archived agent's keys do not
// work.
func (a *Admin) SetArchived(ctx context.Context, org domain.OrgID, scope domain.Scope, archived bool, opts ...Option) (DirectoryItem, error) {
	return a.patch(ctx, org, scope, wire.UpdateItem{Archived: &archived}, opts)
}

func (a *Admin) patch(ctx context.Context, org domain.OrgID, scope domain.Scope, body wire.UpdateItem, opts []Option) (DirectoryItem, error) {
	path, err := itemPath(org, scope)
	if err != nil {
		return DirectoryItem{}, err
	}
	return send[DirectoryItem](ctx, a.c, call{kind: adminChange, method: http.MethodPatch, path: path, body: body}, opts)
}
