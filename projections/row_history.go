package projections

import (
	"github.com/chancery-dev/chancery/domain"
)

// historyHead is the front of a history row: what as-of reads search by.
type historyHead struct {
	at    uint64 // folded time, in milliseconds since year 1
	since uint64 // the version to replay from, see secretRow
}

// encodeHistory leaves out what the row's key says: the secret and its
// version. Every other member of the entry comes back as it was.
func encodeHistory(since uint64, e domain.HistoryEntry) []byte {
	p := pen{row: make([]byte, 0, 512)}
	p.time(e.At)
	p.number(since)
	p.number(e.Position)
	p.ulid(e.ID)
	p.text(string(e.Type))
	p.time(e.Time)
	p.text(string(e.Actor.Kind))
	p.text(e.Actor.ID)
	p.text(string(e.Actor.KeyID))
	o := e.Origin
	for _, s := range []string{o.RequestID, o.ClientIP, o.UserAgent, o.Reason, o.RunID, o.IdempotencyKey} {
		p.text(s)
	}
	p.details(e.Details)
	return p.row
}

// details writes those that events of a secret have.
func (p *pen) details(d domain.Details) {
	list(p, d.KekIDs, p.kek)
	list(p, d.Fields, func(f domain.FieldMetadata) {
		p.text(string(f.Key))
		p.text(string(f.Sensitivity))
		p.dek(f.DekID)
	})
	change(p, d.Changes.Name, p.text)
	change(p, d.Changes.Category, p.text)
	change(p, d.Changes.Tags, func(tags []string) { list(p, tags, p.text) })
	change(p, d.Changes.RotateEvery, func(r domain.RotateEvery) { p.number(uint64(r)) }) //nolint:gosec // not negative.
	change(p, d.Changes.ExpiresAt, p.time)
}

func change[T any](p *pen, c *domain.Change[T], write func(T)) {
	switch {
	case c == nil:
		p.byte(0)
	case c.From == nil:
		p.byte(1)
		write(c.To)
	default:
		p.byte(2)
		write(*c.From)
		write(c.To)
	}
}

func scanHistoryHead(s *scanner) historyHead { return historyHead{at: s.number(), since: s.number()} }

func decodeHistoryHead(row []byte) (historyHead, error) {
	s := scan(row[:min(len(row), 20)]) // two numbers of ten bytes at most
	h := scanHistoryHead(s)
	return h, s.err
}

func decodeHistory(ref domain.SecretRef, version uint64, row []byte) (e domain.HistoryEntry, err error) {
	err = scanHistory(&e, domain.SecretStream{Ref: ref}, ref, version, scan(row))
	return e, err
}

// scanHistory fills an entry of a secret, whose stream is given beside it.
func scanHistory(e *domain.HistoryEntry, stream domain.Stream, ref domain.SecretRef, version uint64, s *scanner) error {
	h := scanHistoryHead(s)
	e.At, e.Position = fromMillis(h.at), s.number()
	e.Stream, e.Version = stream, version
	e.ID = s.ulid()
	e.Type = domain.EventType(s.text())
	e.Time = s.time()
	e.Actor = domain.Actor{Kind: domain.ActorKind(s.text()), ID: s.text(), KeyID: domain.APIKeyID(s.text())}
	e.Origin = domain.Origin{
		RequestID: s.text(), ClientIP: s.text(), UserAgent: s.text(),
		Reason: s.text(), RunID: s.text(), IdempotencyKey: s.text(),
	}
	e.Details = s.details()
	e.Details.Scope, e.Details.SecretID = ref.Scope, ref.ID
	return s.end()
}

func (s *scanner) details() domain.Details {
	var d domain.Details
	d.KekIDs = scanList(s, &s.memory.keks, s.kek)
	d.Fields = scanList(s, &s.memory.metadata, func() domain.FieldMetadata {
		return domain.FieldMetadata{
			Key: domain.FieldKey(s.text()), Sensitivity: domain.Sensitivity(s.text()), DekID: s.dek(),
		}
	})
	d.Changes.Name = scanChange(s, s.text)
	d.Changes.Category = scanChange(s, s.text)
	d.Changes.Tags = scanChange(s, func() []string { return scanList(s, &s.memory.texts, s.text) })
	d.Changes.RotateEvery = scanChange(s, func() domain.RotateEvery { return domain.RotateEvery(s.number()) }) //nolint:gosec // as written above.
	d.Changes.ExpiresAt = scanChange(s, s.time)
	return d
}

func scanChange[T any](s *scanner, read func() T) *domain.Change[T] {
	switch s.byte() {
	case 0:
		return nil
	case 1:
		return &domain.Change[T]{To: read()}
	case 2:
		from := read()
		return &domain.Change[T]{From: &from, To: read()}
	}
	s.fail()
	return nil
}
