package httpapi

import (
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// whoami answers with the caller.
func whoami(c *call) (answer, error) {
	if _, err := c.await(); err != nil {
		return answer{}, err
	}
	p := c.principal
	return success(wire.Whoami{
		AgentID: string(p.Agent), OrgID: string(p.Org), TenantID: string(p.Org), Name: p.Name,
		Permissions: append([]string{}, p.Permissions()...),
	}), nil
}

// listSecretScopes answers with the scopes that the caller belongs to.
func listSecretScopes(c *call) (answer, error) {
	if _, err := c.await(); err != nil {
		return answer{}, err
	}
	grants := c.principal.Grants()
	rows := make([]wire.ScopeRole, 0, len(grants))
	for _, g := range grants {
		rows = append(rows, wire.ScopeRole{Scope: string(g.Scope.Kind), ScopeID: g.Scope.ID, Name: g.Name, Role: string(g.Role)})
	}
	return success(rows), nil
}

// listEffective answers with what each secretId resolves to for the caller.
func listEffective(c *call) (answer, error) {
	p, err := c.page(secretsLimit)
	if err != nil {
		return answer{}, err
	}
	c.access.Action = string(domain.ActionList)
	if _, err := c.await(); err != nil {
		return answer{}, err
	}
	q := domain.EffectiveQuery{Org: c.principal.Org, After: domain.SecretID(p.after), Limit: p.limit, Examine: maxExamined}
	for _, g := range c.principal.Grants() { // each gives at least viewer
		q.Scopes = append(q.Scopes, g.Scope)
	}
	found, err := c.config.State.Effective(c.ctx, q)
	if err != nil {
		return answer{}, err
	}
	rows := make([]wire.EffectiveSecret, 0, len(found.Secrets))
	for _, e := range found.Secrets {
		rows = append(rows, c.effective(e))
	}
	return answer{data: rows, page: p.next(string(found.Next))}, c.allowed()
}

func (c *call) effective(e domain.EffectiveSecret) wire.EffectiveSecret {
	winners, shadowed := c.levels(e.Scopes)
	row := wire.EffectiveSecret{SecretID: string(e.Secret.Ref.ID), Shadowed: shadowed}
	if len(winners) > 1 {
		row.Ambiguous = winners
		return row
	}
	a := metadataOf(e.Secret)
	row.Aggregate, row.ResolvedFrom = &a, &winners[0]
	return row
}

// levels splits the scopes that have a secretId, most specific first, into
// those of the first kind and the rest.
func (c *call) levels(scopes []domain.Scope) (winners, shadowed []wire.Scope) {
	names := map[domain.Scope]string{}
	for _, g := range c.principal.Grants() {
		names[g.Scope] = g.Name
	}
	shadowed = []wire.Scope{}
	for _, s := range scopes {
		named := wire.Scope{Scope: string(s.Kind), ScopeID: s.ID, Name: names[s]}
		if s.Kind == scopes[0].Kind {
			winners = append(winners, named)
		} else {
			shadowed = append(shadowed, named)
		}
	}
	return winners, shadowed
}

// resolveSecret answers with the secret that the most specific of the
// caller's scopes has under an id. The winner decides: one that the caller
// may not read is refused, never passed over.
func resolveSecret(c *call) (answer, error) {
	id, err := domain.ParseSecretID(c.param("secretId"))
	if err != nil {
		return answer{}, err
	}
	if _, err := c.await(); err != nil {
		return answer{}, err
	}
	if err := c.fresh(); err != nil {
		return answer{}, err
	}
	scopes, err := c.having(id)
	if err != nil {
		return answer{}, err
	}
	if len(scopes) == 0 {
		return answer{}, errSecretNotFound()
	}
	winners, shadowed := c.levels(scopes)
	if len(winners) > 1 {
		var names []string
		for _, w := range winners {
			names = append(names, w.Scope+"/"+w.ScopeID)
		}
		return answer{}, domain.Errorf(domain.CodeAmbiguousScope, "the secret is in %s", strings.Join(names, " and in "))
	}
	ref := c.refOf(scopes[0], id)
	if err := c.may(domain.ActionRead, ref.Scope); err != nil {
		return answer{}, err
	}
	s, err := c.load(ref, func(domain.SecretField) bool { return true })
	if domain.CodeOf(err) == domain.CodeSecretNotFound {
		// It was there a moment ago; what it shadowed wins at the next try.
		return answer{}, unavailable("the secret was deleted while it was resolved")
	}
	if err != nil {
		return answer{}, err
	}
	data, err := secretOf(s)
	if err != nil {
		return answer{}, err
	}
	return answer{data: wire.ResolvedSecret{
		Aggregate: data.Aggregate, Envelopes: data.Envelopes, ResolvedFrom: winners[0], Shadowed: shadowed,
	}, version: s.Version}, c.allowed()
}

// having finds the scopes of the caller that have a secret of this id, most
// specific first.
func (c *call) having(id domain.SecretID) ([]domain.Scope, error) {
	var scopes []domain.Scope
	for _, g := range c.principal.Grants() {
		s, err := c.config.State.SecretMetadata(domain.SecretRef{Org: c.principal.Org, Scope: g.Scope, ID: id})
		if err != nil {
			return nil, err
		}
		if s.Exists {
			scopes = append(scopes, g.Scope)
		}
	}
	return scopes, nil
}
