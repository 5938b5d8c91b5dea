package httpapi

import (
	"github.com/chancery-dev/chancery/domain"
)

// Ids come from the path alone, except where a call has none in its path.

// scope reads the path's scope.
func (c *call) scope() (domain.Scope, error) {
	return domain.ParseScope(c.param("scope"), c.param("scopeId"))
}

// ref reads the path's secret, of the caller's organization.
func (c *call) ref() (domain.SecretRef, error) {
	scope, err := c.scope()
	if err != nil {
		return domain.SecretRef{}, err
	}
	id, err := domain.ParseSecretID(c.param("secretId"))
	return c.refOf(scope, id), err
}

// fieldRef reads the path's field.
func (c *call) fieldRef() (domain.SecretRef, domain.FieldKey, error) {
	ref, err := c.ref()
	if err != nil {
		return ref, "", err
	}
	key, err := domain.ParseFieldKey(c.param("fieldKey"))
	return ref, key, err
}

// refOf puts a secret into the caller's organization and notes what is
// accessed.
func (c *call) refOf(scope domain.Scope, id domain.SecretID) domain.SecretRef {
	c.access.Scope, c.access.Secret = scope, id
	return domain.SecretRef{Org: c.principal.Org, Scope: scope, ID: id}
}

// org reads the path's organization.
func (c *call) org() (domain.OrgID, error) {
	org, err := domain.ParseOrgID(c.param("orgId"))
	c.access.Target, c.access.Scope = org, domain.Scope{Kind: domain.ScopeOrg, ID: string(org)}
	return org, err
}

// agent reads the path's organization and agent.
func (c *call) agent() (domain.OrgID, domain.AgentID, error) {
	org, err := c.org()
	if err != nil {
		return org, "", err
	}
	agent, err := domain.ParseAgentID(c.param("agentId"))
	return org, agent, err
}
