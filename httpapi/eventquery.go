package httpapi

import (
	"slices"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// eventFilter says which events a stream asks for. Zero members let all pass.
type eventFilter struct {
	scope  domain.Scope
	secret domain.SecretID
	kind   domain.EventType
}

// eventTypes are what events can be asked for by.
func eventTypes() []string {
	return []string{
		string(domain.TypeSecretCreated), string(domain.TypeFieldSet), string(domain.TypeFieldRemoved),
		string(domain.TypeSecretRenamed), string(domain.TypeSecretReclassified), string(domain.TypeSecretScheduled), string(domain.TypeSecretDeleted),
		string(domain.TypeOrgCreated), string(domain.TypeOrgRenamed), string(domain.TypeOrgArchived), string(domain.TypeOrgRestored),
		string(domain.TypeTeamCreated), string(domain.TypeTeamRenamed), string(domain.TypeTeamArchived), string(domain.TypeTeamRestored),
		string(domain.TypeProjectCreated), string(domain.TypeProjectRenamed), string(domain.TypeProjectArchived), string(domain.TypeProjectRestored),
		string(domain.TypeAgentRegistered), string(domain.TypeAgentRenamed), string(domain.TypeAgentArchived), string(domain.TypeAgentRestored),
		string(domain.TypeMembershipGranted), string(domain.TypeMembershipRevoked),
		string(domain.TypeAPIKeyIssued), string(domain.TypeAPIKeyRevoked), string(domain.TypeKeyDestroyed),
	}
}

func (c *call) eventFilter() (f eventFilter, err error) {
	if c.query.Has(paramType) {
		kind := c.query.Get(paramType)
		if !slices.Contains(eventTypes(), kind) {
			return f, domain.Errorf(domain.CodeInvalidQuery, "type is the type of an event")
		}
		f.kind = domain.EventType(kind)
	}
	switch {
	case c.query.Has(paramScope) != c.query.Has(paramScopeID):
		return f, domain.Errorf(domain.CodeInvalidQuery, "scope and scopeId go together")
	case c.query.Has(paramSecretID) && !c.query.Has(paramScope):
		return f, domain.Errorf(domain.CodeInvalidQuery, "secretId needs scope and scopeId")
	case !c.query.Has(paramScope):
		return f, nil
	}
	if f.scope, err = domain.ParseScope(c.query.Get(paramScope), c.query.Get(paramScopeID)); err != nil {
		return f, domain.Errorf(domain.CodeInvalidQuery, "scope and scopeId name no scope")
	}
	if c.query.Has(paramSecretID) {
		if f.secret, err = domain.ParseSecretID(c.query.Get(paramSecretID)); err != nil {
			return f, domain.Errorf(domain.CodeInvalidQuery, "secretId is no secret's id")
		}
	}
	return f, nil
}

// lastEventID reads where a stream goes on; false where it starts at the end.
func (c *call) lastEventID() (uint64, bool, error) {
	text, err := single(c.http.Header, wire.HeaderLastEventID, domain.CodeInvalidRequest)
	if err != nil || len(c.http.Header.Values(wire.HeaderLastEventID)) == 0 {
		return 0, false, err
	}
	position, ok := wire.ParseUint(text)
	if !ok {
		return 0, false, domain.Errorf(domain.CodeInvalidRequest, "Last-Event-ID is a position that this server gave")
	}
	return position, true, nil
}

// concerns gives the secret that an event is about: its own stream's, or that
// of the key that was destroyed.
func concerns(r domain.Recorded) (domain.SecretRef, bool) {
	if s, ok := r.Stream.(domain.SecretStream); ok {
		return s.Ref, true
	}
	if e, ok := r.Event.(domain.KeyDestroyed); ok {
		return e.Ref, true
	}
	return domain.SecretRef{}, false
}

// wants says whether the stream asks for an event.
func (f eventFilter) wants(r domain.Recorded) bool {
	if f.kind != "" && r.Event.Type() != f.kind {
		return false
	}
	if f.scope == (domain.Scope{}) {
		return true
	}
	ref, ok := concerns(r)
	return ok && ref.Scope == f.scope && (f.secret == "" || ref.ID == f.secret)
}

// mayFollow answers whether a caller may follow anything at all.
func mayFollow(p domain.Principal) domain.Decision {
	grants := p.Grants()
	if i := slices.IndexFunc(grants, func(g domain.Grant) bool { return p.May(domain.ActionList, g.Scope).Allowed }); i >= 0 {
		return p.May(domain.ActionList, grants[i].Scope)
	}
	return seesDirectory(p)
}

// seesDirectory answers for the events that are about no secret.
func seesDirectory(p domain.Principal) domain.Decision {
	if d := p.MayAudit(p.Org); d.Allowed {
		return d
	}
	return p.MayAdminister(p.Org)
}

// maySee answers for one event of the caller's own organization.
func maySee(p domain.Principal, r domain.Recorded) domain.Decision {
	if ref, ok := concerns(r); ok {
		return p.May(domain.ActionHistory, ref.Scope)
	}
	return seesDirectory(p)
}
