package domain_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// eventTypes lists the stored names of every event, as the design gives them.
func eventTypes() []domain.EventType {
	names := strings.Fields(`
		secret.created secret.field_set secret.field_removed secret.renamed secret.reclassified secret.scheduled secret.deleted
		membership.granted membership.revoked apikey.issued apikey.revoked key.destroyed`)
	for _, kind := range []string{"org", "team", "project"} {
		names = append(names, kind+".created", kind+".renamed", kind+".archived", kind+".restored")
	}
	names = append(names, "agent.registered", "agent.renamed", "agent.archived", "agent.restored")
	var types []domain.EventType
	for _, n := range names {
		types = append(types, domain.EventType(n))
	}
	return types
}

// streamFor gives the stream on which events of a type lie.
func streamFor(t domain.EventType) domain.Stream {
	switch kind, _, _ := strings.Cut(string(t), "."); kind {
	case "secret":
		return domain.SecretStream{Ref: secretRef()}
	case "key":
		return domain.KeysStream{Org: home}
	default:
		return domain.DirectoryStream{Org: home}
	}
}

func drawULID(t *rapid.T, label string) (u ulid.ULID) {
	// 80 random bits are enough; a whole ULID's first bits must be small.
	copy(u[1:], rapid.SliceOfN(rapid.Byte(), 15, 15).Draw(t, label))
	u[15] |= 1
	return u
}

func drawKeks(t *rapid.T) []domain.KekID {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) domain.KekID { return domain.KekID(drawULID(t, "kek")) }), 1, 3).Draw(t, "keks")
}

// drawStored gives a field as an event in the log has it.
func drawStored(t *rapid.T, key domain.FieldKey) domain.Field {
	if rapid.Bool().Draw(t, "encrypted") {
		return domain.Field{Key: key, Value: drawEnvelope(t), DekID: domain.DekID(drawULID(t, "dek"))}
	}
	box := rapid.SliceOfN(rapid.Byte(), 28, 40).Draw(t, "box")
	return domain.Field{Key: key, Value: domain.Sealed{KekID: domain.KekID(drawULID(t, "kek")), EventID: drawULID(t, "event"), Box: box}}
}

func drawScope(t *rapid.T, kind domain.ScopeKind) domain.Scope {
	return domain.Scope{Kind: kind, ID: kind.Prefix() + drawULID(t, "scope").String()}
}

func drawChange(t *rapid.T, draw func(*rapid.T) string) *domain.Change[string] {
	return &domain.Change[string]{From: new(draw(t)), To: draw(t)}
}

// drawChanges changes what a PATCH may change, the name if asked to.
func drawChanges(t *rapid.T, name bool) (c domain.Changes) {
	if name {
		c.Name = drawChange(t, drawName)
	}
	if rapid.Bool().Draw(t, "with category") {
		c.Category = drawChange(t, drawCategory)
	}
	if rapid.Bool().Draw(t, "with tags") || c.Name == nil && c.Category == nil {
		c.Tags = &domain.Change[[]string]{From: new(drawTags(t)), To: drawTags(t)}
	}
	if rapid.Bool().Draw(t, "with schedule") {
		schedule := drawSchedule(t)
		c.RotateEvery, c.ExpiresAt = schedule.RotateEvery, schedule.ExpiresAt
	}
	return c
}

// drawSchedule changes one of both or both: sets, replaces or takes away.
func drawSchedule(t *rapid.T) (c domain.Changes) {
	which := rapid.IntRange(1, 3).Draw(t, "which")
	if which&1 != 0 {
		c.RotateEvery = &domain.Change[domain.RotateEvery]{To: drawRotateEvery(t, 1)}
		if rapid.Bool().Draw(t, "had rotation") {
			c.RotateEvery = &domain.Change[domain.RotateEvery]{From: new(drawRotateEvery(t, 1)), To: drawRotateEvery(t, 0)}
		}
	}
	if which&2 != 0 {
		c.ExpiresAt = &domain.Change[time.Time]{To: drawExpiry(t, false)}
		if rapid.Bool().Draw(t, "had expiry") {
			c.ExpiresAt = &domain.Change[time.Time]{From: new(drawExpiry(t, false)), To: drawExpiry(t, true)}
		}
	}
	return c
}

// drawEvent gives an event of the type as the log holds it.
func drawEvent(t *rapid.T, typ domain.EventType) domain.Event {
	agent := domain.AgentID(domain.AgentPrefix + drawULID(t, "agent").String())
	key := domain.APIKeyID(domain.KeyPrefix + drawULID(t, "api key").String())
	switch typ { //nolint:exhaustive // what begins with a scope's kind is made below.
	case domain.TypeSecretCreated:
		e := domain.SecretCreated{Name: drawName(t), Category: drawCategory(t), Tags: drawTags(t), KekIDs: drawKeks(t)}
		for _, f := range drawFields(t) {
			e.Fields = append(e.Fields, drawStored(t, f.Key))
		}
		slices.SortFunc(e.Fields, func(a, b domain.Field) int { return strings.Compare(string(a.Key), string(b.Key)) })
		return e
	case domain.TypeFieldSet:
		return domain.FieldSet{Field: drawStored(t, drawFieldKey(t))}
	case domain.TypeFieldRemoved:
		return domain.FieldRemoved{Key: drawFieldKey(t), Sensitivity: drawGiven(t).Sensitivity()}
	case domain.TypeSecretRenamed:
		return domain.SecretRenamed{Changes: drawChanges(t, true)}
	case domain.TypeSecretReclassified:
		return domain.SecretReclassified{Changes: drawChanges(t, false)}
	case domain.TypeSecretScheduled:
		return domain.SecretScheduled{Changes: drawSchedule(t)}
	case domain.TypeSecretDeleted:
		return domain.SecretDeleted{KekIDs: drawKeks(t)}
	case domain.TypeMembershipGranted:
		return domain.MembershipGranted{Agent: agent, Scope: drawScope(t, domain.ScopeTeam), Role: domain.RoleReader}
	case domain.TypeMembershipRevoked:
		return domain.MembershipRevoked{Agent: agent, Scope: drawScope(t, domain.ScopeOrg), Role: domain.RoleAuditor}
	case domain.TypeAPIKeyIssued:
		e := domain.APIKeyIssued{ID: key, Agent: agent, LookupID: "lookup12char", Hash: [32]byte{1, 2, 3}}
		if rapid.Bool().Draw(t, "expires") {
			e.ExpiresAt, e.Note = genesis().Add(time.Hour), "for CI"
		}
		return e
	case domain.TypeAPIKeyRevoked:
		return domain.APIKeyRevoked{ID: key, Agent: agent}
	case domain.TypeKeyDestroyed:
		return domain.KeyDestroyed{Ref: secretRef(), KekIDs: drawKeks(t)}
	}
	kind, verb, _ := strings.Cut(string(typ), ".")
	scope := drawScope(t, domain.ScopeKind(kind))
	switch verb {
	case "renamed":
		return domain.ScopeRenamed{Scope: scope, Name: *drawChange(t, drawName)}
	case "archived":
		return domain.ScopeArchived{Scope: scope}
	case "restored":
		return domain.ScopeRestored{Scope: scope}
	default:
		e := domain.ScopeCreated{Scope: scope, Name: drawName(t)}
		if scope.Kind == domain.ScopeProject && rapid.Bool().Draw(t, "in a team") {
			e.TeamID = drawScope(t, domain.ScopeTeam).ID
		}
		return e
	}
}

// The stored names are literals that never change.
func TestEventTypes(t *testing.T) {
	for _, typ := range eventTypes() {
		rapid.Check(t, func(t *rapid.T) {
			if got := drawEvent(t, typ).Type(); got != typ {
				t.Fatalf("Type() = %s, want %s", got, typ)
			}
		})
	}
	if n := len(eventTypes()); n != 28 {
		t.Errorf("the fixtures know %d types, the design has 28", n)
	}
}
