package accesslog

import (
	"context"
	"iter"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// queue holds the messages that wait for the next transaction: one goroutine
// fills it, one takes all there are. It is bounded in messages and bytes.
type queue struct {
	messages, bytes int // bounds

	mu      sync.Mutex
	waiting []domain.AccessMessage
	size    int
	ended   error
	filled  chan struct{} // something to take, or the end
	emptied chan struct{} // room again
}

func newQueue(messages, bytes int) *queue {
	return &queue{messages: messages, bytes: bytes, filled: make(chan struct{}, 1), emptied: make(chan struct{}, 1)}
}

// fill moves everything into the queue until ctx or the messages end.
func (q *queue) fill(ctx context.Context, log iter.Seq2[domain.AccessMessage, error]) {
	for m, err := range log {
		if err != nil {
			q.end(err)
			return
		}
		if !q.push(ctx, m) {
			return
		}
	}
	q.end(errEnded)
}

func (q *queue) end(err error) {
	q.mu.Lock()
	q.ended = err
	q.mu.Unlock()
	signal(q.filled)
}

func (q *queue) push(ctx context.Context, m domain.AccessMessage) bool {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 || len(q.waiting) < q.messages && q.size+len(m.Raw) <= q.bytes {
			q.waiting, q.size = append(q.waiting, m), q.size+len(m.Raw)
			q.mu.Unlock()
			signal(q.filled)
			return true
		}
		q.mu.Unlock()
		select {
		case <-q.emptied:
		case <-ctx.Done():
			return false
		}
	}
}

// take waits for messages and gives all there are, or the error that ended
// them, or that of ctx.
func (q *queue) take(ctx context.Context) ([]domain.AccessMessage, error) {
	for ctx.Err() == nil {
		q.mu.Lock()
		batch, ended := q.waiting, q.ended
		q.waiting, q.size = nil, 0
		q.mu.Unlock()
		switch {
		case len(batch) > 0:
			signal(q.emptied)
			return batch, nil
		case ended != nil:
			return nil, ended
		}
		select {
		case <-q.filled:
		case <-ctx.Done():
		}
	}
	return nil, context.Cause(ctx)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
