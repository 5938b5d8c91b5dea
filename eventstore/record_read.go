package eventstore

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chancery-dev/chancery/domain"
)

// errForm is the fault of bytes that are not in the one form that
// encodeRecord writes: unknown, missing, repeated or misspelt members, another
// order, blanks, other escapes, trailing bytes.
var errForm = errors.New("the record is not in its one form")

// recordReader reads the one form of a record and nothing else. After a fault
// it reads nothing more, and what it returned is meaningless.
type recordReader struct {
	rest  string
	fault error
}

// decodeRecord is the inverse of encodeRecord. The record must name the stream
// that it lies on, whose Subject is given beside it. The result shares memory
// with s.
func decodeRecord(stream domain.Stream, subject, s string) (record, error) {
	if !utf8.ValidString(s) {
		return record{}, errForm
	}
	r := recordReader{rest: s}
	rec := record{Record: domain.Record{Stream: stream}}
	r.literal(`{"specversion":"1.0"`)
	rec.ID = r.ulid(`,"id":`)
	r.literal(`,"source":"chancery"`)
	rec.Type = domain.EventType(r.text(`,"type":`))
	if r.text(`,"subject":`) != subject {
		r.fail(errSubject)
	}
	rec.Time = r.time(`,"time":`)
	r.literal(`,"datacontenttype":"application/json","data":{"v":`)
	r.version()
	if r.text(`,"org":`) != string(stream.Organization()) {
		r.fail(errSubject)
	}
	r.details(&rec)
	rec.Origin = domain.Origin{
		RequestID:      r.optional(`,"requestId":`),
		ClientIP:       r.optional(`,"clientIp":`),
		UserAgent:      r.optional(`,"userAgent":`),
		Reason:         r.optional(`,"reason":`),
		RunID:          r.optional(`,"runId":`),
		IdempotencyKey: r.optional(`,"idempotencyKey":`),
	}
	r.hash(`,"bodyHash":`, &rec.bodyHash)
	r.directory(&rec.Details)
	r.literal(`}}`)
	if r.rest != "" {
		r.fail(errForm)
	}
	if ref, ok := stream.(domain.SecretStream); ok && (rec.Details.Scope != ref.Ref.Scope || rec.Details.SecretID != ref.Ref.ID) {
		r.fail(errSubject)
	}
	return rec, r.fault
}

var (
	errSubject = errors.New("the record does not belong to the subject it lies on")
	errVersion = errors.New("the record has an unknown version")
)

func (r *recordReader) version() {
	if !strings.HasPrefix(r.rest, recordVersion+`,`) {
		r.fail(errVersion)
		return
	}
	r.rest = r.rest[len(recordVersion):]
}

func (r *recordReader) details(rec *record) {
	d := &rec.Details
	d.Scope = r.scope()
	d.SecretID = parsed(r, r.optional(`,"secretId":`), domain.ParseSecretID)
	rec.Version = r.uint(`,"version":`)
	if r.skip(`,"kekIds":[`) {
		for more := true; more; more = r.more(']') {
			d.KekIDs = append(d.KekIDs, parsed(r, r.text(``), domain.ParseKekID))
		}
	}
	rec.Actor.Kind = domain.ActorKind(r.text(`,"actor":{"kind":`))
	if rec.Actor.Kind != domain.ActorAgent && rec.Actor.Kind != domain.ActorSystem {
		r.fail(errForm)
	}
	rec.Actor.ID = r.text(`,"id":`)
	rec.Actor.KeyID = parsed(r, r.optional(`,"keyId":`), domain.ParseAPIKeyID)
	r.literal(`}`)
	if r.skip(`,"fields":[`) {
		for more := true; more; more = r.more(']') {
			f := r.field()
			if n := len(d.Fields); n > 0 && f.Key <= d.Fields[n-1].Key {
				r.fail(errForm) // sorted, so also distinct
			}
			d.Fields = append(d.Fields, f)
		}
	}
	if r.skip(`,"changes":{`) {
		d.Changes = r.changes()
	}
}

func (r *recordReader) scope() domain.Scope {
	if !r.skip(`,"scope":`) {
		return domain.Scope{}
	}
	kind := r.text(``)
	s, err := domain.ParseScope(kind, r.text(`,"scopeId":`))
	if err != nil {
		r.fail(errForm)
	}
	return s
}

func (r *recordReader) field() domain.FieldMetadata {
	f := domain.FieldMetadata{
		Key:         parsed(r, r.text(`{"key":`), domain.ParseFieldKey),
		Sensitivity: parsed(r, r.text(`,"sensitivity":`), domain.ParseSensitivity),
		DekID:       parsed(r, r.optional(`,"dekId":`), domain.ParseDekID),
	}
	r.literal(`}`)
	return f
}

func (r *recordReader) changes() domain.Changes {
	var c domain.Changes
	first := true
	// Each member may be missing, at least one is there, and a comma stands
	// between two.
	next := func(name string) bool {
		if !first {
			name = `,` + name
		}
		found := r.skip(name)
		first = first && !found
		return found
	}
	if next(`"name":{`) {
		c.Name = r.change()
	}
	if next(`"category":{`) {
		c.Category = r.change()
	}
	if next(`"tags":{`) {
		c.Tags = &domain.Change[[]string]{}
		if r.skip(`"from":[`) {
			from := r.list()
			c.Tags.From = &from
			r.literal(`,`)
		}
		r.literal(`"to":[`)
		c.Tags.To = r.list()
		r.literal(`}`)
	}
	if next(`"rotateEvery":{`) {
		c.RotateEvery = readRemovable(r, func(prefix string) domain.RotateEvery {
			every, err := domain.ParseRotateEvery(r.text(prefix))
			if err != nil {
				r.fail(errForm)
			}
			return every
		})
	}
	if next(`"expiresAt":{`) {
		c.ExpiresAt = readRemovable(r, func(prefix string) time.Time {
			at, err := domain.ParseExpiry(r.time(prefix))
			if err != nil {
				r.fail(errForm)
			}
			return at
		})
	}
	if first {
		r.fail(errForm)
	}
	r.literal(`}`)
	return c
}

func (r *recordReader) change() *domain.Change[string] {
	c := &domain.Change[string]{}
	if r.skip(`"from":`) {
		from := r.text(``)
		c.From = &from
		r.literal(`,`)
	}
	c.To = r.text(`"to":`)
	r.literal(`}`)
	return c
}

// readRemovable reads what removable writes; one of both sides is there.
func readRemovable[T any](r *recordReader, read func(prefix string) T) *domain.Change[T] {
	c := &domain.Change[T]{}
	to := `"to":`
	if strings.HasPrefix(r.rest, `"from":`) {
		from := read(`"from":`)
		c.From, to = &from, `,"to":`
	}
	if c.From == nil || strings.HasPrefix(r.rest, to) {
		c.To = read(to)
	}
	r.literal(`}`)
	return c
}

func (r *recordReader) directory(d *domain.Details) {
	d.TeamID = r.optional(`,"teamId":`)
	d.Agent = parsed(r, r.optional(`,"agentId":`), domain.ParseAgentID)
	d.Role = parsed(r, r.optional(`,"role":`), domain.ParseRole)
	d.KeyID = parsed(r, r.optional(`,"keyId":`), domain.ParseAPIKeyID)
	if strings.HasPrefix(r.rest, `,"expiresAt":`) {
		if d.ExpiresAt = r.time(`,"expiresAt":`); d.ExpiresAt.IsZero() {
			r.fail(errForm)
		}
	}
	d.Note = r.optional(`,"note":`)
}
