package reports

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// The cast of the scenario. Everything is fixed: golden files depend on it.
const (
	home   domain.OrgID    = "org_01JD3Z8Q7G00000000000000A1" // the bootstrap organization
	abroad domain.OrgID    = "org_01JD3Z8Q7G00000000000000A2"
	ada    domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B1" // administrator
	ben    domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B2"
	cora   domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B3" // auditor
	dora   domain.AgentID  = "agt_01JD3Z8Q7G00000000000000B4" // abroad
	adaKey domain.APIKeyID = "key_01JD3Z8Q7G00000000000000C1"
	benKey domain.APIKeyID = "key_01JD3Z8Q7G00000000000000C2"
	team                   = "team_01JD3Z8Q7G00000000000000D1"
	proj                   = "proj_01JD3Z8Q7G00000000000000E1"
	hidden                 = "hidden-value-that-no-report-shows"
)

var start = time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)

func scope(kind domain.ScopeKind, id string) domain.Scope { return domain.Scope{Kind: kind, ID: id} }

// story appends to a log, an hour an event.
type story struct {
	t        testing.TB
	log      *eventstore.Memory
	heads    map[string]uint64
	versions map[string]uint64
	n        uint64
	events   []domain.Recorded
}

func newStory(t testing.TB) *story {
	return &story{
		t: t, log: eventstore.NewMemory(func() time.Time { return start }, nil),
		heads: map[string]uint64{}, versions: map[string]uint64{},
	}
}

func (s *story) id() (u ulid.ULID) {
	_ = u.SetTime(ulid.Timestamp(start))
	binary.BigEndian.PutUint64(u[8:], s.n)
	return u
}

func (s *story) add(stream domain.Stream, actor domain.AgentID, event domain.Event) {
	s.t.Helper()
	s.n++
	subject := stream.Subject()
	p := domain.Proposed{
		ID: s.id(), Version: s.versions[subject] + 1, Time: start.Add(time.Duration(s.n) * time.Hour),
		Actor:  domain.Actor{Kind: domain.ActorAgent, ID: string(actor), KeyID: adaKey},
		Origin: domain.Origin{RequestID: "req-1", ClientIP: "192.0.2.1", UserAgent: "test/1", Reason: "=cmd|' /C calc'!A0", RunID: "run-1"},
		Event:  event,
	}
	if actor == "" {
		p.Actor, p.Origin = domain.Actor{Kind: domain.ActorSystem, ID: "bootstrap"}, domain.Origin{}
	}
	r, err := s.log.Append(s.t.Context(), stream, s.heads[subject], p)
	if err != nil {
		s.t.Fatalf("event %d: %v", s.n, err)
	}
	s.heads[subject], s.versions[subject] = r.Position, p.Version
	s.events = append(s.events, r)
}

func kek(b byte) (k domain.KekID) {
	for i := range k {
		k[i] = b
	}
	return k
}

func (s *story) field(key domain.FieldKey) domain.Field {
	s.n++
	id := s.id()
	s.n--
	return domain.Field{Key: key, Value: domain.Sealed{KekID: kek(1), EventID: id, Box: []byte("nonce-nonce-" + hidden + "-sixteen-tag-16b")}}
}

func ref(id domain.SecretID) domain.SecretRef {
	return domain.SecretRef{Org: home, Scope: scope(domain.ScopeProject, proj), ID: id}
}

func ptr[T any](v T) *T { return &v }

// scenario is a small history with every type of event, and what was asked of
// the store meanwhile.
func scenario(t testing.TB) Source {
	s := newStory(t)
	dir, far, keys := domain.DirectoryStream{Org: home}, domain.DirectoryStream{Org: abroad}, domain.KeysStream{Org: home}
	db, tmp := domain.SecretStream{Ref: ref("db")}, domain.SecretStream{Ref: ref("tmp")}
	org := scope(domain.ScopeOrg, string(home))
	grant := func(a domain.AgentID, sc domain.Scope, r domain.Role) {
		s.add(dir, ada, domain.MembershipGranted{Agent: a, Scope: sc, Role: r})
	}
	s.add(dir, "", domain.ScopeCreated{Scope: org, Name: "Home"})
	s.add(dir, "", domain.ScopeCreated{Scope: scope(domain.ScopeAgent, string(ada)), Name: "Ada"})
	s.add(dir, "", domain.MembershipGranted{Agent: ada, Scope: org, Role: domain.RoleAdmin})
	s.add(dir, "", domain.APIKeyIssued{ID: adaKey, Agent: ada, LookupID: "abcDEF012345", Hash: [32]byte{1}})
	s.add(dir, ada, domain.ScopeCreated{Scope: scope(domain.ScopeTeam, team), Name: "Red"})
	s.add(dir, ada, domain.ScopeCreated{Scope: scope(domain.ScopeProject, proj), Name: "Rocket", TeamID: team})
	s.add(dir, ada, domain.ScopeCreated{Scope: scope(domain.ScopeAgent, string(ben)), Name: "Ben"})
	s.add(dir, ada, domain.ScopeCreated{Scope: scope(domain.ScopeAgent, string(cora)), Name: "Cora"})
	grant(ben, scope(domain.ScopeProject, proj), domain.RoleWriter)
	grant(ben, scope(domain.ScopeTeam, team), domain.RoleViewer)
	grant(cora, org, domain.RoleAuditor)
	s.add(dir, ada, domain.APIKeyIssued{
		ID: benKey, Agent: ben, LookupID: "abcDEF012346", Hash: [32]byte{2}, ExpiresAt: start.Add(40 * time.Hour), Note: "+ci",
	})
	s.add(db, ben, domain.SecretCreated{
		Name: "Database", Category: "database", Tags: []string{"prod"}, KekIDs: []domain.KekID{kek(1)}, Fields: []domain.Field{s.field("host")},
	})
	s.add(db, ben, domain.FieldSet{Field: s.field("user")})
	s.add(db, ben, domain.FieldRemoved{Key: "host", Sensitivity: domain.SensitivityPlaintext})
	s.add(db, ben, domain.SecretRenamed{Changes: domain.Changes{Name: &domain.Change[string]{From: ptr("Database"), To: "@Data\tbase"}}})
	s.add(db, ben, domain.SecretReclassified{Changes: domain.Changes{Category: &domain.Change[string]{From: ptr("database"), To: "api"}}})
	s.add(db, ben, domain.SecretScheduled{Changes: domain.Changes{
		RotateEvery: &domain.Change[domain.RotateEvery]{To: 1}, ExpiresAt: &domain.Change[time.Time]{To: start.Add(30 * time.Hour)},
	}})
	s.add(tmp, ben, domain.SecretCreated{Name: "Temporary", Category: "general", KekIDs: []domain.KekID{kek(2), kek(3)}})
	s.add(tmp, ben, domain.SecretDeleted{KekIDs: []domain.KekID{kek(2), kek(3)}})
	s.add(keys, "", domain.KeyDestroyed{Ref: ref("tmp"), KekIDs: []domain.KekID{kek(2), kek(3)}})
	s.add(tmp, ben, domain.SecretCreated{Name: "Again", Category: "general", KekIDs: []domain.KekID{kek(4)}})
	s.add(tmp, ben, domain.SecretDeleted{KekIDs: []domain.KekID{kek(4)}})
	for _, sc := range []domain.Scope{scope(domain.ScopeProject, proj), scope(domain.ScopeTeam, team), scope(domain.ScopeAgent, string(ben)), org} {
		s.add(dir, ada, domain.ScopeRenamed{Scope: sc, Name: domain.Change[string]{From: ptr("Old"), To: "New " + string(sc.Kind)}})
		s.add(dir, ada, domain.ScopeArchived{Scope: sc})
		s.add(dir, ada, domain.ScopeRestored{Scope: sc})
	}
	s.add(dir, ada, domain.MembershipRevoked{Agent: ben, Scope: scope(domain.ScopeTeam, team), Role: domain.RoleViewer})
	s.add(dir, ada, domain.APIKeyRevoked{ID: benKey, Agent: ben})
	s.add(far, ada, domain.ScopeCreated{Scope: scope(domain.ScopeOrg, string(abroad)), Name: "Abroad"})
	s.add(far, ada, domain.ScopeCreated{Scope: scope(domain.ScopeAgent, string(dora)), Name: "Dora"})
	log := s.log
	access := &accessLog{messages: accessStory()}
	return Source{Events: log, Access: access, Signer: newTestSigner(), Checkpoints: checkpoints{
		LogEvents: {{Size: 10, Note: "events 10"}, {Size: s.n, Note: "events all"}},
		LogAccess: {{Size: 2, Note: "access 2"}, {Size: 3, Note: "access all"}},
	}}
}

// accessStory is the access log of the scenario.
func accessStory() []domain.AccessMessage {
	at := func(hour int) time.Time { return start.Add(time.Duration(hour)*time.Hour + time.Minute) }
	byBen := domain.Access{
		Org: home, Target: home, Actor: domain.Actor{Kind: domain.ActorAgent, ID: string(ben), KeyID: benKey},
		Scope: scope(domain.ScopeProject, proj), Secret: "db", Outcome: domain.OutcomeAllowed, Rule: domain.RuleDirectMembership,
		Method: "GET", Route: "/agent/secrets/:scope/:scopeId/:secretId", Origin: domain.Origin{RequestID: "req-9", ClientIP: "192.0.2.9"},
	}
	with := func(a domain.Access, change func(*domain.Access)) domain.Access {
		change(&a)
		return a
	}
	denied := func(a *domain.Access) {
		a.Time, a.Action, a.Outcome, a.Code, a.Rule = at(16), "read", domain.OutcomeDenied, domain.CodeForbidden, domain.RuleNoMembership
		a.Count, a.Until = 7, at(17)
	}
	byCora := func(hour int, action string) domain.Access {
		return domain.Access{
			Org: home, Target: home, Actor: domain.Actor{Kind: domain.ActorAgent, ID: string(cora)}, Action: action, Time: at(hour),
			Outcome: domain.OutcomeAllowed, Rule: domain.RuleAuditor, Method: "GET", Detail: "changes jsonl",
		}
	}
	return []domain.AccessMessage{
		{Position: 1, Records: []domain.Access{
			{Action: domain.AccessStart, Actor: domain.Actor{Kind: domain.ActorSystem, ID: "server"}, Time: at(0), Outcome: domain.OutcomeAllowed},
			with(byBen, func(a *domain.Access) { a.Time, a.Action = at(13), "read" }),
		}},
		{Position: 2, Records: []domain.Access{
			with(byBen, func(a *domain.Access) { a.Time, a.Action, a.Field = at(15), "release", "user" }),
			with(byBen, denied),
			{
				Action: domain.AccessAuthenticate, Outcome: domain.OutcomeFailed, Code: domain.CodeUnauthenticated, Time: at(18),
				Origin: domain.Origin{ClientIP: "203.0.113.5"},
			},
			with(byBen, func(a *domain.Access) {
				a.Time, a.Action, a.Scope, a.Secret = at(19), domain.AccessAdmin, domain.Scope{}, ""
			}),
		}},
		{Position: 3, Records: []domain.Access{
			byCora(20, domain.AccessAudit), byCora(21, domain.AccessReport),
			{Org: abroad, Target: abroad, Actor: domain.Actor{Kind: domain.ActorAgent, ID: string(dora)}, Action: "list", Time: at(22), Outcome: domain.OutcomeAllowed},
		}},
	}
}
