package eventstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// What a consumer may have under way, so that a slow reader of large
	// events does not hold them all in memory.
	deliverMessages = 1000
	deliverBytes    = 16 << 20
	// A consumer that says nothing for two heartbeats is taken for lost.
	deliverHeartbeat = time.Second
	deliverExpiry    = 10 * time.Second
	// maxFailures in a row, without an event between, end a bounded read.
	maxFailures = 3
)

// delivery is the reading of a part of the log, across as many consumers as
// it takes.
type delivery struct {
	filter string // one subject, "" for all
	last   uint64 // position of the last event, exclusive start
	until  uint64 // position of the last one wanted, 0 to follow

	run     int       // consumers so far
	created time.Time // of the stream, when the first one began
	raw     [32]byte  // SHA-256 of the last event's record
	seen    bool      // raw is set
}

type yieldFunc = func(domain.Recorded, error) bool

// errLeft says that whoever ranges over the events has left.
var errLeft = errors.New("eventstore: left")

// deliver yields what d asks for. It starts a new consumer behind the last
// yielded event whenever the one before was lost.
func (l *JetStream) deliver(ctx context.Context, d delivery, yield yieldFunc) {
	failures, pause := 0, l.appender.pause
	for {
		before := d.last
		err := l.consume(ctx, &d, yield)
		if d.last > before {
			failures, pause = 0, l.appender.pause
		}
		failures++
		switch {
		case err == nil, errors.Is(err, errLeft):
			return
		case ctx.Err() != nil:
			if d.until > 0 {
				yield(domain.Recorded{}, ctx.Err())
			}
			return
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrReplaced):
			yield(domain.Recorded{}, err)
			return
		case d.until > 0 && failures >= maxFailures:
			yield(domain.Recorded{}, fmt.Errorf("%w: %w", ErrUnavailable, err))
			return
		}
		l.logger.LogAttrs(ctx, slog.LevelWarn, "reading the log goes on with a new consumer",
			slog.Uint64("position", d.last), slog.String("cause", err.Error()))
		sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// consume yields from one consumer; nil means that all is yielded.
func (l *JetStream) consume(ctx context.Context, d *delivery, yield yieldFunc) error {
	if d.created.IsZero() && d.until == 0 {
		// Before the consumer is made: one that is there belongs to this log.
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		d.created = info.Created
	}
	messages, stop, err := l.subscribe(ctx, d)
	if err != nil {
		return err
	}
	defer stop()
	if err := l.sameLog(ctx, d); err != nil {
		return err
	}
	d.run++
	if d.run > 1 {
		// One event without a consumer, in case delivering exactly this one
		// is what fails.
		if err := l.fill(ctx, d, 1, yield); err != nil {
			return err
		}
	}
	for delivered := uint64(0); !d.done(); {
		if err := ctx.Err(); err != nil {
			return err // even while more is at hand
		}
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		position, lost := meta.Sequence.Stream, meta.Sequence.Consumer != delivered+1
		delivered = meta.Sequence.Consumer
		if position <= d.last {
			continue
		}
		if lost || d.filter == "" && position != d.last+1 {
			if err := l.fill(ctx, d, position-1-d.last, yield); err != nil {
				return err
			}
		}
		m := stored{subject: msg.Subject(), position: position, headers: msg.Headers(), data: msg.Data()}
		if position <= d.last || d.done() {
			continue
		}
		if err := l.hand(ctx, d, m, yield); err != nil {
			return err
		}
	}
	return nil
}

func (d *delivery) done() bool { return d.until > 0 && d.last >= d.until }

// fill asks for what the consumer did not deliver: at most limit events
// behind the last one, and none beyond the last position plus limit.
func (l *JetStream) fill(ctx context.Context, d *delivery, limit uint64, yield yieldFunc) error {
	subject, end := d.filter, d.last+limit
	if subject == "" {
		subject = allEvents
	}
	for ; limit > 0 && d.last < end && !d.done(); limit-- {
		m, ok, err := l.next(ctx, subject, d.last)
		if err != nil || !ok || d.filter != "" && m.position > end {
			return err
		}
		if err := l.hand(ctx, d, m, yield); err != nil {
			return err
		}
	}
	return nil
}

// hand yields one message and moves the delivery on. Without a filter none
// may be missing before it.
func (l *JetStream) hand(ctx context.Context, d *delivery, m stored, yield yieldFunc) error {
	if d.filter == "" && m.position != d.last+1 {
		return &CorruptError{Position: d.last + 1, Reason: "the event is missing"}
	}
	r, err := l.interpret(ctx, m)
	if err != nil {
		return err
	}
	d.last, d.raw, d.seen = m.position, sha256.Sum256(r.Raw), r.Event != nil
	if !yield(r, nil) {
		return errLeft
	}
	return nil
}

// interpret decodes a message, or recognizes it as a proven foreign one.
func (l *JetStream) interpret(ctx context.Context, m stored) (domain.Recorded, error) {
	r, err := decode(m)
	if err == nil {
		return r, nil
	}
	_, raw, ok, getErr := l.get(ctx, getRequest{Sequence: m.position})
	if getErr != nil || !ok {
		return r, errors.Join(ErrUnavailable, getErr)
	}
	return l.foreign.pass(m, raw, err)
}

// sameLog makes sure that what comes next belongs to what was yielded before.
func (l *JetStream) sameLog(ctx context.Context, d *delivery) error {
	if d.until > 0 && d.run == 0 {
		return nil
	}
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	if info.State.LastSeq < d.last || !d.created.IsZero() && !d.created.Equal(info.Created) {
		return ErrReplaced
	}
	if !d.seen {
		return nil
	}
	m, _, ok, err := l.get(ctx, getRequest{Sequence: d.last})
	if err != nil {
		return err
	}
	if values := m.headers[RecordHeader]; !ok || len(values) != 1 || sha256.Sum256([]byte(values[0])) != d.raw {
		return ErrReplaced
	}
	return nil
}

// subscribe makes a consumer that begins behind the last yielded event.
func (l *JetStream) subscribe(ctx context.Context, d *delivery) (jetstream.MessagesContext, func(), error) {
	consumer, remove, err := l.consumer(ctx, d.filter, d.last)
	if err != nil {
		return nil, nil, err
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(deliverMessages, deliverBytes),
		jetstream.PullExpiry(deliverExpiry), jetstream.PullHeartbeat(deliverHeartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		remove()
		return nil, nil, err
	}
	return messages, func() { messages.Stop(); remove() }, nil
}
