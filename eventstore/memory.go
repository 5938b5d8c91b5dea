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

// Memory is a [Log] in this process's memory, for tests: it keeps nothing
// when the process ends, so for it "durable" means "applied". It encodes,
// decodes and settles by the same code as [JetStream]. Safe for concurrent
// use.
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

func memoryTiming() timing {
	return timing{ack: time.Second, settle: 100 * time.Millisecond, pause: time.Millisecond}
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
		l.read(ctx, domain.SubjectPrefix+stream.Subject(), 0, yield)
	}
}

// Read implements [Log].
func (l *Memory) Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		l.read(ctx, allEvents, after, yield)
	}
}

// Follow implements [Log].
func (l *Memory) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		if after > l.broker.head() {
			yield(domain.Recorded{}, ErrReplaced)
			return
		}
		for {
			head, grown := l.broker.watch()
			if !l.yield(ctx, allEvents, after, head, yield) {
				return
			}
			after = head
			select {
			case <-ctx.Done():
				return
			case <-grown:
			}
		}
	}
}

// read hands out what there is, or says that ctx ended before.
func (l *Memory) read(ctx context.Context, subject string, after uint64, yield yieldFunc) {
	left := false
	l.yield(ctx, subject, after, l.broker.head(), func(r domain.Recorded, err error) bool {
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
// access to a server's account could, and gives their position. Proven, they
// are listed as by [Options.Foreign]; otherwise readings end there.
func (l *Memory) Intrude(subject string, raw []byte, proven bool) uint64 {
	return l.broker.intrude(subject, bytes.Clone(raw), proven)
}

// Status implements [Log].
func (l *Memory) Status(context.Context) (domain.LogStatus, error) {
	head := l.broker.head()
	return domain.LogStatus{Created: l.broker.created, First: min(1, head), Head: head, Clock: l.broker.now().UTC()}, nil
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
func (*memoryBroker) durable(context.Context, uint64) error { return nil }

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

func (b *memoryBroker) head() uint64 {
	head, _ := b.watch()
	return head
}

func (b *memoryBroker) watch() (head uint64, grown <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return uint64(len(b.messages)), b.grown
}
