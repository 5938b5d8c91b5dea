package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
)

// Options are the free choices of a [JetStream]. The zero value is usable.
type Options struct {
	// Replicas is for a stream that must be made: 1 (the default), 3 or 5.
	Replicas int
	// Foreign lists proven foreign messages by position: SHA-256 of the raw
	// message, which is its header block exactly as stored (from "NATS/1.0"
	// to the empty line; nothing if it has no headers) and then its data. A
	// message that is no event and is listed here is yielded as a foreign
	// message (see domain.Recorded) with these Raw bytes.
	Foreign map[uint64][32]byte
	// Logger is told when following the log must start anew. Default: silent.
	Logger *slog.Logger
}

// JetStream is the [Log] on a NATS server, embedded or not. Safe for
// concurrent use.
type JetStream struct {
	jetStreamBroker
	reader[domain.Recorded]
	appender appender
	foreign  foreign
	heads    *knownHeads // nil where others may append too, like tail
	flying   atomic.Int64
}

var _ Log = (*JetStream)(nil)

// OpenJetStream makes the events' stream when it is missing, verifies it and
// the server, and gives the log. The connection must come from [Connect] or
// [Embedded.Connect] and stays the caller's to close. Errors:
// ErrConfiguration, ErrCorrupt, ErrUnavailable.
func OpenJetStream(ctx context.Context, nc *nats.Conn, o Options) (*JetStream, error) {
	b, err := openBroker(ctx, nc, eventsConfig(max(1, o.Replicas)))
	if err != nil {
		return nil, err
	}
	l := &JetStream{jetStreamBroker: b, foreign: o.Foreign}
	if l.sync == nil {
		l.group = newGroup(&l.jetStreamBroker, appendedAlone, defaultTiming().ack)
	}
	l.reader = newReader(&l.jetStreamBroker, o.Logger, allEvents, l.interpret)
	if l.sync != nil { // nobody else can append
		status, err := l.status(ctx)
		if err != nil {
			return nil, err
		}
		l.tail = newTail(status.Head, func(r domain.Recorded) (uint64, int) { return r.Position, 1024 + 2*len(r.Raw) })
		if e, ok := nc.Opts.InProcessServer.(*Embedded); ok {
			l.heads = e.headsOf(EventsStream, status.Head)
		}
	}
	l.appender = appender{broker: &l.jetStreamBroker, timing: defaultTiming()}
	return l, l.Verify(ctx)
}

// Append implements [Log].
func (l *JetStream) Append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error) {
	defer l.flying.Add(-1)
	if l.flying.Add(1) > maxFlying {
		return domain.Recorded{}, fmt.Errorf("%w: too many appends are under way", ErrUnavailable)
	}
	r, err := l.append(ctx, stream, after, p)
	if err == nil && l.tail != nil {
		l.tail.add(r)
	}
	return r, err
}

// append appends behind what the heads know, where there are any.
func (l *JetStream) append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error) {
	if l.heads == nil || stream == nil {
		r, _, err := l.appender.append(ctx, stream, after, p, false)
		return r, err
	}
	certain, leave, err := l.heads.enter(ctx, stream.Subject(), after, p.Known)
	if err != nil {
		return domain.Recorded{}, err
	}
	outcome := headDoubtful // stands after a panic
	var position uint64
	defer func() { leave(position, outcome) }()
	r, found, err := l.appender.append(ctx, stream, after, p, certain)
	switch {
	case found: // what lies behind it is not known
	case err == nil:
		position, outcome = r.Position, headMoved
	case !errors.Is(err, ErrUncertain):
		outcome = headStays
	}
	return r, err
}

// Bootstrap implements [Log].
func (l *JetStream) Bootstrap(ctx context.Context, stream domain.Stream, ps []domain.Proposed) ([]domain.Recorded, error) {
	rs, err := l.appender.bootstrap(ctx, stream, ps)
	if l.heads != nil {
		switch {
		case err == nil:
			l.heads.raise(rs[len(rs)-1].Position)
		case errors.Is(err, ErrUncertain):
			l.heads.raise(doubtful)
		}
	}
	if err == nil && l.tail != nil {
		l.tail.add(rs...)
	}
	return rs, err
}

// Load implements [Log].
func (l *JetStream) Load(ctx context.Context, stream domain.Stream) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		l.load(ctx, domain.SubjectPrefix+stream.Subject(), yield)
	}
}

// Read implements [Log].
func (l *JetStream) Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		status, err := l.Status(ctx)
		switch {
		case err != nil:
			yield(domain.Recorded{}, err)
		case after < status.Head:
			l.deliver(ctx, delivery{last: after, until: status.Head}, yield)
		}
	}
}

// Follow implements [Log].
func (l *JetStream) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) { l.follow(ctx, after, yield) }
}

// Recent returns durable events right behind a position, in order and without a
// gap; none where the log would have to be read. It does not block.
func (l *JetStream) Recent(after uint64) []domain.Recorded {
	if l.tail == nil {
		return nil
	}
	events, _, _, _, _ := l.tail.after(after)
	return events
}

// Status implements [Log].
func (l *JetStream) Status(ctx context.Context) (domain.LogStatus, error) { return l.status(ctx) }

// Verify implements [Log].
func (l *JetStream) Verify(ctx context.Context) error {
	if err := l.verify(ctx); err != nil {
		return err
	}
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	return verifyComplete(EventsStream, info.State)
}

// maxFlying bounds the appends that are under way at once: who comes later is
// told to try again, instead of waiting behind all of them.
const maxFlying = 8192

// appendedAlone is how many appends an external server is sent one by one,
// each synced by itself, before an atomic batch is quicker: a sync takes
// 0.25 ms, a batch of 16 takes 2.3 ms.
const appendedAlone = 8

// apiTimeout bounds one question to the server.
const apiTimeout = 5 * time.Second

// jetStreamBroker is one stream of a JetStream server, as appending sees it.
type jetStreamBroker struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	config jetstream.StreamConfig // as it must be
	fault  Fault                  // set by tests alone
	// sync makes durable what the embedded server acknowledged; nil for
	// another server, which does that before it acknowledges.
	sync *natsfile.Stream
	// group is where appends meet; nil sends each by itself.
	group *group
	// batchID and a number name a batch.
	batchID string
	batches *atomic.Uint64
}

func openBroker(ctx context.Context, nc *nats.Conn, config jetstream.StreamConfig) (jetStreamBroker, error) {
	if nc.Opts.ReconnectBufSize >= 0 {
		// A buffered message is sent after its append was reported as failed.
		return jetStreamBroker{}, &ConfigurationError{Setting: "reconnect buffer of the connection", Want: "off", Got: "on"}
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return jetStreamBroker{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b := jetStreamBroker{nc: nc, js: js, config: config, batchID: strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix) + "-", batches: new(atomic.Uint64)}
	_, err = b.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// Two nodes may do this at once; the same configuration twice is no
		// error, and another is found by verify.
		if _, err = js.CreateStream(ctx, config); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			err = nil
		}
	}
	if err != nil {
		return jetStreamBroker{}, fmt.Errorf("%w: stream %s: %w", ErrUnavailable, config.Name, err)
	}
	if _, durable := LogFiles(nil)[config.Name]; durable {
		if e, ok := nc.Opts.InProcessServer.(*Embedded); ok {
			head, err := b.lastSequence(ctx)
			if err != nil {
				return jetStreamBroker{}, err
			}
			if b.sync, err = e.files.Stream(ctx, config.Name, head, config.MaxAge); err != nil {
				return jetStreamBroker{}, err
			}
		}
	}
	return b, b.verify(ctx)
}

func (b *jetStreamBroker) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, b.config.Name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return s.CachedInfo(), nil
}

func (b *jetStreamBroker) lastSequence(ctx context.Context) (uint64, error) {
	info, err := b.info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// status never waits for a sync.
func (b *jetStreamBroker) status(ctx context.Context) (domain.LogStatus, error) {
	info, err := b.info(ctx)
	if err != nil {
		return domain.LogStatus{}, err
	}
	s := domain.LogStatus{
		Created: info.Created.UTC(), Head: info.State.LastSeq, Stored: info.State.LastSeq,
		Durability: domain.DurableByServer, Bytes: info.State.Bytes, Clock: info.TimeStamp.UTC(),
	}
	if b.sync != nil {
		s.Head, s.Durability = min(s.Head, b.sync.Durable()), domain.DurableHere
	} else if err := b.batchesSynced(ctx, s.Head); err != nil {
		return domain.LogStatus{}, err
	}
	if s.Head > 0 {
		s.First = min(info.State.FirstSeq, s.Head+1)
	}
	return s, nil
}

func (b *jetStreamBroker) verify(ctx context.Context) error {
	if limit := b.nc.MaxPayload(); limit < minPayload {
		return &ConfigurationError{Setting: "max_payload", Want: fmt.Sprintf("at least %d", minPayload), Got: fmt.Sprint(limit)}
	}
	info, err := b.info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return &ConfigurationError{Stream: b.config.Name, Setting: "the stream", Want: "there", Got: "missing"}
	}
	if err != nil {
		return err
	}
	if b.sync != nil && info.Config.Compression != jetstream.NoCompression {
		return &ConfigurationError{Stream: b.config.Name, Setting: "compression", Want: "none", Got: info.Config.Compression.String()}
	}
	return VerifyStream(b.config, info.Config)
}

// Fault returns why nothing more becomes durable in the stream's files, or nil.
// It lasts until the process ends: appends fail, and what was durable can be
// read.
func (b *jetStreamBroker) Fault() error {
	if b.sync == nil {
		return nil
	}
	return b.sync.Fault()
}
