package projections

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// choices is where a world takes its decisions from: rapid or a sequence.
type choices interface {
	// below gives a number from 0 to n-1.
	below(n int) int
}

// counter makes the same varied choices every time.
type counter struct{ state uint64 }

func (c *counter) below(n int) int {
	c.state = c.state*6364136223846793005 + 1442695040888963407
	return int((c.state >> 33) % uint64(n))
}

// world writes a plausible log by the domain's own decisions and keeps the
// model that projections are compared with: the folded aggregates themselves.
type world struct {
	choices
	log     *sliceLog
	now     time.Time // the writer's clock
	at      time.Time // folded time
	serial  uint64
	orgs    []domain.OrgID
	secrets map[domain.SecretRef]*domain.Secret
	dirs    map[domain.OrgID]*domain.Directory
	keys    map[domain.OrgID]uint64 // versions of keys streams
	history map[domain.SecretRef][]domain.HistoryEntry
	pending []domain.KeyDestroyed
	claimed []domain.KekID
	deks    []domain.DekID
	last    domain.Recorded
}

func newWorld(c choices) *world {
	return &world{
		choices: c, log: newLog(), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		secrets: map[domain.SecretRef]*domain.Secret{}, dirs: map[domain.OrgID]*domain.Directory{},
		keys: map[domain.OrgID]uint64{}, history: map[domain.SecretRef][]domain.HistoryEntry{},
	}
}

// ulid never repeats; its time is the writer's.
func (w *world) ulid(at time.Time) (u ulid.ULID) {
	w.serial++
	_ = u.SetTime(uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(u[8:], w.serial)
	return u
}

func (w *world) id(prefix string) string { return prefix + w.ulid(w.now).String() }

func pick[T any](w *world, items ...T) T { return items[w.below(len(items))] }

// record appends an event and folds it into the model.
func (w *world) record(stream domain.Stream, version uint64, event domain.Event) domain.Recorded {
	w.now = w.now.Add(time.Duration(w.below(90)) * time.Second)
	if w.below(8) == 0 {
		w.now = w.now.Add(-3 * time.Second) // another node's clock
	}
	r := domain.Recorded{
		ID: w.ulid(w.now), Stream: stream, Position: w.log.head() + 1, Version: version, Time: w.now, Event: event,
		Actor:  domain.Actor{Kind: domain.ActorAgent, ID: "agt_writer", KeyID: "key_writer"},
		Origin: domain.Origin{RequestID: fmt.Sprint("req-", w.serial), ClientIP: "192.0.2.7", Reason: "a reason"},
	}
	if w.below(2) == 0 {
		r.Origin.IdempotencyKey = fmt.Sprint("idem-", w.below(4))
	}
	r.Raw = fmt.Appendf(nil, "record %d", w.serial)
	return w.commit(r)
}

func (w *world) commit(r domain.Recorded) domain.Recorded {
	w.log.append(r)
	if r.Time.After(w.at) {
		w.at = r.Time
	}
	r.At = w.at
	w.last = r
	switch s := r.Stream.(type) {
	case domain.SecretStream:
		w.secret(s.Ref).Apply(r)
		if r.Event != nil {
			w.history[s.Ref] = append(w.history[s.Ref], domain.Metadata(r))
		}
	case domain.DirectoryStream:
		w.directory(s.Org).Apply(r)
	case domain.KeysStream:
		if r.Event != nil {
			w.keys[s.Org] = r.Version
		}
	}
	return r
}

// intrude puts a proven foreign message on a stream; nil is none's subject.
func (w *world) intrude(stream domain.Stream) domain.Recorded {
	return w.commit(domain.Recorded{Stream: stream, Position: w.log.head() + 1, Raw: []byte("foreign")})
}

// anyStream is one that has events, or will have, or never has.
func (w *world) anyStream() domain.Stream {
	org := pick(w, append([]domain.OrgID{"org_nobody_made"}, w.orgs...)...)
	switch w.below(6) {
	case 0:
		return nil
	case 1:
		return domain.DirectoryStream{Org: org}
	case 2:
		return domain.KeysStream{Org: org}
	}
	return domain.SecretStream{Ref: w.anyRef(org)}
}

func (w *world) secret(ref domain.SecretRef) *domain.Secret {
	if w.secrets[ref] == nil {
		w.secrets[ref] = &domain.Secret{Ref: ref}
	}
	return w.secrets[ref]
}

func (w *world) directory(org domain.OrgID) *domain.Directory {
	if w.dirs[org] == nil {
		w.dirs[org] = domain.NewDirectory(org)
	}
	return w.dirs[org]
}

// step appends one event, or nothing if that is what a command came to.
func (w *world) step() {
	if len(w.orgs) == 0 {
		w.newOrg()
	}
	switch n := w.below(20); {
	case n < 12:
		w.changeSecret()
	case n < 17:
		w.changeDirectory()
	case n == 17:
		w.destroy()
	case n == 18 && w.below(2) == 0:
		w.intrude(w.anyStream())
	case n == 19 && w.below(4) == 0:
		w.now = w.now.Add(time.Duration(w.below(30)) * time.Hour)
	default:
		if len(w.orgs) < 3 {
			w.newOrg()
		}
	}
}

func (w *world) newOrg() domain.OrgID {
	org := domain.OrgID(w.id(domain.OrgPrefix))
	w.orgs = append(w.orgs, org)
	w.command(org, domain.CreateScope{Scope: w.directory(org).OrgScope(), Name: "an organization"})
	return org
}

// command gives the event that was recorded, if any.
func (w *world) command(org domain.OrgID, c domain.DirectoryCommand) domain.Event {
	d := w.directory(org)
	event, err := domain.DecideDirectory(d, c)
	if err != nil || event == nil {
		return nil
	}
	w.record(domain.DirectoryStream{Org: org}, d.Version+1, event)
	return event
}

func (w *world) changeDirectory() {
	org := pick(w, w.orgs...)
	d := w.directory(org)
	scopes := make([]domain.Scope, 0, len(d.Scopes))
	var agents []domain.AgentID
	for s := range d.Scopes {
		scopes = append(scopes, s)
	}
	slices.SortFunc(scopes, func(a, b domain.Scope) int { return compareStrings(a.String(), b.String()) })
	team := ""
	for _, s := range scopes {
		switch {
		case s.Kind == domain.ScopeAgent:
			agents = append(agents, domain.AgentID(s.ID))
		case s.Kind == domain.ScopeTeam && w.below(2) == 0:
			team = s.ID
		}
	}
	scope := pick(w, scopes...)
	name := fmt.Sprint("name-", w.below(5))
	if len(agents) == 0 || w.below(4) == 0 {
		kind := pick(w, domain.ScopeTeam, domain.ScopeProject, domain.ScopeAgent)
		c := domain.CreateScope{Scope: domain.Scope{Kind: kind, ID: w.id(kind.Prefix())}, Name: name}
		if kind == domain.ScopeProject {
			c.TeamID = team
		}
		w.command(org, c)
		return
	}
	agent := pick(w, agents...)
	switch w.below(6) {
	case 0:
		w.command(org, domain.RenameScope{Scope: scope, Name: name})
	case 1:
		w.command(org, domain.SetArchived{Scope: scope, Archived: w.below(2) == 0})
	case 2:
		role := pick(w, domain.RoleViewer, domain.RoleReader, domain.RoleWriter, domain.RoleManager)
		if scope.Kind == domain.ScopeOrg {
			role = pick(w, domain.RoleViewer, domain.RoleAuditor, domain.RoleAdmin)
		}
		if scope.Kind != domain.ScopeAgent {
			w.command(org, domain.GrantMembership{Agent: agent, Scope: scope, Role: role})
		}
	case 3:
		w.command(org, domain.RevokeMembership{Agent: agent, Scope: scope, Role: pick(w, "", domain.RoleAuditor)})
	case 4:
		w.issueKey(org, agent)
	case 5:
		for _, k := range sortedKeys(d) {
			if w.below(2) == 0 {
				w.command(org, domain.RevokeKey{ID: k.ID, Agent: k.Agent})
				return
			}
		}
	}
}

func (w *world) issueKey(org domain.OrgID, agent domain.AgentID) domain.IssueKey {
	c := domain.IssueKey{ID: domain.APIKeyID(w.id(domain.KeyPrefix)), Agent: agent, Note: "a note"}
	c.LookupID = fmt.Sprintf("lookup%06d", w.serial)
	c.Hash[0] = byte(w.serial)
	if w.below(2) == 0 {
		c.ExpiresAt = w.now.Add(time.Hour)
	}
	w.command(org, c)
	return c
}

func sortedKeys(d *domain.Directory) []domain.APIKey {
	var keys []domain.APIKey
	for _, k := range d.Keys {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b domain.APIKey) int { return compareStrings(string(a.ID), string(b.ID)) })
	return keys
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// scopes are few, so that secrets meet.
func (w *world) scopes() []domain.Scope {
	return []domain.Scope{
		{Kind: domain.ScopeAgent, ID: "agt_1"},
		{Kind: domain.ScopeProject, ID: "p"},
		{Kind: domain.ScopeProject, ID: "p-"},
		{Kind: domain.ScopeTeam, ID: "p"},
	}
}

func (w *world) changeSecret() {
	w.change(w.anyRef(pick(w, w.orgs...)), w.secretCommand())
}

func (w *world) anyRef(org domain.OrgID) domain.SecretRef {
	ref := domain.SecretRef{Org: org, Scope: pick(w, w.scopes()...)}
	ref.ID = pick[domain.SecretID](w, "a", "a-", "a-b", "aa", "b", "Z", "z_1", "0")
	return ref
}

func (w *world) secretCommand() domain.SecretCommand {
	name, category := fmt.Sprint("name ", w.below(4)), fmt.Sprint("category", w.below(3))
	var tags []string
	for _, tag := range []string{"blau", "grün", "rot"} {
		if w.below(2) == 0 {
			tags = append(tags, tag)
		}
	}
	switch w.below(8) {
	case 0, 1:
		c := domain.CreateSecret{Name: name, Category: category, Tags: tags}
		for i := range w.below(4) {
			c.Fields = append(c.Fields, w.field(domain.FieldKey(fmt.Sprint("f", i))))
		}
		return c
	case 2, 3, 4:
		return domain.SetField{Field: w.field(pick[domain.FieldKey](w, "f0", "f1", "f.1", "f", "F"))}
	case 5:
		return domain.RemoveField{Key: pick[domain.FieldKey](w, "f0", "f1", "f.1", "f")}
	case 6:
		var c domain.UpdateMetadata
		if w.below(2) == 0 {
			c.Name = &name
		}
		if w.below(2) == 0 {
			c.Category = &category
		}
		if w.below(2) == 0 {
			c.Tags = &tags
		}
		if w.below(2) == 0 {
			c.RotateEvery = new(domain.RotateEvery(w.below(3)))
		}
		switch w.below(4) {
		case 0:
			c.ExpiresAt = new(w.now.Add(time.Duration(w.below(3)) * time.Hour))
		case 1:
			c.ExpiresAt = new(time.Time{})
		}
		return c
	}
	return domain.DeleteSecret{}
}

func (w *world) field(key domain.FieldKey) domain.Field {
	w.serial++
	box := binary.BigEndian.AppendUint64(make([]byte, w.below(200)), w.serial)
	if w.below(2) == 0 {
		return domain.Field{Key: key, Value: domain.Sealed{KekID: w.kek(), EventID: w.ulid(w.now), Box: box}}
	}
	dek := domain.DekID(w.ulid(w.now.Add(-time.Duration(w.below(14)) * time.Minute)))
	w.deks = append(w.deks, dek)
	return domain.Field{Key: key, DekID: dek, Value: domain.Envelope{Ciphertext: box, DataKey: dek.String()}}
}

func (w *world) kek() (k domain.KekID) { return domain.KekID(w.ulid(w.now)) }

// change carries out a command on a secret.
func (w *world) change(ref domain.SecretRef, c domain.SecretCommand) {
	s := w.secret(ref)
	event, err := domain.Decide(*s, c)
	if err != nil || event == nil {
		return
	}
	switch e := event.(type) { //nolint:gochecksumtype // the other events need nothing added.
	case domain.SecretCreated:
		for range 1 + w.below(2) {
			e.KekIDs = append(e.KekIDs, w.kek())
		}
		w.claimed = append(w.claimed, e.KekIDs...)
		event = e
	case domain.SecretDeleted:
		w.pending = append(w.pending, domain.KeyDestroyed{Ref: ref, KekIDs: e.KekIDs})
	}
	w.record(domain.SecretStream{Ref: ref}, s.Version+1, event)
}

// destroy records that a deleted secret's keys are gone: all, or the first.
func (w *world) destroy() {
	if len(w.pending) == 0 {
		return
	}
	i := w.below(len(w.pending))
	d := w.pending[i]
	n := 1 + w.below(len(d.KekIDs))
	gone := domain.KeyDestroyed{Ref: d.Ref, KekIDs: slices.Clone(d.KekIDs[:n])}
	if left := d.KekIDs[n:]; len(left) > 0 {
		w.pending[i].KekIDs = left
	} else {
		w.pending = slices.Delete(w.pending, i, i+1)
	}
	org := d.Ref.Org
	w.record(domain.KeysStream{Org: org}, w.keys[org]+1, gone)
}
