package eventstore

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// The cast of the tests. Everything is fixed: golden files depend on it.
const (
	sampleOrg   domain.OrgID    = "org_01JD3Z8Q7G00000000000000A1"
	otherOrg    domain.OrgID    = "org_01JD3Z8Q7G00000000000000A2"
	sampleAgent domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B1"
	sampleKey   domain.APIKeyID = "key_01JD3Z8Q7G00000000000000C1"
	teamID                      = "team_01JD3Z8Q7G00000000000000D1"
	projectID                   = "proj_01JD3Z8Q7G00000000000000E1"
	fourBytes                   = "\U0001F511" // one character of four bytes
)

var sampleTime = time.Date(2026, 11, 23, 8, 9, 10, 45_000_000, time.UTC)

type sample struct {
	stream domain.Stream
	p      domain.Proposed
}

func sampleRef(id domain.SecretID) domain.SecretRef {
	return domain.SecretRef{Org: sampleOrg, Scope: domain.Scope{Kind: domain.ScopeAgent, ID: string(sampleAgent)}, ID: id}
}

func secretStream(id domain.SecretID) domain.Stream { return domain.SecretStream{Ref: sampleRef(id)} }

// eventID gives a fixed id, different for each n.
func eventID(n uint64) ulid.ULID {
	var u ulid.ULID
	if err := u.SetTime(ulid.Timestamp(sampleTime)); err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint64(u[8:], n)
	return u
}

func kek(b byte) (k domain.KekID) {
	for i := range k {
		k[i] = b
	}
	return k
}

func sealed(id ulid.ULID, key domain.FieldKey, text string) domain.Field {
	return domain.Field{Key: key, Value: domain.Sealed{KekID: kek(0xa1), EventID: id, Box: []byte("nonce-nonce-" + text + "-sixteen-tag-16b")}}
}

func envelope(key domain.FieldKey, ciphertext string) domain.Field {
	e := domain.Envelope{Ciphertext: []byte(ciphertext), DataKey: strings.Repeat("AQEC", 50)}
	copy(e.IV[:], "iv-iv-iv-iv-")
	copy(e.AuthTag[:], "tag-tag-tag-tag-")
	return domain.Field{Key: key, Value: e, DekID: domain.DekID(eventID(4711))}
}

func ptr[T any](v T) *T { return &v }

// proposed gives an event by an agent, with every member of its origin.
func proposed(n uint64, event domain.Event) domain.Proposed {
	return domain.Proposed{
		ID: eventID(n), Version: n, Time: sampleTime,
		Actor: domain.Actor{Kind: domain.ActorAgent, ID: string(sampleAgent), KeyID: sampleKey},
		Origin: domain.Origin{
			RequestID: "req-1", ClientIP: "2001:db8::1", UserAgent: "chancery/1.0 (\"test\")",
			Reason: "rotation <quarterly> & \\ok " + fourBytes, RunID: "run\u2028\u0085 7", IdempotencyKey: "idem:1",
		},
		Event: event,
	}
}

// bySystem gives an event by the server itself, without an origin.
func bySystem(n uint64, event domain.Event) domain.Proposed {
	p := proposed(n, event)
	p.Actor, p.Origin = domain.Actor{Kind: domain.ActorSystem, ID: "bootstrap"}, domain.Origin{}
	return p
}

// samples are events of every type, with every optional member there and not
// there. Their names are those of the golden files.
func samples() map[string]sample {
	secret, directory := secretStream("db-password"), domain.DirectoryStream{Org: sampleOrg}
	keks := []domain.KekID{kek(0xa1), kek(0x02)}
	all := map[string]sample{
		"secret.created": {secret, proposed(1, domain.SecretCreated{
			Name: "Database " + fourBytes, Category: "database", Tags: []string{"prod", "täglich"}, KekIDs: keks,
			Fields: []domain.Field{envelope("password", "ciphertext"), sealed(eventID(1), "user.name", "alice")},
		})},
		"secret.created-bare": {secret, bySystem(2, domain.SecretCreated{Name: "n", Category: "c", KekIDs: keks[:1]})},
		"secret.field_set":    {secret, proposed(3, domain.FieldSet{Field: envelope("password", strings.Repeat("x", 300))})},
		"secret.field_set-plaintext": {secret, proposed(4, domain.FieldSet{
			Field: sealed(eventID(4), "host", "db.example"),
		})},
		"secret.field_removed": {secret, proposed(5, domain.FieldRemoved{Key: "host", Sensitivity: domain.SensitivityPlaintext})},
		"secret.renamed": {secret, proposed(6, domain.SecretRenamed{Changes: domain.Changes{
			Name:     &domain.Change[string]{From: ptr("old"), To: "new\ttab\x7f\"quoted\""},
			Category: &domain.Change[string]{From: ptr("database"), To: "api"},
			Tags:     &domain.Change[[]string]{From: ptr([]string{"prod"}), To: nil},
		}})},
		"secret.reclassified": {secret, proposed(7, domain.SecretReclassified{Changes: domain.Changes{
			Tags: &domain.Change[[]string]{From: ptr([]string(nil)), To: []string{"a", "b"}},
		}})},
		"secret.reclassified-rescheduled": {secret, proposed(40, domain.SecretReclassified{Changes: domain.Changes{
			Category:    &domain.Change[string]{From: ptr("database"), To: "api"},
			RotateEvery: &domain.Change[domain.RotateEvery]{From: ptr(domain.RotateEvery(90)), To: 30},
			ExpiresAt:   &domain.Change[time.Time]{From: ptr(sampleTime), To: sampleTime.AddDate(1, 0, 0)},
		}})},
		"secret.scheduled": {secret, proposed(41, domain.SecretScheduled{Changes: domain.Changes{
			RotateEvery: &domain.Change[domain.RotateEvery]{To: 90},
			ExpiresAt:   &domain.Change[time.Time]{To: sampleTime.AddDate(1, 0, 0)},
		}})},
		"secret.scheduled-taken_away": {secret, proposed(42, domain.SecretScheduled{Changes: domain.Changes{
			RotateEvery: &domain.Change[domain.RotateEvery]{From: ptr(domain.RotateEvery(3650))},
			ExpiresAt:   &domain.Change[time.Time]{From: ptr(sampleTime)},
		}})},
		"secret.deleted": {secret, proposed(8, domain.SecretDeleted{KekIDs: keks})},
		"membership.granted": {directory, proposed(30, domain.MembershipGranted{
			Agent: sampleAgent, Scope: domain.Scope{Kind: domain.ScopeTeam, ID: teamID}, Role: domain.RoleWriter,
		})},
		"membership.revoked": {directory, proposed(31, domain.MembershipRevoked{
			Agent: sampleAgent, Scope: domain.Scope{Kind: domain.ScopeOrg, ID: string(sampleOrg)}, Role: domain.RoleAuditor,
		})},
		"apikey.issued": {directory, proposed(32, domain.APIKeyIssued{
			ID: sampleKey, Agent: sampleAgent, LookupID: "abcDEF012345", Hash: [32]byte{1, 2, 3, 31: 0xff},
			ExpiresAt: sampleTime.AddDate(1, 0, 0), Note: "ci",
		})},
		"apikey.issued-bare": {directory, bySystem(33, domain.APIKeyIssued{
			ID: sampleKey, Agent: sampleAgent, LookupID: "abcDEF012345", Hash: [32]byte{9},
		})},
		"apikey.revoked": {directory, proposed(34, domain.APIKeyRevoked{ID: sampleKey, Agent: sampleAgent})},
		"key.destroyed": {domain.KeysStream{Org: sampleOrg}, bySystem(35, domain.KeyDestroyed{
			Ref: sampleRef("db-password"), KekIDs: keks,
		})},
		"project.created-in_team": {directory, proposed(36, domain.ScopeCreated{
			Scope: domain.Scope{Kind: domain.ScopeProject, ID: projectID}, Name: "Apollo", TeamID: teamID,
		})},
	}
	scopes := []domain.Scope{
		{Kind: domain.ScopeOrg, ID: string(sampleOrg)},
		{Kind: domain.ScopeTeam, ID: teamID},
		{Kind: domain.ScopeProject, ID: projectID},
		{Kind: domain.ScopeAgent, ID: string(sampleAgent)},
	}
	for i, scope := range scopes {
		n := uint64(10 + 4*i)
		for k, event := range []domain.Event{
			domain.ScopeCreated{Scope: scope, Name: "Name"},
			domain.ScopeRenamed{Scope: scope, Name: domain.Change[string]{From: ptr("Name"), To: "Other"}},
			domain.ScopeArchived{Scope: scope},
			domain.ScopeRestored{Scope: scope},
		} {
			all[string(event.Type())] = sample{directory, proposed(n+uint64(k), event)}
		}
	}
	return all
}

// fieldSet gives a small event for a secret's stream.
func fieldSet(n, version uint64) domain.Proposed {
	p := proposed(n, domain.FieldSet{Field: sealed(eventID(n), "host", "value")})
	p.Version = version
	return p
}
