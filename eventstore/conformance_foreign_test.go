package eventstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// testForeign: a listed message is yielded in its place, with its stream if
// its subject is one of a stream and without an event. An append behind it
// must expect it, on every kind of stream, also where it came before the first
// event; one that was decided before it conflicts.
func testForeign(t *testing.T, r *rig) {
	all := samples()
	foreign := func(subject string, stream domain.Stream) domain.Recorded {
		raw := []byte("no event on " + subject)
		return domain.Recorded{Stream: stream, Position: r.intrude(subject, raw, true), Raw: raw}
	}
	var log []domain.Recorded
	for _, names := range [][3]string{
		{"secret.created", "secret.field_set", "secret.deleted"},
		{"org.created", "apikey.issued", "apikey.revoked"},
		{"key.destroyed", "key.destroyed", "key.destroyed"},
	} {
		stream := all[names[0]].stream
		var after uint64
		var events []domain.Recorded
		for n, name := range names {
			f := foreign(domain.SubjectPrefix+stream.Subject(), stream)
			p := all[name].p
			p.ID = eventID(uint64(len(log) + n + 1)) // the same event again would be found, not stored
			if created, ok := p.Event.(domain.SecretCreated); ok {
				created.Fields = nil // the sealed ones name the event's id
				p.Event = created
			}
			if _, err := r.Append(t.Context(), stream, after, p); !errors.Is(err, ErrConflict) {
				t.Fatalf("%s, not expecting the foreign message: %v", name, err)
			}
			rec := mustAppend(t, r, stream, f.Position, p)
			after = rec.Position
			events = append(events, f, rec)
		}
		if diff := cmp.Diff(events, collect(t, r.Load(t.Context(), stream))); diff != "" {
			t.Errorf("Load of %s:\n%s", stream.Subject(), diff)
		}
		log = append(log, events...)
	}
	log = append(log, foreign(domain.SubjectPrefix+"status", nil), foreign(domain.SubjectPrefix+"a.b.c.d", nil))
	if diff := cmp.Diff(log, collect(t, r.Read(t.Context(), 0))); diff != "" {
		t.Errorf("Read:\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := follow(ctx, r, 0)
	for _, want := range log {
		if diff := cmp.Diff(want, f.next(t)); diff != "" {
			t.Errorf("Follow:\n%s", diff)
		}
	}
	cancel()
	if err := f.end(t); err != nil {
		t.Errorf("Follow ended with %v", err)
	}
}

// testUnlisted: what is no event and not listed ends every reading where it
// lies, with what an operator needs to list it.
func testUnlisted(t *testing.T, r *rig) {
	stream, raw := secretStream("s"), []byte("no event")
	mustAppend(t, r, stream, 0, fieldSet(1, 1))
	position := r.intrude(domain.SubjectPrefix+stream.Subject(), raw, false)
	mustAppend(t, r, stream, position, fieldSet(2, 2))
	for name, events := range map[string]iter.Seq2[domain.Recorded, error]{
		"Load": r.Load(t.Context(), stream), "Read": r.Read(t.Context(), 0), "Follow": r.Follow(t.Context(), 0),
	} {
		seen := 0
		var last error
		for _, err := range events {
			if last = err; err == nil {
				seen++
			}
		}
		corrupt := &CorruptError{}
		if !errors.As(last, &corrupt) || corrupt.Position != position || corrupt.Digest != sha256.Sum256(raw) || seen != 1 {
			t.Errorf("%s: %d events, then %v", name, seen, last)
		}
	}
}
