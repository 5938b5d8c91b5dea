package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func agentPath(org domain.OrgID, agent domain.AgentID) (string, error) {
	if _, err := domain.ParseAgentID(string(agent)); err != nil {
		return "", err
	}
	return itemPath(org, domain.Scope{Kind: domain.ScopeAgent, ID: string(agent)})
}

func membershipPath(org domain.OrgID, agent domain.AgentID, scope domain.Scope) (string, error) {
	path, err := agentPath(org, agent)
	if err != nil {
		return "", err
	}
	if _, err := domain.ParseScope(string(scope.Kind), scope.ID); err != nil {
		return "", err
	}
	return path + "/memberships/" + scope.String(), nil
}

// Grant gives an agent a role on an org, team or project, in place of the
// ranked role that it had there.
func (a *Admin) Grant(ctx context.Context, org domain.OrgID, agent domain.AgentID, scope domain.Scope, role domain.Role, opts ...Option) (Membership, error) {
	path, err := membershipPath(org, agent, scope)
	if err != nil {
		return Membership{}, err
	}
	body := wire.GrantMembership{Role: string(role)}
	return send[Membership](ctx, a.c, call{kind: adminChange, method: http.MethodPut, path: path, body: body}, opts)
}

// Revoke takes a role on a scope away, effective with the agent's next
// request. role "" means the ranked one; auditor and admin are named.
func (a *Admin) Revoke(ctx context.Context, org domain.OrgID, agent domain.AgentID, scope domain.Scope, role domain.Role, opts ...Option) (RevokedMembership, error) {
	path, err := membershipPath(org, agent, scope)
	if err != nil {
		return RevokedMembership{}, err
	}
	k := call{kind: adminChange, method: http.MethodDelete, path: path, query: set(url.Values{}, "role", string(role))}
	return send[RevokedMembership](ctx, a.c, k, opts)
}

// Memberships gives an agent's memberships; to a manager, those on scopes that
// it manages.
func (a *Admin) Memberships(ctx context.Context, org domain.OrgID, agent domain.AgentID, opts ...Option) iter.Seq2[Membership, error] {
	path, err := agentPath(org, agent)
	if err != nil {
		return failed[Membership](err)
	}
	return pages[Membership](ctx, a.c, path+"/memberships", nil, opts)
}

// ListMemberships gives all rows of [Admin.Memberships].
func (a *Admin) ListMemberships(ctx context.Context, org domain.OrgID, agent domain.AgentID, opts ...Option) ([]Membership, error) {
	return collect(a.Memberships(ctx, org, agent, opts...))
}
