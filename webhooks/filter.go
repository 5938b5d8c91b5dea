package webhooks

import (
	"slices"
	"strings"

	"github.com/chancery-dev/chancery/domain"
)

// filter says which records an endpoint is given; empty parts let all through.
type filter struct {
	org    domain.OrgID
	scopes []domain.Scope     // secrets of these alone
	types  []domain.EventType // exact
}

// passes judges one record. Foreign messages are no CloudEvents: never sent.
func (f filter) passes(r domain.Recorded) bool {
	if r.Stream == nil || r.Event == nil {
		return false
	}
	if f.org != "" && r.Stream.Organization() != f.org {
		return false
	}
	if len(f.types) > 0 && !slices.Contains(f.types, r.Event.Type()) {
		return false
	}
	if len(f.scopes) == 0 {
		return true
	}
	secret, ok := r.Stream.(domain.SecretStream)
	return ok && slices.Contains(f.scopes, secret.Ref.Scope)
}

func (f filter) String() string {
	var parts []string
	if f.org != "" {
		parts = append(parts, "org="+string(f.org))
	}
	for _, s := range f.scopes {
		parts = append(parts, "scope="+s.String())
	}
	for _, t := range f.types {
		parts = append(parts, "type="+string(t))
	}
	if len(parts) == 0 {
		return "all events"
	}
	return strings.Join(parts, " ")
}

// eventTypes are the types that a filter may name.
func eventTypes() []domain.EventType {
	return []domain.EventType{
		domain.TypeSecretCreated, domain.TypeFieldSet, domain.TypeFieldRemoved, domain.TypeSecretRenamed,
		domain.TypeSecretReclassified, domain.TypeSecretScheduled, domain.TypeSecretDeleted,
		domain.TypeOrgCreated, domain.TypeOrgRenamed, domain.TypeOrgArchived, domain.TypeOrgRestored,
		domain.TypeTeamCreated, domain.TypeTeamRenamed, domain.TypeTeamArchived, domain.TypeTeamRestored,
		domain.TypeProjectCreated, domain.TypeProjectRenamed, domain.TypeProjectArchived, domain.TypeProjectRestored,
		domain.TypeAgentRegistered, domain.TypeAgentRenamed, domain.TypeAgentArchived, domain.TypeAgentRestored,
		domain.TypeMembershipGranted, domain.TypeMembershipRevoked, domain.TypeAPIKeyIssued, domain.TypeAPIKeyRevoked,
		domain.TypeKeyDestroyed,
	}
}
