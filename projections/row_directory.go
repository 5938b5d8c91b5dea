package projections

import "github.com/chancery-dev/chancery/domain"

// streamRow is how far a directory or keys stream goes.
type streamRow struct {
	version uint64 // of the last event, 0 before the first
	head    uint64 // position of the last message
	root    bool   // of a directory: the owner of the log's first event
}

func (r streamRow) encode() []byte {
	var p pen
	p.number(r.version)
	p.number(r.head)
	p.flag(r.root)
	return p.row
}

func decodeStream(row []byte) (streamRow, error) {
	if row == nil {
		return streamRow{}, nil
	}
	s := scan(row)
	r := streamRow{version: s.number(), head: s.number(), root: s.flag()}
	return r, s.end()
}

func (p *pen) scope(s domain.Scope) {
	p.text(string(s.Kind))
	p.text(s.ID)
}

func (s *scanner) scope() domain.Scope {
	return domain.Scope{Kind: domain.ScopeKind(s.text()), ID: s.text()}
}

func encodeScope(sc domain.ScopeState) []byte {
	var p pen
	p.scope(sc.Scope)
	p.text(sc.Name)
	p.text(sc.TeamID)
	p.time(sc.CreatedAt)
	p.time(sc.ArchivedAt)
	return p.row
}

func decodeScope(row []byte) (domain.ScopeState, error) {
	s := scan(row)
	sc := domain.ScopeState{
		Scope: s.scope(), Name: s.text(), TeamID: s.text(), CreatedAt: s.time(), ArchivedAt: s.time(),
	}
	return sc, s.end()
}

func encodeMembership(m domain.Membership) []byte {
	var p pen
	p.text(string(m.Agent))
	p.scope(m.Scope)
	p.text(string(m.Role))
	p.time(m.GrantedAt)
	p.text(m.GrantedBy)
	return p.row
}

func decodeMembership(row []byte) (domain.Membership, error) {
	s := scan(row)
	m := domain.Membership{
		Agent: domain.AgentID(s.text()), Scope: s.scope(), Role: domain.Role(s.text()),
		GrantedAt: s.time(), GrantedBy: s.text(),
	}
	return m, s.end()
}

func encodeAPIKey(k domain.APIKey) []byte {
	var p pen
	p.text(string(k.ID))
	p.text(string(k.Agent))
	p.text(k.LookupID)
	p.raw(k.Hash[:])
	p.text(k.Note)
	p.time(k.CreatedAt)
	p.time(k.ExpiresAt)
	p.time(k.RevokedAt)
	return p.row
}

func decodeAPIKey(row []byte) (domain.APIKey, error) {
	s := scan(row)
	k := domain.APIKey{ID: domain.APIKeyID(s.text()), Agent: domain.AgentID(s.text()), LookupID: s.text()}
	copy(k.Hash[:], s.take(uint64(len(k.Hash))))
	k.Note = s.text()
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = s.time(), s.time(), s.time()
	return k, s.end()
}
