package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

// AccessReadWriter is the access log: messages of records in one order, of
// which the oldest may go by age. [AccessLog] and [MemoryAccessLog] are it.
// Only what is durable can be seen, as in a [Log].
//
// Iterators yield an error at most once, as their last pair. They may be left
// at any time and hold no resources afterwards. What cannot be decoded ends
// them with ErrCorrupt.
type AccessReadWriter interface {
	// Append stores one message of records as they are encoded and returns its
	// position; nil means durable. records is nil, or what decoding data gives
	// and nothing that is changed later: Follow may yield it. ErrUnavailable: not stored. ErrUncertain: it
	// may or may not be stored, and nobody finds out: a record of what was
	// then not released does no harm. ErrRefused: it is empty or longer than 60
	// KiB. The end of ctx before sending began is ErrUnavailable; later it does
	// not matter.
	Append(ctx context.Context, data []byte, records []domain.Access) (position uint64, err error)

	// Read yields every message after a position that is still there, to the
	// head that Status names as of the call. ErrUnavailable: the log cannot be reached. When ctx
	// ends first, its error is yielded.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error]

	// Follow yields every message after a position that is still there, then
	// those to come. It ends with ctx (then without an error), with
	// ErrCorrupt, or with ErrReplaced, and with nothing else. What is stored
	// and was made durable by nobody is treated as by [Log.Follow].
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error]

	// Status asks the log about itself and never waits for a sync. Where
	// everything has expired, First is one more than Head. ErrUnavailable: the
	// log cannot be reached.
	Status(ctx context.Context) (domain.LogStatus, error)

	// Verify checks that the log still is configured as it must be and that
	// behind its first message none is missing. Whether what came before that
	// one was proven before it went is for whoever keeps the tree.
	// ErrConfiguration names the setting that is not, ErrCorrupt says what is
	// missing.
	Verify(ctx context.Context) error
}

// AccessOptions are the free choices of an [AccessLog]. The zero value is
// usable.
type AccessOptions struct {
	// Replicas is for a stream that must be made: 1 (the default), 3 or 5.
	Replicas int
	// MaxAge is how long records are kept, at least 100 ms; 0 is for ever. The
	// stream is changed to it where it differs in nothing else.
	MaxAge time.Duration
	// Logger is told when following the log must start anew. Default: silent.
	Logger *slog.Logger
}

// AccessLog is the [AccessReadWriter] on a NATS server, embedded or not. Safe
// for concurrent use.
type AccessLog struct {
	jetStreamBroker
	reader[domain.AccessMessage]
}

var _ AccessReadWriter = (*AccessLog)(nil)

// OpenAccessLog makes the access log's stream when it is missing, sets how
// long it keeps messages, verifies it and the server, and gives the log. The
// connection is as for [OpenJetStream]. Errors: ErrConfiguration,
// ErrCorrupt, ErrUnavailable.
func OpenAccessLog(ctx context.Context, nc *nats.Conn, o AccessOptions) (*AccessLog, error) {
	b, err := openBroker(ctx, nc, accessConfig(max(1, o.Replicas), o.MaxAge))
	if c, ok := errors.AsType[*ConfigurationError](err); ok && c.Setting == "max_age" {
		err = b.setMaxAge(ctx)
	}
	if err != nil {
		return nil, err
	}
	l := &AccessLog{jetStreamBroker: b}
	l.reader = newReader(&l.jetStreamBroker, o.Logger, accessSubject, accessMessage)
	l.expires = true
	if l.sync != nil { // nobody else can append
		status, err := l.status(ctx)
		if err != nil {
			return nil, err
		}
		l.tail = newTail(status.Head, func(m domain.AccessMessage) (uint64, int) {
			return m.Position, 1024 + 2*len(m.Raw) + len(m.Records)*int(unsafe.Sizeof(domain.Access{}))
		})
	}
	return l, l.Verify(ctx)
}

// setMaxAge changes the one setting that is the operator's, and nothing where
// another is wrong.
func (b *jetStreamBroker) setMaxAge(ctx context.Context) error {
	info, err := b.info(ctx)
	if err != nil {
		return err
	}
	old := b.config
	old.MaxAge = info.Config.MaxAge
	if err := VerifyStream(old, info.Config); err != nil {
		return err
	}
	wanted := info.Config
	wanted.MaxAge = b.config.MaxAge
	wanted.Duplicates = duplicateWindow // no more than the age
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if _, err := b.js.UpdateStream(ctx, wanted); err != nil {
		return fmt.Errorf("%w: stream %s: %w", ErrUnavailable, b.config.Name, err)
	}
	return b.verify(ctx)
}

// accessAck bounds the wait for one acknowledgement.
const accessAck = 5 * time.Second

// Append implements [AccessReadWriter]. It sends once: settling a lost
// acknowledgement would hold up everybody who waits behind.
func (l *AccessLog) Append(ctx context.Context, data []byte, records []domain.Access) (uint64, error) {
	return l.append(ctx, data, records)
}

// AppendAfter is Append for the only writer of the log, who knows its head: the
// message is stored at position after+1. Nil means durable. Appending the same
// again after an error is safe: it is stored once. ErrConflict: that position
// has another message.
func (l *AccessLog) AppendAfter(ctx context.Context, after uint64, data []byte, records []domain.Access) error {
	_, err := l.append(ctx, data, records, jetstream.WithExpectLastSequence(after))
	if !errors.Is(err, ErrConflict) {
		return err
	}
	// An earlier try may have been stored. A try that is still in flight will be
	// refused, as this one was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), accessAck)
	defer cancel()
	m, _, there, err := l.get(ctx, getRequest{Sequence: after + 1})
	if err != nil {
		return accessOutcome(err)
	}
	if !there {
		status, err := l.status(ctx)
		if err != nil {
			return accessOutcome(err)
		}
		if status.First > after+1 {
			return nil // it has expired
		}
	}
	if !there || !bytes.Equal(m.data, data) {
		return fmt.Errorf("%w: position %d of the access log is not the writer's next one", ErrConflict, after+1)
	}
	if err := l.durable(ctx, after+1); err != nil {
		return accessOutcome(err)
	}
	l.appended(after+1, data, records)
	return nil
}

func (l *AccessLog) append(ctx context.Context, data []byte, records []domain.Access, expect ...jetstream.PublishOpt) (uint64, error) {
	if err := checkAccessMessage(ctx, data); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), accessAck)
	defer cancel()
	var position uint64
	err := l.fault.inject(accessOp(), func() error {
		if !l.nc.IsConnected() {
			return fmt.Errorf("%w: not connected", ErrUnavailable)
		}
		if err := l.Fault(); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		ack, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: accessSubject, Data: data}, append(expect, jetstream.WithExpectStream(l.config.Name))...)
		if err != nil {
			return err
		}
		position = ack.Sequence
		return l.durable(ctx, position)
	})
	if err == nil {
		l.appended(position, data, records)
	}
	return position, accessOutcome(err)
}

// appended shows followers a durable message.
func (l *AccessLog) appended(position uint64, data []byte, records []domain.Access) {
	if l.tail != nil {
		l.tail.add(domain.AccessMessage{Position: position, Raw: bytes.Clone(data), Records: records})
	}
}

func accessOp() Op { return Op{Kind: OpAppend, Subject: accessSubject, Attempt: 1} }

func checkAccessMessage(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(data) == 0 || len(data) > MaxAccessMessage {
		return refusedf("it has %d bytes", len(data))
	}
	return nil
}

// accessOutcome says what an error of sending means: what is not known for
// certain stays so.
func accessOutcome(err error) error {
	err = outcome(err)
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUncertain) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// Read implements [AccessReadWriter].
func (l *AccessLog) Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		status, err := l.Status(ctx)
		switch {
		case err != nil:
			yield(domain.AccessMessage{}, err)
		case max(after+1, status.First) <= status.Head:
			l.deliver(ctx, delivery{last: max(after+1, status.First) - 1, until: status.Head}, yield)
		}
	}
}

// Follow implements [AccessReadWriter].
func (l *AccessLog) Follow(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		l.follow(ctx, after, func(m domain.AccessMessage, err error) bool {
			if err == nil && m.Records == nil { // from the tail, appended without
				m, err = readAccess(m)
			}
			return yield(m, err) && err == nil
		})
	}
}

// Status implements [AccessReadWriter].
func (l *AccessLog) Status(ctx context.Context) (domain.LogStatus, error) { return l.status(ctx) }

// Verify implements [AccessReadWriter].
func (l *AccessLog) Verify(ctx context.Context) error {
	if err := l.verify(ctx); err != nil {
		return err
	}
	info, err := l.info(ctx)
	if err != nil {
		return err
	}
	return verifyDense(AccessStream, info.State)
}

func accessMessage(_ context.Context, m stored) (domain.AccessMessage, error) {
	if m.subject != accessSubject {
		return domain.AccessMessage{}, &CorruptError{Position: m.position, Reason: errSubject.Error()}
	}
	return readAccess(domain.AccessMessage{Position: m.position, Raw: m.data})
}

// readAccess decodes the records of a message.
func readAccess(m domain.AccessMessage) (domain.AccessMessage, error) {
	records, err := decodeAccess(m.Raw)
	if err != nil {
		return domain.AccessMessage{}, &CorruptError{Position: m.Position, Reason: err.Error()}
	}
	m.Records = records
	return m, nil
}
