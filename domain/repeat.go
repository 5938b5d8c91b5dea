package domain

import (
	"slices"
	"strings"
)

// RepeatsSecret says whether a command is a repetition of the one that led to
// an event: whether deciding it on the state just before the event gives the
// same content. before needs no values: what an event holds was new or
// another than what was there, so the command means the same event exactly
// when it has the same content. The event's values must be opened.
func RepeatsSecret(before Secret, c SecretCommand, e Event) bool {
	switch c := c.(type) {
	case CreateSecret:
		return c.Expect.none() && SameContent(SecretCreated{
			Name: c.Name, Category: c.Category, Tags: c.Tags, Fields: sortedFields(c.Fields),
		}, e)
	case SetField:
		return c.Expect.check(before.Version) == nil && SameContent(FieldSet{Field: c.Field}, e)
	case RemoveField:
		return c.Expect.check(before.Version) == nil && SameContent(FieldRemoved{Key: c.Key}, e)
	case UpdateMetadata:
		again, err := Decide(before, c)
		return err == nil && SameContent(again, e)
	case DeleteSecret:
		return c.Expect.check(before.Version) == nil && SameContent(SecretDeleted{}, e)
	}
	return false
}

// RepeatsDirectory is RepeatsSecret for the directory. Its commands name all
// of their events' content, so no state is needed.
func RepeatsDirectory(c DirectoryCommand, e Event) bool {
	switch c := c.(type) {
	case CreateScope:
		return SameContent(ScopeCreated(c), e)
	case RenameScope:
		return SameContent(ScopeRenamed{Scope: c.Scope, Name: Change[string]{To: c.Name}}, e)
	case SetArchived:
		if c.Archived {
			return SameContent(ScopeArchived{Scope: c.Scope}, e)
		}
		return SameContent(ScopeRestored{Scope: c.Scope}, e)
	case GrantMembership:
		return SameContent(MembershipGranted(c), e)
	case RevokeMembership:
		if revoked, ok := e.(MembershipRevoked); ok && c.Role == "" && revoked.Role.Ranked() {
			c.Role = revoked.Role
		}
		return SameContent(MembershipRevoked(c), e)
	case IssueKey:
		return SameContent(APIKeyIssued(c), e)
	case RevokeKey:
		return SameContent(APIKeyRevoked(c), e)
	}
	return false
}

func sortedFields(fields []Field) []Field {
	sorted := slices.Clone(fields)
	slices.SortFunc(sorted, func(a, b Field) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return sorted
}
