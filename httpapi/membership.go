package httpapi

import (
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// grantMembership gives an agent a role on a scope.
func grantMembership(c *call) (answer, error) {
	org, agent, scope, err := c.membership()
	if err != nil {
		return answer{}, err
	}
	body, err := wire.Decode[wire.GrantMembership](c.body)
	if err != nil {
		return answer{}, err
	}
	role, err := domain.ParseRole(body.Role)
	if err != nil {
		return answer{}, at(err, "/role")
	}
	if err := domain.CheckMembership(scope, role); err != nil {
		return answer{}, err
	}
	if err := c.mayGrant(org, scope, role); err != nil {
		return answer{}, err
	}
	result, err := c.changeDirectory(org, domain.GrantMembership{Agent: agent, Scope: scope, Role: role})
	if err != nil {
		return answer{}, err
	}
	// What was granted, with the state's dates as long as it is still so.
	m := domain.Membership{Agent: agent, Scope: scope, Role: role, GrantedAt: c.access.Time, GrantedBy: string(c.principal.Agent)}
	// That the state cannot be asked does not undo what is stored.
	_ = c.config.State.Directory(org, func(d *domain.Directory) error {
		if now, ok := d.Memberships[agent][m.Key()]; ok && now.Role == role {
			m = now
		}
		return nil
	})
	return answer{data: membershipOf(m), position: result.Position}, nil
}

// revokeMembership takes a role back: the one that is named, else the ranked
// one.
func revokeMembership(c *call) (answer, error) {
	org, agent, scope, err := c.membership()
	if err != nil {
		return answer{}, err
	}
	role, err := c.revokedRole()
	if err != nil {
		return answer{}, err
	}
	if err := domain.CheckMembership(scope, role); err != nil {
		return answer{}, err
	}
	if err := c.mayGrant(org, scope, role); err != nil {
		return answer{}, err
	}
	result, err := c.changeDirectory(org, domain.RevokeMembership{Agent: agent, Scope: scope, Role: role})
	if err != nil {
		return answer{}, err
	}
	if e, ok := result.Event.(domain.MembershipRevoked); ok {
		role = e.Role
	}
	return answer{data: wire.RevokedMembership{
		AgentID: string(agent), Scope: string(scope.Kind), ScopeID: scope.ID, Role: string(role),
	}, position: result.Position}, nil
}

// revokedRole reads the role from the query or from the body, "" from
// neither.
func (c *call) revokedRole() (domain.Role, error) {
	if c.query.Has(paramRole) {
		if len(c.body) > 0 {
			return "", domain.Errorf(domain.CodeInvalidRequest, "the role stands in the query or in the body, not in both")
		}
		role, err := domain.ParseRole(c.query.Get(paramRole))
		if err != nil {
			return "", asQuery(err)
		}
		return role, nil
	}
	if len(c.body) == 0 {
		return "", nil
	}
	body, err := wire.Decode[wire.RevokeMembership](c.body)
	if err != nil || body.Role == nil {
		return "", err
	}
	role, err := domain.ParseRole(*body.Role)
	if err != nil {
		return "", at(err, "/role")
	}
	return role, nil
}

// membership reads the path's agent and scope.
func (c *call) membership() (domain.OrgID, domain.AgentID, domain.Scope, error) {
	org, agent, err := c.agent()
	if err != nil {
		return "", "", domain.Scope{}, err
	}
	scope, err := c.scope()
	c.access.Scope = scope
	return org, agent, scope, err
}

// listMemberships answers with an agent's roles: all of them to an
// administrator, those on scopes that it manages to anybody else.
func listMemberships(c *call) (answer, error) {
	org, agent, err := c.agent()
	if err != nil {
		return answer{}, err
	}
	p, err := c.page(rowsLimit)
	if err != nil {
		return answer{}, err
	}
	if err := c.authorize(domain.AccessAdmin, func(p domain.Principal) domain.Decision { return managesSome(p, org) }); err != nil {
		return answer{}, err
	}
	if err := c.agentExists(org, agent); err != nil {
		return answer{}, err
	}
	rows, next, err := c.visibleMemberships(org, agent, p)
	if err != nil {
		return answer{}, err
	}
	return answer{data: rows, page: p.next(next)}, c.allowed()
}

// visibleMemberships gives the page's rows that the caller may see. Rows that
// it may not are passed over here, so that neither the size of a page nor its
// cursor tells of them. An agent has few memberships.
func (c *call) visibleMemberships(org domain.OrgID, agent domain.AgentID, p page) (rows []wire.Membership, next string, err error) {
	rows = []wire.Membership{}
	administers := c.principal.MayAdminister(org).Allowed
	for after, last := p.after, ""; ; {
		found, following, err := c.config.State.Memberships(org, agent, after, 1)
		if err != nil {
			return nil, "", err
		}
		if len(found) > 0 && (administers || c.principal.May(domain.ActionManage, found[0].Scope).Allowed) {
			if len(rows) == p.limit {
				return rows, last, nil
			}
			rows, last = append(rows, membershipOf(found[0])), following
		}
		if following == "" {
			return rows, "", nil
		}
		after = following
	}
}

func (c *call) mayGrant(org domain.OrgID, scope domain.Scope, role domain.Role) error {
	return c.authorize(domain.AccessAdmin, func(p domain.Principal) domain.Decision { return p.MayGrant(org, scope, role) })
}

// managesSome gives the decision by which the caller administers the
// organization or manages some scope of it.
func managesSome(p domain.Principal, org domain.OrgID) domain.Decision {
	decision := p.MayAdminister(org)
	if decision.Allowed || org != p.Org {
		return decision
	}
	for _, g := range p.Grants() {
		if d := p.May(domain.ActionManage, g.Scope); d.Allowed {
			return d
		}
	}
	return decision
}

func (c *call) agentExists(org domain.OrgID, agent domain.AgentID) error {
	return c.config.State.Directory(org, func(d *domain.Directory) error {
		if _, ok := d.Agent(agent); !ok {
			return errNotFound("agent")
		}
		return nil
	})
}

func membershipOf(m domain.Membership) wire.Membership {
	return wire.Membership{
		AgentID: string(m.Agent), Scope: string(m.Scope.Kind), ScopeID: m.Scope.ID, Role: string(m.Role),
		GrantedAt: wire.NewTime(m.GrantedAt), GrantedBy: m.GrantedBy,
	}
}
