package eventstore

import (
	"bytes"
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// MemoryAccessLog is an [AccessReadWriter] in this process's memory, for
// tests, as [Memory] is a [Log]. Safe for concurrent use.
type MemoryAccessLog struct {
	broker  memoryBroker
	expired atomic.Uint64 // the last position that is gone
}

var _ AccessReadWriter = (*MemoryAccessLog)(nil)

// NewMemoryAccessLog gives an empty log that was created at a time and reads
// that clock. fault may be nil.
func NewMemoryAccessLog(now func() time.Time, fault Fault) *MemoryAccessLog {
	return &MemoryAccessLog{broker: newMemoryBroker(now, fault)}
}

// Expire lets every message up to a position go, as age does in a server.
func (l *MemoryAccessLog) Expire(upTo uint64) { l.expired.Store(min(upTo, l.broker.head())) }

// Append implements [AccessReadWriter].
func (l *MemoryAccessLog) Append(ctx context.Context, data []byte, _ []domain.Access) (uint64, error) {
	if err := checkAccessMessage(ctx, data); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), accessAck)
	defer cancel()
	var position uint64
	err := l.broker.fault.inject(accessOp(), func() error {
		position = l.broker.intrude(accessSubject, bytes.Clone(data), false)
		return l.broker.durable(ctx, position)
	})
	return position, accessOutcome(err)
}

// Read implements [AccessReadWriter].
func (l *MemoryAccessLog) Read(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		if l.yield(ctx, after, l.broker.head(), yield) && ctx.Err() != nil {
			yield(domain.AccessMessage{}, ctx.Err())
		}
	}
}

// Follow implements [AccessReadWriter].
func (l *MemoryAccessLog) Follow(ctx context.Context, after uint64) iter.Seq2[domain.AccessMessage, error] {
	return func(yield func(domain.AccessMessage, error) bool) {
		replaced := l.broker.follow(ctx, after, func(after, until uint64) bool { return l.yield(ctx, after, until, yield) })
		if replaced {
			yield(domain.AccessMessage{}, ErrReplaced)
		}
	}
}

// yield hands out what lies in (after, until] while ctx lasts. False: the
// reader left or was told of an error.
func (l *MemoryAccessLog) yield(ctx context.Context, after, until uint64, yield func(domain.AccessMessage, error) bool) bool {
	for ctx.Err() == nil {
		m, ok := l.broker.find(accessSubject, max(after, l.expired.Load()))
		if !ok || m.position > until {
			return true
		}
		a, err := accessMessage(ctx, m)
		if !yield(a, err) || err != nil {
			return false
		}
		after = m.position
	}
	return true
}

// Status implements [AccessReadWriter].
func (l *MemoryAccessLog) Status(context.Context) (domain.LogStatus, error) {
	s := l.broker.status()
	if s.Head > 0 {
		s.First = l.expired.Load() + 1
	}
	return s, nil
}

// Verify implements [AccessReadWriter].
func (*MemoryAccessLog) Verify(context.Context) error { return nil }
