package httpapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// accessActions are what access records can be asked for by. A misspelt one is
// refused: an empty page would read as "it never happened".
func accessActions() []string {
	return []string{
		string(domain.ActionList), string(domain.ActionHistory), string(domain.ActionRead), string(domain.ActionRelease),
		string(domain.ActionWrite), string(domain.ActionMint), string(domain.ActionRemove), string(domain.ActionManage),
		domain.AccessAuthenticate, domain.AccessAdmin, domain.AccessSubscribe, domain.AccessAudit, domain.AccessReport,
		domain.AccessExport, domain.AccessStart, domain.AccessStop, domain.AccessConfigure,
	}
}

func accessOutcomes() []string {
	return []string{string(domain.OutcomeAllowed), string(domain.OutcomeDenied), string(domain.OutcomeFailed)}
}

// listAccess answers with an organization's access records. The auditor of the
// whole server sees with its own organization's those that concern none.
func listAccess(c *call) (answer, error) {
	org, err := c.org()
	if err != nil {
		return answer{}, err
	}
	q, err := c.accessQuery()
	if err != nil {
		return answer{}, err
	}
	p, err := c.page(rowsLimit, c.asked())
	if err != nil {
		return answer{}, err
	}
	q.Target, q.Limit, q.Examine = org, p.limit, maxExamined
	if p.after != "" {
		var ok bool
		if q.After, ok = parsePlace(p.after); !ok {
			return answer{}, errCursor()
		}
	}
	c.access.Detail = cut(c.asked())
	if err := c.audit(domain.AccessAudit, org); err != nil {
		return answer{}, err
	}
	if err := c.orgExists(org); err != nil {
		return answer{}, err
	}
	q.Unowned = c.principal.RootAuditor && org == c.principal.Org
	found, err := c.config.Access.Access(c.ctx, q)
	if err != nil {
		return answer{}, err
	}
	rows := make([]wire.AccessRecord, 0, len(found.Entries))
	for _, e := range found.Entries {
		rows = append(rows, c.accessRecord(e))
	}
	a := success(rows)
	if found.More {
		a.page = p.next(placeText(found.Next))
	}
	return a, c.allowed()
}

// audit authorizes a call about what was accessed in an organization.
func (c *call) audit(action string, org domain.OrgID) error {
	return c.authorize(action, func(p domain.Principal) domain.Decision { return p.MayAudit(org) })
}

// asked gives the query without what makes it a page, in one spelling: what a
// cursor belongs to, and what the record of the call says.
func (c *call) asked() string {
	var parts []string
	for name, values := range c.query {
		if name != paramLimit && name != paramCursor {
			for _, v := range values {
				parts = append(parts, name+"="+v)
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// accessQuery reads the filters.
func (c *call) accessQuery() (q domain.AccessQuery, err error) {
	if q.Ascending, err = c.ascending(); err != nil {
		return q, err
	}
	if q.Scope, q.Secret, err = c.accessTarget(); err != nil {
		return q, err
	}
	if c.query.Has(paramActor) {
		// Agents and the system's parts have ids of this one form.
		actor, err := domain.ParseSecretID(c.query.Get(paramActor))
		if err != nil {
			return q, domain.Errorf(domain.CodeInvalidQuery, "actor is an agent's id")
		}
		q.Actor = string(actor)
	}
	if q.Action, err = c.oneOf(paramType, accessActions()); err != nil {
		return q, err
	}
	outcome, err := c.oneOf(paramOutcome, accessOutcomes())
	if err != nil {
		return q, err
	}
	q.Outcome = domain.Outcome(outcome)
	q.From, q.To, err = c.span()
	return q, err
}

// accessTarget reads the scope, or the secret in it, that is asked for.
func (c *call) accessTarget() (scope domain.Scope, id domain.SecretID, err error) {
	switch {
	case c.query.Has(paramScope) != c.query.Has(paramScopeID):
		return scope, "", domain.Errorf(domain.CodeInvalidQuery, "scope and scopeId are given together")
	case c.query.Has(paramSecret) && !c.query.Has(paramScope):
		return scope, "", domain.Errorf(domain.CodeInvalidQuery, "secret needs its scope and scopeId")
	case !c.query.Has(paramScope):
		return scope, "", nil
	}
	if scope, err = domain.ParseScope(c.query.Get(paramScope), c.query.Get(paramScopeID)); err != nil {
		return scope, "", asQuery(err)
	}
	if c.query.Has(paramSecret) {
		if id, err = domain.ParseSecretID(c.query.Get(paramSecret)); err != nil {
			return scope, "", asQuery(err)
		}
	}
	return scope, id, nil
}

func (c *call) accessRecord(e domain.AccessEntry) wire.AccessRecord {
	a := e.Access
	row := wire.AccessRecord{
		ID: placeText(e.Place), Position: e.Place.Position, Index: e.Place.Index, Time: wire.NewTime(a.Time),
		Org: string(a.Target), Action: a.Action, Scope: string(a.Scope.Kind), ScopeID: a.Scope.ID, SecretID: string(a.Secret), FieldKey: string(a.Field),
		Detail: a.Detail, Outcome: string(a.Outcome), Code: string(a.Code), Rule: string(a.Rule), Method: a.Method, Route: a.Route,
		RequestID: a.Origin.RequestID, TraceID: a.TraceID, ClientIP: a.Origin.ClientIP, UserAgent: a.Origin.UserAgent,
		Reason: a.Origin.Reason, RunID: a.Origin.RunID, Count: a.Count, Until: wire.TimeOrNil(a.Until),
	}
	if a.Actor.Kind == "" {
		return row
	}
	row.Actor = &wire.Actor{Kind: string(a.Actor.Kind), ID: a.Actor.ID, Name: a.Actor.ID, KeyID: string(a.Actor.KeyID)}
	if a.Actor.Kind == domain.ActorAgent {
		row.Actor.Name = ""
		if c.principal.MayAudit(a.Org).Allowed { // another organization's agents are told by their id alone
			row.Actor.Name = c.config.State.AgentName(a.Org, domain.AgentID(a.Actor.ID))
		}
	}
	return row
}

// placeText writes where a record is.
func placeText(p domain.AccessPlace) string {
	return strconv.FormatUint(p.Position, 10) + "." + strconv.FormatUint(uint64(p.Index), 10)
}

// parsePlace reads what placeText writes.
func parsePlace(s string) (domain.AccessPlace, bool) {
	position, index, both := strings.Cut(s, ".")
	p, ok := wire.ParseUint(position)
	i, fine := wire.ParseUint(index)
	if !both || !ok || !fine || i > 1<<16-1 {
		return domain.AccessPlace{}, false
	}
	return domain.AccessPlace{Position: p, Index: uint16(i)}, true
}
