package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	// firstPause before a new consumer doubles up to maxPause.
	firstPause = 20 * time.Millisecond
	// expiryCheck is how long a bounded read waits for a message before it
	// asks whether what it waits for has expired.
	expiryCheck = 3 * time.Second
)

// delivery is the reading of a part of the log, across as many consumers as
// it takes.
type delivery struct {
	filter string // one subject, "" for all
	last   uint64 // position of the last event, exclusive start
	until  uint64 // position of the last one wanted, which is durable; 0 to follow
	synced uint64 // of an external server: batches up to here are synced

	run      int       // consumers so far
	created  time.Time // of the stream, when the first one began
	previous stored    // the last one that was yielded
	seen     bool      // previous is set
}

type yieldFunc = func(domain.Recorded, error) bool

// reader reads one stream; T is what its messages mean.
type reader[T any] struct {
	*jetStreamBroker
	logger  *slog.Logger
	subject string // of every message
	// meaning decodes a message. ErrCorrupt ends the reading.
	meaning func(context.Context, stored) (T, error)
	// expires says that the oldest messages may go. They are passed over; a
	// hole behind the first message that is there is corrupt all the same.
	expires bool
	tail    *tail[T] // nil where others may append too
}

func newReader[T any](b *jetStreamBroker, logger *slog.Logger, subject string, meaning func(context.Context, stored) (T, error)) reader[T] {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return reader[T]{jetStreamBroker: b, logger: logger, subject: subject, meaning: meaning}
}

// errLeft says that whoever ranges over the events has left.
var errLeft = errors.New("eventstore: left")

// deliver yields what d asks for. It starts a new consumer behind the last
// yielded event whenever the consumer before was lost.
func (l *reader[T]) deliver(ctx context.Context, d delivery, yield func(T, error) bool) {
	var none T
	failures, pause := 0, firstPause
	for read := l.begin; ; read = l.consume {
		before := d.last
		err := read(ctx, &d, yield)
		if d.last > before {
			failures, pause = 0, firstPause
		}
		failures++
		switch {
		case err == nil, errors.Is(err, errLeft):
			return
		case ctx.Err() != nil:
			if d.until > 0 {
				yield(none, ctx.Err())
			}
			return
		case errors.Is(err, ErrCorrupt), errors.Is(err, ErrReplaced):
			yield(none, err)
			return
		case d.until > 0 && failures >= maxFailures:
			yield(none, fmt.Errorf("%w: %w", ErrUnavailable, err))
			return
		}
		l.logger.LogAttrs(ctx, slog.LevelWarn, "reading the log goes on with a new consumer",
			slog.Uint64("position", d.last), slog.String("cause", err.Error()))
		sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// load yields the messages of a subject as of the call, once the last one is
// durable.
func (l *reader[T]) load(ctx context.Context, subject string, yield func(T, error) bool) {
	last, ok, err := l.durableLast(ctx, subject)
	switch {
	case err != nil:
		var none T
		yield(none, err)
	case ok:
		l.deliver(ctx, delivery{filter: subject, until: last.position}, yield)
	}
}

// begin yields the first message by itself: a caller who leaves after it costs
// neither a block nor a consumer. Then it yields from the files what they have,
// and the rest from a consumer.
func (l *reader[T]) begin(ctx context.Context, d *delivery, yield func(T, error) bool) error {
	if d.until > 0 && d.filter == "" {
		m, _, ok, err := l.get(ctx, getRequest{Sequence: d.last + 1})
		if err == nil && ok {
			err = l.hand(ctx, d, m, yield)
		}
		if err != nil || d.done() {
			return err
		}
	}
	if err := l.readFiles(ctx, d, yield); err != nil || d.done() {
		return err
	}
	return l.consume(ctx, d, yield)
}

// consume yields from one consumer; nil means that all is yielded.
func (l *reader[T]) consume(ctx context.Context, d *delivery, yield func(T, error) bool) error {
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
	if l.expires && d.until > 0 {
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		if info.State.FirstSeq > d.until {
			return nil
		}
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
		msg, err := l.await(ctx, d, messages)
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
		if d.until == 0 && position > d.synced && msg.Headers().Get(batchIDHeader) != "" {
			last := position + meta.NumPending // that were stored when this was sent
			if err := l.batchesSynced(ctx, last); err != nil {
				return err
			}
			d.synced = last
		}
		m := stored{subject: msg.Subject(), position: position, at: meta.Timestamp, headers: msg.Headers(), data: msg.Data()}
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
func (l *reader[T]) fill(ctx context.Context, d *delivery, limit uint64, yield func(T, error) bool) error {
	subject, end := d.filter, d.last+limit
	if subject == "" {
		subject = l.subject
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
func (l *reader[T]) hand(ctx context.Context, d *delivery, m stored, yield func(T, error) bool) error {
	if d.filter == "" && m.position != d.last+1 {
		if err := l.expired(ctx, d, m.position); err != nil {
			return err
		}
		if d.until > 0 && m.position > d.until {
			d.last = d.until
			return nil
		}
	}
	v, err := l.meaning(ctx, m)
	if err != nil {
		return err
	}
	d.last, d.previous, d.seen = m.position, m, true
	if !yield(v, nil) {
		return errLeft
	}
	return nil
}

// expired makes sure that everything between the last message and a position
// is gone by its age.
func (l *reader[T]) expired(ctx context.Context, d *delivery, position uint64) error {
	missing := d.last + 1
	if l.expires {
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		if info.State.FirstSeq >= position {
			return nil
		}
		missing = max(missing, info.State.FirstSeq)
	}
	return &CorruptError{Position: missing, Reason: "the message is missing"}
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
func (l *reader[T]) sameLog(ctx context.Context, d *delivery) error {
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
	if !d.seen || l.expires && info.State.FirstSeq > d.last {
		return nil
	}
	m, _, ok, err := l.get(ctx, getRequest{Sequence: d.last})
	if err != nil {
		return err
	}
	if !ok && l.expires {
		// It expired just now, or was replaced: the next try knows.
		return fmt.Errorf("%w: the last message is gone", ErrUnavailable)
	}
	if !ok || !slices.Equal(m.headers[RecordHeader], d.previous.headers[RecordHeader]) || !bytes.Equal(m.data, d.previous.data) {
		return ErrReplaced
	}
	return nil
}

// await waits for a consumer's next message. What a bounded read of a stream
// with expiry waits for may never come, so it does not wait for long.
func (l *reader[T]) await(ctx context.Context, d *delivery, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	if l.expires && d.until > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, expiryCheck)
		defer cancel()
	}
	return messages.Next(jetstream.NextContext(ctx))
}

// subscribe makes a consumer that begins behind the last yielded event.
func (l *reader[T]) subscribe(ctx context.Context, d *delivery) (jetstream.MessagesContext, func(), error) {
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
