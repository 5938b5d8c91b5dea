package projections

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// errEnded is a source that broke its contract.
var errEnded = errors.New("projections: the log ended")

// queue holds the events that wait for the next transaction: one goroutine
// fills it, one takes all there are. It is bounded in events and bytes.
type queue struct {
	events, bytes int // bounds

	mu      sync.Mutex
	waiting []domain.Recorded
	size    int
	ended   error
	filled  chan struct{} // something to take, or the end
	emptied chan struct{} // room again
}

func newQueue(events, bytes int) *queue {
	return &queue{events: events, bytes: bytes, filled: make(chan struct{}, 1), emptied: make(chan struct{}, 1)}
}

// fill moves everything into the queue until ctx or the events end.
func (q *queue) fill(ctx context.Context, log iter.Seq2[domain.Recorded, error]) {
	for r, err := range log {
		if err != nil {
			q.end(err)
			return
		}
		if !q.push(ctx, r) {
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

func (q *queue) push(ctx context.Context, r domain.Recorded) bool {
	size := sizeOf(r)
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 || len(q.waiting) < q.events && q.size+size <= q.bytes {
			q.waiting, q.size = append(q.waiting, r), q.size+size
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

// take waits for events and gives all there are, or the error that ended
// them, or that of ctx. The batch before is done with: its room is used again.
func (q *queue) take(ctx context.Context, before []domain.Recorded) ([]domain.Recorded, error) {
	clear(before)
	for ctx.Err() == nil {
		q.mu.Lock()
		if batch := q.waiting; len(batch) > 0 {
			q.waiting, q.size = before[:0], 0
			q.mu.Unlock()
			signal(q.emptied)
			return batch, nil
		}
		ended := q.ended
		q.mu.Unlock()
		if ended != nil {
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

// sizeOf is about what an event takes in memory.
func sizeOf(r domain.Recorded) int {
	size := 512 + len(r.Raw)
	if r.Event == nil {
		return size
	}
	for _, f := range domain.BodyOf(r.Event).Fields {
		switch v := f.Value.(type) {
		case domain.Sealed:
			size += len(v.Box)
		case domain.Envelope:
			size += len(v.Ciphertext) + len(v.DataKey)
		case domain.Plaintext:
		}
	}
	return size
}
