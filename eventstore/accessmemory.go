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
	var position uint64
	err := l.broker.fault.inject(accessOp(), func() error {
		position = l.broker.intrude(accessSubject, bytes.Clone(data), false)
		return nil
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
		if after > l.broker.head() {
			yield(domain.AccessMessage{}, ErrReplaced)
			return
		}
		for {
			head, grown := l.broker.watch()
			if !l.yield(ctx, after, head, yield) {
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
	s := domain.LogStatus{Created: l.broker.created, Head: l.broker.head(), Clock: l.broker.now().UTC()}
	if s.Head > 0 {
		s.First = l.expired.Load() + 1
	}
	return s, nil
}

// Verify implements [AccessReadWriter].
func (*MemoryAccessLog) Verify(context.Context) error { return nil }
