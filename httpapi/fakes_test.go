package httpapi_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

// store stands in for executor and projection: the domain's own rules on
// maps. It seals a value by reversing it.
type store struct {
	mu          sync.Mutex
	now         func() time.Time
	position    uint64
	directories map[domain.OrgID]*domain.Directory
	secrets     map[domain.SecretRef]domain.Secret
	history     map[domain.SecretRef][]domain.HistoryEntry
	repeats     map[string]any // results by agent, operation and key
	calls       []string       // of methods that look at or change anything
	fail        error          // what reads and writes fail with, if set
	stale       error
	behind      error // not caught up since the start
	stopped     error
	// meanwhile happens while a request waits for a position, which is then
	// reached.
	meanwhile func()
	// lost is what everything fails with once a directory has been changed.
	lost error
}

func newStore(now func() time.Time) *store {
	return &store{
		now: now, directories: map[domain.OrgID]*domain.Directory{}, secrets: map[domain.SecretRef]domain.Secret{},
		history: map[domain.SecretRef][]domain.HistoryEntry{}, repeats: map[string]any{},
	}
}

func (s *store) touch(name string) error {
	s.calls = append(s.calls, name)
	return s.fail
}

func (s *store) recorded(stream domain.Stream, version uint64, p domain.Principal, o domain.Origin, e domain.Event) domain.Recorded {
	s.position++
	var id ulid.ULID
	id[15] = byte(s.position)
	return domain.Recorded{
		ID: id, Stream: stream, Position: s.position, Version: version, Time: s.now(), At: s.now(), Origin: o, Event: e,
		Actor: domain.Actor{Kind: domain.ActorAgent, ID: string(p.Agent), KeyID: p.Key},
	}
}

func reversed(text string) []byte {
	b := []byte(text)
	slices.Reverse(b)
	return b
}

func sealFields(fields []domain.Field) []domain.Field {
	fields = slices.Clone(fields)
	for i, f := range fields {
		if plain, ok := f.Value.(domain.Plaintext); ok {
			fields[i].Value = domain.Sealed{Box: reversed(plain.Reveal())}
		}
	}
	return fields
}

func (s *store) ChangeSecret(_ context.Context, r domain.SecretRequest) (domain.SecretResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.touch("ChangeSecret"); err != nil {
		return domain.SecretResult{}, err
	}
	repeat := string(r.Principal.Agent) + " " + domain.SecretOperation(r.Ref, r.Command) + " " + r.Origin.IdempotencyKey
	if result, ok := s.repeats[repeat].(domain.SecretResult); ok && r.Origin.IdempotencyKey != "" {
		result.Replayed = true
		return result, nil
	}
	secret, ok := s.secrets[r.Ref]
	if !ok {
		secret.Ref = r.Ref
	}
	event, err := domain.Decide(opened(secret), r.Command)
	if err != nil {
		return domain.SecretResult{}, err
	}
	if event == nil {
		return domain.SecretResult{Secret: opened(secret), Position: s.position, Version: secret.Version, At: s.now()}, nil
	}
	switch e := event.(type) { //nolint:gochecksumtype // the others hold no value.
	case domain.SecretCreated:
		e.Fields, e.KekIDs = sealFields(e.Fields), []domain.KekID{{byte(secret.Version + 1)}}
		event = e
	case domain.FieldSet:
		e.Field = sealFields([]domain.Field{e.Field})[0]
		event = e
	}
	rec := s.recorded(domain.SecretStream{Ref: r.Ref}, secret.Version+1, r.Principal, r.Origin, event)
	secret = secret.Clone()
	secret.Apply(rec)
	s.secrets[r.Ref] = secret
	s.history[r.Ref] = append(s.history[r.Ref], domain.Metadata(rec))
	result := domain.SecretResult{
		Secret: opened(secret), Event: event.Type(), Position: rec.Position, Version: rec.Version, At: rec.At,
		KeyDestroyed: event.Type() == domain.TypeSecretDeleted,
	}
	s.repeats[repeat] = result
	return result, nil
}

func opened(s domain.Secret) domain.Secret {
	s = s.Clone()
	for i, f := range s.Fields {
		if sealed, ok := f.Value.(domain.Sealed); ok {
			s.Fields[i].Value = domain.NewPlaintext(string(reversed(string(sealed.Box))))
		}
	}
	return s
}

func (s *store) ChangeDirectory(_ context.Context, r domain.DirectoryRequest) (domain.DirectoryResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.touch("ChangeDirectory"); err != nil {
		return domain.DirectoryResult{}, err
	}
	defer func() { s.fail = s.lost }()
	return s.changeDirectory(r)
}

func (s *store) changeDirectory(r domain.DirectoryRequest) (domain.DirectoryResult, error) {
	repeat := string(r.Principal.Agent) + " " + domain.DirectoryOperation(r.Org, r.Command) + " " + r.Origin.IdempotencyKey
	if result, ok := s.repeats[repeat].(domain.DirectoryResult); ok && r.Origin.IdempotencyKey != "" {
		result.Replayed = true
		return result, nil
	}
	d := s.directory(r.Org)
	event, err := domain.DecideDirectory(d, r.Command)
	if err != nil || event == nil {
		return domain.DirectoryResult{Position: s.position}, err
	}
	rec := s.recorded(domain.DirectoryStream{Org: r.Org}, d.Version+1, r.Principal, r.Origin, event)
	d.Apply(rec)
	s.directories[r.Org] = d
	result := domain.DirectoryResult{Event: event, Position: rec.Position}
	s.repeats[repeat] = result
	return result, nil
}

func (s *store) directory(org domain.OrgID) *domain.Directory {
	if d, ok := s.directories[org]; ok {
		return d
	}
	return domain.NewDirectory(org)
}

func (s *store) Position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

func (s *store) WaitFor(ctx context.Context, _ uint64) error {
	if s.stopped != nil {
		return s.stopped
	}
	if s.meanwhile != nil {
		s.meanwhile()
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *store) Fresh(time.Time) error { return s.stale }
func (s *store) Serving() error        { return s.behind }

func (s *store) Secret(ref domain.SecretRef) (domain.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret := s.secrets[ref]
	secret.Ref = ref
	return secret.Clone(), s.touch("Secret")
}

func (s *store) SecretMetadata(ref domain.SecretRef) (domain.Secret, error) {
	secret, err := s.Secret(ref)
	for i := range secret.Fields {
		secret.Fields[i].Value = nil
	}
	return secret, err
}

func (s *store) ListSecrets(_ context.Context, q domain.SecretQuery, show func(*domain.Secret)) (next domain.SecretID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last domain.SecretID
	shown := 0
	for _, ref := range slices.SortedFunc(maps.Keys(s.secrets), func(a, b domain.SecretRef) int { return cmp.Compare(a.ID, b.ID) }) {
		secret := s.secrets[ref]
		if ref.Org != q.Org || ref.Scope != q.Scope || !secret.Exists || ref.ID <= q.After {
			continue
		}
		if shown == q.Limit {
			next = last
			break
		}
		if q.Category != "" && secret.Category != q.Category || !strings.Contains(string(ref.ID)+"\n"+secret.Name, q.Text) {
			continue
		}
		if !slices.ContainsFunc(q.Tags, func(t string) bool { return !slices.Contains(secret.Tags, t) }) {
			secret = secret.Clone()
			show(&secret)
			last, shown = ref.ID, shown+1
			clear(secret.Fields) // nobody may have kept it
			clear(secret.Tags)
		}
	}
	return next, s.touch("ListSecrets")
}

func (s *store) Effective(_ context.Context, q domain.EffectiveQuery) (domain.EffectivePage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[domain.SecretID]domain.EffectiveSecret{}
	for _, scope := range q.Scopes {
		for ref, secret := range s.secrets {
			if ref.Org != q.Org || ref.Scope != scope || !secret.Exists || ref.ID <= q.After {
				continue
			}
			e, ok := found[ref.ID]
			if !ok {
				e.Secret = secret
			}
			e.Scopes = append(e.Scopes, scope)
			found[ref.ID] = e
		}
	}
	var page domain.EffectivePage
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if len(page.Secrets) == q.Limit {
			page.Next = page.Secrets[q.Limit-1].Secret.Ref.ID
			break
		}
		page.Secrets = append(page.Secrets, found[id])
	}
	return page, s.touch("Effective")
}

func (s *store) History(q domain.HistoryQuery, show func(*domain.HistoryEntry) error) (more bool, err error) {
	s.mu.Lock()
	entries := slices.Clone(s.history[q.Ref])
	failed := s.touch("History")
	s.mu.Unlock()
	if !q.Ascending {
		slices.Reverse(entries)
	}
	entries = slices.DeleteFunc(entries, func(e domain.HistoryEntry) bool {
		return q.After > 0 && (q.Ascending && e.Version <= q.After || !q.Ascending && e.Version >= q.After)
	})
	for _, e := range entries[:min(len(entries), q.Limit)] {
		if err := show(&e); err != nil {
			return false, err
		}
	}
	return len(entries) > q.Limit, failed
}

func (s *store) replayed(ref domain.SecretRef, until func(domain.HistoryEntry) bool) (domain.Secret, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, found := domain.Secret{Ref: ref}, false
	for _, e := range s.history[ref] {
		if !until(e) {
			break
		}
		secret.Replay(e)
		found = true
	}
	return secret, found, s.touch("Replay")
}

func (s *store) SecretAtVersion(ref domain.SecretRef, version uint64) (domain.Secret, bool, error) {
	secret, _, err := s.replayed(ref, func(e domain.HistoryEntry) bool { return e.Version <= version })
	return secret, secret.Version == version, err
}

func (s *store) SecretAtTime(ref domain.SecretRef, at time.Time) (domain.Secret, bool, error) {
	return s.replayed(ref, func(e domain.HistoryEntry) bool { return !e.At.After(at) })
}

func (s *store) Directory(org domain.OrgID, f func(*domain.Directory) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.touch("Directory"); err != nil {
		return err
	}
	return f(s.directory(org))
}

func (s *store) Authenticate(lookupID string) (domain.APIKey, domain.Principal, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.directories {
		for _, k := range d.Keys {
			if k.LookupID == lookupID {
				p, ok := d.Compile(k.Agent, k.ID)
				return k, p, ok
			}
		}
	}
	return domain.APIKey{}, domain.Principal{}, false
}

func (s *store) AgentName(org domain.OrgID, agent domain.AgentID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, _ := s.directory(org).Agent(agent)
	return a.Name
}

func (s *store) scopes(d []*domain.Directory, kind domain.ScopeKind, after string, limit int) ([]domain.ScopeState, bool, error) {
	var rows []domain.ScopeState
	for _, d := range d {
		for scope, state := range d.Scopes {
			if scope.Kind == kind && scope.ID > after {
				rows = append(rows, state)
			}
		}
	}
	slices.SortFunc(rows, func(a, b domain.ScopeState) int { return cmp.Compare(a.Scope.ID, b.Scope.ID) })
	return rows[:min(limit, len(rows))], len(rows) > limit, s.touch("Scopes")
}

func (s *store) Organizations(after domain.OrgID, limit int) ([]domain.ScopeState, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scopes(slices.Collect(maps.Values(s.directories)), domain.ScopeOrg, string(after), limit)
}

func (s *store) Scopes(org domain.OrgID, kind domain.ScopeKind, after string, limit int) ([]domain.ScopeState, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scopes([]*domain.Directory{s.directory(org)}, kind, after, limit)
}

func (s *store) Keys(org domain.OrgID, agent domain.AgentID, after domain.APIKeyID, limit int) ([]domain.APIKey, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []domain.APIKey
	for _, k := range s.directory(org).Keys {
		if k.Agent == agent && k.ID > after {
			rows = append(rows, k)
		}
	}
	slices.SortFunc(rows, func(a, b domain.APIKey) int { return cmp.Compare(a.ID, b.ID) })
	return rows[:min(limit, len(rows))], len(rows) > limit, s.touch("Keys")
}

func (s *store) Memberships(org domain.OrgID, agent domain.AgentID, after string, limit int) ([]domain.Membership, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place := func(m domain.Membership) string { return m.Scope.String() + "/" + string(m.Key().Special) }
	rows := slices.SortedFunc(maps.Values(s.directory(org).Memberships[agent]), func(a, b domain.Membership) int {
		return cmp.Compare(place(a), place(b))
	})
	rows = slices.DeleteFunc(rows, func(m domain.Membership) bool { return place(m) <= after })
	if len(rows) <= limit {
		return rows, "", s.touch("Memberships")
	}
	return rows[:limit], place(rows[limit-1]), s.touch("Memberships")
}
