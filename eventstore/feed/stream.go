package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// Stream is the NATS stream of the feed.
const Stream = "CHANCERY_FEED"

const (
	subjectPrefix = "chancery.feed."
	allSubjects   = subjectPrefix + ">"
	// foreignSubject is where a foreign message lies that is on no stream's
	// subject.
	foreignSubject = subjectPrefix + "foreign"

	contentTypeHeader = "Content-Type"
	contentType       = "application/cloudevents+json"

	// ForeignType is the CloudEvents type of the message that stands for a
	// proven foreign message.
	ForeignType = "chancery.foreign"

	// epochKey and makingKey are metadata of the stream. A stream without
	// epochKey was made by somebody else. With makingKey, consumers of the
	// stream before it may be missing yet.
	epochKey  = "chancery-feed-epoch"
	makingKey = "chancery-feed-making"

	// apiTimeout bounds one question to the server.
	apiTimeout = 5 * time.Second
)

// Log is what the feed is made from. What it yields is durable, as
// [eventstore.Log] promises.
type Log interface {
	// Read is [eventstore.Log]'s.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Follow is [eventstore.Log]'s.
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Status is [eventstore.Log]'s.
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Options are the free choices of a feed. The zero value is usable.
type Options struct {
	// Replicas is for a stream that must be made: 1 (the default), 3 or 5.
	Replicas int
	// Retention is how long an event is kept, 0 for ever. It is a lower bound.
	// The stream's age limit counts from when the feed took an event, which is
	// never before the event's own time: an event younger than the retention
	// is never dropped, and one that a feed made anew took again stays up to
	// twice as long.
	Retention time.Duration
	// Epoch is that of the embedded server, "" for another server. A feed of
	// another epoch is not trusted.
	Epoch string
}

// Feed is the feed's stream on a NATS server.
type Feed struct {
	nc *nats.Conn
	js jetstream.JetStream
	o  Options
}

// Open returns the feed of a server, and makes nothing. The connection belongs to
// the service's account and stays the caller's to close. ErrUnavailable.
func Open(nc *nats.Conn, o Options) (*Feed, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(apiTimeout), jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	return &Feed{nc: nc, js: js, o: o}, nil
}

// config is how the stream is made. Nothing is dropped but by age; a stream
// with other content replaces it whole.
func (f *Feed) config(first uint64, making bool) jetstream.StreamConfig {
	c := eventstore.StreamConfig(Stream, allSubjects, max(1, f.o.Replicas))
	c.Description = "Chancery feed: derived from " + eventstore.EventsStream
	c.DenyDelete, c.DenyPurge = true, true
	c.MaxAge, c.FirstSeq = f.o.Retention, first
	c.Metadata = map[string]string{epochKey: f.o.Epoch}
	if making {
		c.Metadata[makingKey] = "yes"
	}
	return c
}

// verify refuses a stream that is not configured as it must be.
// ErrConfiguration.
func (f *Feed) verify(got jetstream.StreamConfig) error {
	if _, ours := got.Metadata[epochKey]; !ours {
		return &eventstore.ConfigurationError{
			Stream: Stream, Setting: "metadata", Want: "made by Chancery", Got: "another's: remove or rename that stream",
		}
	}
	want := f.config(got.FirstSeq, false)
	want.MaxAge = got.MaxAge // changed by whoever follows the log
	return eventstore.VerifyStream(want, got)
}

// message is how an event lies in the feed. The same event gives the same
// bytes on every node.
func message(r domain.Recorded) *nats.Msg {
	m := &nats.Msg{Subject: foreignSubject, Data: r.Raw, Header: nats.Header{contentTypeHeader: {contentType}}}
	if r.Stream != nil {
		m.Subject = subjectPrefix + r.Stream.Subject()
	}
	if r.Event == nil {
		m.Data = foreignEvent(r.Position)
	}
	return m
}

// foreignEvent stands for a proven foreign message and shows none of it.
func foreignEvent(position uint64) []byte {
	text, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("foreign-%d", position), "source": "chancery", "type": ForeignType,
	})
	if err != nil {
		panic(err) // texts alone
	}
	return text
}
