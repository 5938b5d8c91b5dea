package domain

// SecretOperation and DirectoryOperation name what a request does by its
// method and path, EventOperation names what request an event came from. An
// Idempotency-Key is scoped to (agent, operation), so a command and the event
// that it led to give the same operation.

// SecretOperation gives the operation of a command on a secret.
func SecretOperation(ref SecretRef, c SecretCommand) string {
	switch c := c.(type) {
	case CreateSecret:
		return "PUT secret/" + ref.String()
	case SetField:
		return "PUT field/" + ref.String() + "/" + string(c.Field.Key)
	case RemoveField:
		return "DELETE field/" + ref.String() + "/" + string(c.Key)
	case UpdateMetadata:
		return "PATCH secret/" + ref.String()
	case DeleteSecret:
		return "DELETE secret/" + ref.String()
	}
	return ""
}

// DirectoryOperation gives the operation of a command on a directory.
func DirectoryOperation(org OrgID, c DirectoryCommand) string {
	switch c := c.(type) {
	case CreateScope:
		return createScopeOperation(org, c.Scope.Kind)
	case RenameScope:
		return "PATCH scope/" + string(org) + "/" + c.Scope.String()
	case SetArchived:
		return "PATCH scope/" + string(org) + "/" + c.Scope.String()
	case GrantMembership:
		return "PUT " + membershipPath(org, c.Agent, c.Scope)
	case RevokeMembership:
		return "DELETE " + membershipPath(org, c.Agent, c.Scope)
	case IssueKey:
		return "POST keys/" + string(org) + "/" + string(c.Agent)
	case RevokeKey:
		return "DELETE keys/" + string(org) + "/" + string(c.Agent) + "/" + string(c.ID)
	}
	return ""
}

// EventOperation gives the operation whose request appended the event, "" for
// events that no request asks for.
func EventOperation(stream Stream, event Event) string {
	switch s := stream.(type) {
	case SecretStream:
		return secretEventOperation(s.Ref, event)
	case DirectoryStream:
		return directoryEventOperation(s.Org, event)
	case KeysStream:
	}
	return ""
}

func secretEventOperation(ref SecretRef, event Event) string {
	switch e := event.(type) { //nolint:gochecksumtype // directory events do not lie here.
	case SecretCreated:
		return SecretOperation(ref, CreateSecret{})
	case FieldSet:
		return SecretOperation(ref, SetField{Field: e.Field})
	case FieldRemoved:
		return SecretOperation(ref, RemoveField{Key: e.Key})
	case SecretRenamed, SecretReclassified, SecretScheduled:
		return SecretOperation(ref, UpdateMetadata{})
	case SecretDeleted:
		return SecretOperation(ref, DeleteSecret{})
	default:
		return ""
	}
}

func directoryEventOperation(org OrgID, event Event) string {
	switch e := event.(type) { //nolint:gochecksumtype // secret events do not lie here.
	case ScopeCreated:
		return createScopeOperation(org, e.Scope.Kind)
	case ScopeRenamed:
		return DirectoryOperation(org, RenameScope{Scope: e.Scope})
	case ScopeArchived:
		return DirectoryOperation(org, SetArchived{Scope: e.Scope})
	case ScopeRestored:
		return DirectoryOperation(org, SetArchived{Scope: e.Scope})
	case MembershipGranted:
		return "PUT " + membershipPath(org, e.Agent, e.Scope)
	case MembershipRevoked:
		return "DELETE " + membershipPath(org, e.Agent, e.Scope)
	case APIKeyIssued:
		return DirectoryOperation(org, IssueKey{Agent: e.Agent})
	case APIKeyRevoked:
		return DirectoryOperation(org, RevokeKey{Agent: e.Agent, ID: e.ID})
	default:
		return ""
	}
}

// createScopeOperation leaves the org out where the org itself is made: that
// path names none.
func createScopeOperation(org OrgID, kind ScopeKind) string {
	if kind == ScopeOrg {
		return "POST orgs"
	}
	return "POST " + string(kind) + "s/" + string(org)
}

func membershipPath(org OrgID, agent AgentID, scope Scope) string {
	return "membership/" + string(org) + "/" + string(agent) + "/" + scope.String()
}
