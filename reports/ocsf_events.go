package reports

import (
	"github.com/chancery-dev/chancery/domain"
)

// ocsfOfEvent gives an event as a record: what changed a secret is Datastore
// Activity, what changed the directory or a key is Entity Management.
func ocsfOfEvent(e Event, names ocsfNames) ocsfRecord {
	org := e.Stream.Organization()
	o := actOfEvent(e.Type).record(e.At, e.Time)
	o.outcome(domain.OutcomeAllowed, "", "")
	// Who acts may be of another organization, which an event does not say.
	o.from(e.Actor, "", names.actor, e.Origin, "", "")
	o.Metadata.place(LogEvents, e.ID.String(), string(e.Type), e.Position, org, e.Origin.RequestID)
	o.Message, o.Unmapped.Version, o.Unmapped.ScopeName = string(e.Type), e.Version, names.scope
	d := e.Details
	if o.ClassUID == classDatastore {
		o.at(org, d.Scope, d.SecretID)
		o.Message += " " + pathOf(d.Scope, d.SecretID)
		o.Unmapped.Fields, o.Unmapped.Changes = fieldTexts(d.Fields), changeTexts(d)
		return o
	}
	o.Comment, o.Unmapped.Reason = e.Origin.Reason, ""
	o.Entity = entityOf(e, names.scope)
	o.Message += " " + o.Entity.UID
	return o
}

// actOfEvent maps event types to activities.
func actOfEvent(t domain.EventType) act {
	switch t {
	case domain.TypeSecretCreated:
		return act{classDatastore, 6, "Create"}
	case domain.TypeFieldSet:
		return act{classDatastore, 5, "Write"}
	case domain.TypeSecretRenamed, domain.TypeSecretReclassified, domain.TypeSecretScheduled:
		return act{classDatastore, 2, "Update"}
	case domain.TypeFieldRemoved, domain.TypeSecretDeleted:
		return act{classDatastore, 7, "Delete"}
	case domain.TypeOrgCreated, domain.TypeTeamCreated, domain.TypeProjectCreated, domain.TypeAgentRegistered,
		domain.TypeMembershipGranted, domain.TypeAPIKeyIssued:
		return act{classEntity, 1, "Create"}
	case domain.TypeOrgRenamed, domain.TypeTeamRenamed, domain.TypeProjectRenamed, domain.TypeAgentRenamed:
		return act{classEntity, 5, "Move"} // "Move or rename"
	case domain.TypeOrgArchived, domain.TypeTeamArchived, domain.TypeProjectArchived, domain.TypeAgentArchived:
		return act{classEntity, 9, "Disable"}
	case domain.TypeOrgRestored, domain.TypeTeamRestored, domain.TypeProjectRestored, domain.TypeAgentRestored:
		return act{classEntity, 8, "Enable"}
	case domain.TypeMembershipRevoked, domain.TypeAPIKeyRevoked, domain.TypeKeyDestroyed:
		return act{classEntity, 4, "Delete"}
	}
	return other(classEntity, string(t))
}

// entityOf gives what a directory event changed, or whose keys are gone. name
// is what its scope is called.
func entityOf(e Event, name string) *ocsfEntity {
	d := e.Details
	data := &ocsfData{Org: string(e.Stream.Organization()), Changes: changeTexts(d)}
	entity := &ocsfEntity{TypeID: 99, Data: data}
	switch e.Type { //nolint:exhaustive // the others are about a scope.
	case domain.TypeMembershipGranted, domain.TypeMembershipRevoked:
		data.Scope, data.Agent, data.Role, data.Changes = pathOf(d.Scope, ""), string(d.Agent), string(d.Role), nil
		entity.Type, entity.UID = "Membership", data.Agent+" "+data.Role+" "+data.Scope
		return entity
	case domain.TypeAPIKeyIssued, domain.TypeAPIKeyRevoked:
		data.Agent = string(d.Agent)
		entity.Type, entity.UID = "API key", string(d.KeyID)
		return entity
	case domain.TypeKeyDestroyed:
		data.Secret, data.KeyIDs, data.Changes = pathOf(d.Scope, d.SecretID), kekTexts(d.KekIDs), nil
		entity.Type, entity.UID = "Secret keys", data.Secret
		return entity
	}
	entity.UID, entity.Name = d.Scope.ID, name
	named := &ocsfNamed{UID: entity.UID, Name: name}
	switch d.Scope.Kind {
	case domain.ScopeOrg:
		entity.TypeID, entity.Type, entity.Org = 4, "Organization", named
	case domain.ScopeTeam:
		entity.TypeID, entity.Type, entity.Group = 3, "Group", named
	case domain.ScopeAgent:
		entity.TypeID, entity.Type = 2, "User"
		entity.User = &ocsfUser{UID: entity.UID, Name: name, TypeID: 99, Type: "Agent"}
	case domain.ScopeProject:
		entity.Type = "Project"
	}
	return entity
}
