package domain_test

import (
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

const (
	home   domain.OrgID    = "org_01J00000000000000000000001"
	abroad domain.OrgID    = "org_01J00000000000000000000002"
	alice  domain.AgentID  = "agt_01J0000000000000000000000A"
	bob    domain.AgentID  = "agt_01J0000000000000000000000B"
	keyOne domain.APIKeyID = "key_01J0000000000000000000000K"
	keyTwo domain.APIKeyID = "key_01J0000000000000000000000M"
)

// genesis is when the fixtures' logs begin.
func genesis() time.Time { return time.Date(2026, 11, 2, 8, 30, 0, 0, time.UTC) }

// scopes of the fixture organization, by the short names of the tables.
func scopes() map[string]domain.Scope {
	return map[string]domain.Scope{
		"org":   {Kind: domain.ScopeOrg, ID: string(home)},
		"team":  {Kind: domain.ScopeTeam, ID: "team_red"},
		"team2": {Kind: domain.ScopeTeam, ID: "team_blue"},
		"proj":  {Kind: domain.ScopeProject, ID: "proj_of_red"},
		"sib":   {Kind: domain.ScopeProject, ID: "proj_of_red_too"},
		"lone":  {Kind: domain.ScopeProject, ID: "proj_alone"},
		"lone2": {Kind: domain.ScopeProject, ID: "proj_alone_too"},
		"self":  {Kind: domain.ScopeAgent, ID: string(alice)},
		"other": {Kind: domain.ScopeAgent, ID: string(bob)},
	}
}

// chronicle gives events their place, as a log does: dense versions, rising
// positions with gaps (other streams' events), times that never fall.
type chronicle struct {
	position uint64
	at       time.Time
}

func (c *chronicle) record(stream domain.Stream, version uint64, event domain.Event) domain.Recorded {
	c.position += 1 + version%3
	if version == 1 && c.position == 2 {
		c.position = 1
	}
	if c.at.IsZero() {
		c.at = genesis()
	}
	c.at = c.at.Add(1500 * time.Millisecond)
	var id ulid.ULID
	id[14], id[15] = byte(c.position>>8), byte(c.position)
	return domain.Recorded{
		ID: id, Stream: stream, Position: c.position, Version: version, Time: c.at.Add(-time.Second), At: c.at,
		Actor:  domain.Actor{Kind: domain.ActorAgent, ID: string([]domain.AgentID{alice, bob}[version%2]), KeyID: keyOne},
		Origin: domain.Origin{RequestID: "req-1", ClientIP: "192.0.2.1", UserAgent: "test", Reason: "because"},
		Event:  event,
	}
}

// orgLog is one organization's directory with the events that led to it.
type orgLog struct {
	chronicle
	dir    *domain.Directory
	events []domain.Recorded
}

// newOrgLog gives an empty directory; the first event of the bootstrap
// organization is the first of the log.
func newOrgLog(bootstrap bool) *orgLog {
	l := &orgLog{dir: domain.NewDirectory(home)}
	if !bootstrap {
		l.position = 40
	}
	return l
}

// do decides and records.
func (l *orgLog) do(c domain.DirectoryCommand) (domain.Event, error) {
	event, err := domain.DecideDirectory(l.dir, c)
	if err != nil || event == nil {
		return nil, err
	}
	r := l.record(domain.DirectoryStream{Org: l.dir.Org}, l.dir.Version+1, event)
	l.events = append(l.events, r)
	l.dir.Apply(r)
	return event, nil
}

// must is do for commands that have to lead to an event.
func (l *orgLog) must(t rapid.TB, commands ...domain.DirectoryCommand) {
	t.Helper()
	for _, c := range commands {
		if event, err := l.do(c); err != nil || event == nil {
			t.Fatalf("%T: event %v, error %v", c, event, err)
		}
	}
}

// newWorld gives the fixture organization with every scope and no membership.
func newWorld(t rapid.TB, bootstrap bool) *orgLog {
	t.Helper()
	at := scopes()
	l := newOrgLog(bootstrap)
	l.must(
		t,
		domain.CreateScope{Scope: at["org"], Name: "Home"},
		domain.CreateScope{Scope: at["self"], Name: "Alice"},
		domain.CreateScope{Scope: at["other"], Name: "Bob"},
		domain.CreateScope{Scope: at["team"], Name: "Red"},
		domain.CreateScope{Scope: at["team2"], Name: "Blue"},
		domain.CreateScope{Scope: at["proj"], Name: "Rocket", TeamID: at["team"].ID},
		domain.CreateScope{Scope: at["sib"], Name: "Rudder", TeamID: at["team"].ID},
		domain.CreateScope{Scope: at["lone"], Name: "Solo"},
		domain.CreateScope{Scope: at["lone2"], Name: "Other solo"},
	)
	return l
}
