package eventstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"iter"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Memory is a [Log] in this process's memory, for tests. It keeps nothing when
// the process ends: for it a message is durable once its [OpSync] was carried
// out. It encodes, decodes and settles by the same code as [JetStream]. Safe
// for concurrent use.
type Memory struct {
	broker   memoryBroker
	appender appender
}

var _ Log = (*Memory)(nil)

// NewMemory gives an empty log that was created at a time and reads that
// clock. fault may be nil.
func NewMemory(now func() time.Time, fault Fault) *Memory {
	l := &Memory{broker: newMemoryBroker(now, fault)}
	l.appender = appender{broker: &l.broker, timing: memoryTiming()}
	return l
}

// memoryTiming waits long for what only a test holds.
func memoryTiming() timing {
	return timing{ack: time.Minute, settle: 100 * time.Millisecond, pause: time.Millisecond}
}

// Append implements [Log].
func (l *Memory) Append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error) {
	r, _, err := l.appender.append(ctx, stream, after, p, false)
	return r, err
}

// Bootstrap implements [Log].
func (l *Memory) Bootstrap(ctx context.Context, stream domain.Stream, ps []domain.Proposed) ([]domain.Recorded, error) {
	return l.appender.bootstrap(ctx, stream, ps)
}

// Load implements [Log].
func (l *Memory) Load(ctx context.Context, stream domain.Stream) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		subject := domain.SubjectPrefix + stream.Subject()
		last := l.broker.lastOf(subject)
		if err := awaitDurable(ctx, &l.broker, last); err != nil {
			yield(domain.Recorded{}, err)
			return
		}
		l.read(ctx, subject, 0, last, yield)
	}
}

// Read implements [Log].
func (l *Memory) Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		l.read(ctx, allEvents, after, l.broker.head(), yield)
	}
}

// Follow implements [Log].
func (l *Memory) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		replaced := l.broker.follow(ctx, after, func(after, until uint64) bool {
			return l.yield(ctx, allEvents, after, until, yield)
		})
		if replaced {
			yield(domain.Recorded{}, ErrReplaced)
		}
	}
}

// read yields what lies in (after, until], or says that ctx ended before.
func (l *Memory) read(ctx context.Context, subject string, after, until uint64, yield yieldFunc) {
	left := false
	l.yield(ctx, subject, after, until, func(r domain.Recorded, err error) bool {
		left = !yield(r, err) || err != nil
		return !left
	})
	if err := ctx.Err(); err != nil && !left {
		yield(domain.Recorded{}, err)
	}
}

// yield hands out what lies in (after, until] and says whether to go on.
func (l *Memory) yield(ctx context.Context, subject string, after, until uint64, yield yieldFunc) bool {
	for {
		m, ok := l.broker.find(subject, after)
		if !ok || m.position > until {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r, err := l.broker.interpret(m)
		if !yield(r, err) || err != nil {
			return false
		}
		after = m.position
	}
}

// Intrude stores bytes that are no event on a subject, as somebody else with
// access to a server's account could, makes all that is stored durable and
// gives their position. Proven, they are listed as by [Options.Foreign];
// otherwise readings end there.
func (l *Memory) Intrude(subject string, raw []byte, proven bool) uint64 {
	position := l.broker.intrude(subject, bytes.Clone(raw), proven)
	l.broker.sync(position)
	return position
}

// Status implements [Log].
func (l *Memory) Status(context.Context) (domain.LogStatus, error) {
	s := l.broker.status()
	s.First = min(1, s.Head)
	return s, nil
}

// Verify implements [Log].
func (l *Memory) Verify(context.Context) error { return nil }

// memoryBroker is the message store of a Memory.
type memoryBroker struct {
	created time.Time
	now     func() time.Time
	fault   Fault

	mu       sync.Mutex
	messages []stored      // position is index + 1
	foreign  foreign       // among them
	synced   uint64        // all up to here are durable
	grown    chan struct{} // closed and replaced with every write
}

func newMemoryBroker(now func() time.Time, fault Fault) memoryBroker {
	return memoryBroker{created: now().UTC(), now: now, fault: fault, foreign: foreign{}, grown: make(chan struct{})}
}

// send implements broker.
func (b *memoryBroker) send(_ context.Context, w write, attempt int) (uint64, error) {
	var position uint64
	err := b.fault.inject(writeOp(w, attempt), func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if last := b.last(w.rivals()); last != w.after {
			return ErrConflict
		}
		for _, m := range w.messages {
			s := stored{subject: m.subject, position: uint64(len(b.messages) + 1), at: b.now().UTC(), data: m.body}
			if m.record != nil {
				s.headers = map[string][]string{RecordHeader: {string(m.record)}}
			}
			b.messages = append(b.messages, s)
		}
		position = b.announce()
		return nil
	})
	return position, outcome(err)
}

// durable implements broker: see [Memory].
func (b *memoryBroker) durable(ctx context.Context, position uint64) error {
	if position <= b.head() {
		return nil
	}
	synced := make(chan error, 1)
	go func() { // a held sync holds nobody beyond ctx
		synced <- b.fault.inject(Op{Kind: OpSync, Attempt: 1}, func() error {
			b.sync(position)
			return nil
		})
	}()
	select {
	case err := <-synced:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *memoryBroker) sync(position uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.synced = max(b.synced, position)
}

// follow calls yield for what lies behind a position and what comes, each time
// once it is durable, until ctx ends or yield returns false. replaced: the
// store ends before the position.
func (b *memoryBroker) follow(ctx context.Context, after uint64, yield func(after, until uint64) bool) (replaced bool) {
	for last, grown := b.watch(); after <= last; last, grown = b.watch() {
		head := b.head()
		if !yield(after, head) {
			return false
		}
		after = max(after, head)
		if head < last {
			// As [JetStream] does, also for an append of which nobody found out.
			if err := b.durable(ctx, last); err != nil && !sleep(ctx, memoryTiming().pause) {
				return false
			}
			continue
		}
		select {
		case <-ctx.Done():
			return false
		case <-grown:
		}
	}
	return true
}

// status leaves First to the log.
func (b *memoryBroker) status() domain.LogStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return domain.LogStatus{
		Created: b.created, Head: b.synced, Stored: uint64(len(b.messages)), Durability: domain.DurableHere, Clock: b.now().UTC(),
	}
}

func (b *memoryBroker) intrude(subject string, raw []byte, proven bool) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	position := uint64(len(b.messages) + 1)
	b.messages = append(b.messages, stored{subject: subject, position: position, at: b.now().UTC(), data: raw})
	if proven {
		b.foreign[position] = sha256.Sum256(raw)
	}
	return b.announce()
}

// announce wakes who follows and gives the position of the last message. mu
// must be held.
func (b *memoryBroker) announce() uint64 {
	close(b.grown)
	b.grown = make(chan struct{})
	return uint64(len(b.messages))
}

// interpret decodes a message, or recognizes it as a proven foreign one. One
// without a record has no headers here, so its data are all its bytes.
func (b *memoryBroker) interpret(m stored) (domain.Recorded, error) {
	r, err := decode(m)
	if err == nil {
		return r, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.foreign.pass(m, m.data, err)
}

// next implements broker.
func (b *memoryBroker) next(_ context.Context, subject string, after uint64) (m stored, ok bool, err error) {
	err = b.fault.inject(Op{Kind: OpLookUp, Subject: subject, Attempt: 1}, func() error {
		m, ok = b.find(subject, after)
		return nil
	})
	return m, ok, err
}

func (b *memoryBroker) find(subject string, after uint64) (stored, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := after; i < uint64(len(b.messages)); i++ {
		if subject == allEvents || b.messages[i].subject == subject {
			return b.messages[i], true
		}
	}
	return stored{}, false
}

// last gives the position of a subject's last message, 0 for none.
func (b *memoryBroker) last(subject string) uint64 {
	for i := len(b.messages) - 1; i >= 0; i-- {
		if subject == allEvents || b.messages[i].subject == subject {
			return b.messages[i].position
		}
	}
	return 0
}

// lastOf is last for who does not hold mu.
func (b *memoryBroker) lastOf(subject string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last(subject)
}

// head returns the last durable position.
func (b *memoryBroker) head() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.synced
}

// watch returns the last position, durable or not.
func (b *memoryBroker) watch() (last uint64, grown <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return uint64(len(b.messages)), b.grown
}
