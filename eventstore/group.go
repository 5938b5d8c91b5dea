package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// groupWrites and groupBytes bound one batch. The server takes 1,000
	// messages at most, and stages a batch before it stores it.
	groupWrites = 512
	groupBytes  = 8 << 20
	// groupWaiting and groupWaitingBytes bound what waits to be sent; whoever
	// comes later is told to try again.
	groupWaiting      = 8192
	groupWaitingBytes = 64 << 20
	// groupHeads is how many subjects are remembered for the check before a
	// batch is sent.
	groupHeads = 8192
)

// groupSender is what a [group] sends with.
type groupSender interface {
	// sendOne stores one message if the last one of its subject is at after.
	// Its errors are those of broker.send.
	sendOne(ctx context.Context, m message, after uint64) (uint64, error)
	// sendGroup stores all, each under its own expectation, or none, and gives
	// the position of the last. Its errors are those of broker.send.
	sendGroup(ctx context.Context, ws []*groupedWrite) (last uint64, err error)
}

// group is where writes of single messages meet that are under way at the
// same moment. Up to alone of them are sent one by one, each synced by itself:
// the quickest for few. More go to the store as one atomic batch, which is
// synced once. There is no lingering: what comes while one batch is under way
// makes the next one.
//
// The writes of a batch have nothing to do with each other. One that cannot be
// stored makes the store refuse all; then each is sent alone and gets its own
// answer. So that this is rare, a batch has at most one write of a subject,
// and none of which this process knows that its expectation is old.
//
// A crash in the middle of a batch leaves any number of its first messages
// stored. Nobody was answered, so each is an append with a lost
// acknowledgement.
type group struct {
	groupSender
	alone int
	ack   time.Duration // for the answer to a batch

	mu      sync.Mutex
	waiting []*groupedWrite
	bytes   int  // of what waits
	flying  int  // callers that are sending by themselves
	running bool // run is sending what waits
	heads   heads
}

// groupedWrite is one write in a group. Guarded by group.mu until it is taken
// out of the queue.
type groupedWrite struct {
	message message
	after   uint64
	taken   bool
	left    bool // the caller went away before it was taken
	done    chan groupAnswer
}

type groupAnswer struct {
	position uint64
	err      error
}

func newGroup(s groupSender, alone int, ack time.Duration) *group {
	return &group{groupSender: s, alone: max(1, alone), ack: ack}
}

// send stores one message. Its errors are those of broker.send; when ctx ends
// first, ErrUnavailable says that nothing was sent and any other error
// nothing.
func (g *group) send(ctx context.Context, m message, after uint64) (uint64, error) {
	g.mu.Lock()
	if !g.running && len(g.waiting) == 0 && g.flying < g.alone {
		g.flying++
		g.mu.Unlock()
		position, err := g.sendOne(ctx, m, after)
		g.mu.Lock()
		g.flying--
		if err == nil {
			g.heads.put(m.subject, position)
		}
		g.start() //nolint:contextcheck // what is sent together outlives each caller.
		g.mu.Unlock()
		return position, err
	}
	size := m.size()
	if len(g.waiting) >= groupWaiting || g.bytes+size > groupWaitingBytes {
		g.mu.Unlock()
		return 0, fmt.Errorf("%w: too many appends are waiting", ErrUnavailable)
	}
	w := &groupedWrite{message: m, after: after, done: make(chan groupAnswer, 1)}
	g.waiting, g.bytes = append(g.waiting, w), g.bytes+size
	g.start() //nolint:contextcheck // as above.
	g.mu.Unlock()
	select {
	case a := <-w.done:
		return a.position, a.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !w.taken {
		w.left = true
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	return 0, ctx.Err()
}

// start has what waits sent, unless it goes with what is under way. mu is held.
func (g *group) start() {
	if !g.running && len(g.waiting) > 0 && (g.flying < g.alone || len(g.waiting) > g.alone) {
		g.running = true
		go g.run()
	}
}

// run sends until nothing waits.
func (g *group) run() {
	for {
		g.mu.Lock()
		batch, single := g.take()
		if len(batch)+len(single) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		if len(batch) > 0 && !g.sendBatch(batch) {
			single = append(single, batch...)
		}
		g.sendEach(single)
	}
}

// take gives what is to be sent next: a batch, and what must not be in one.
// What would be the second of a subject waits for the next time. mu is held.
func (g *group) take() (batch, single []*groupedWrite) {
	subjects := make(map[string]struct{}, min(len(g.waiting), groupWrites))
	rest, bytes := g.waiting[:0:0], 0
	for i, w := range g.waiting {
		size := w.message.size()
		if w.left {
			g.bytes -= size
			continue
		}
		_, again := subjects[w.message.subject]
		if again || len(batch) > 0 && (len(batch) == groupWrites || bytes+size > groupBytes) {
			if len(batch) == groupWrites {
				rest = append(rest, g.waiting[i:]...)
				break
			}
			rest = append(rest, w)
			continue
		}
		subjects[w.message.subject] = struct{}{}
		w.taken = true
		g.bytes -= size
		if g.heads.get(w.message.subject) > w.after {
			single = append(single, w)
			continue
		}
		batch, bytes = append(batch, w), bytes+size
	}
	g.waiting = rest
	if len(batch) <= g.alone {
		return nil, append(single, batch...)
	}
	return batch, single
}

// sendBatch answers all writes, or says that none of them is stored.
func (g *group) sendBatch(batch []*groupedWrite) bool {
	ctx, cancel := context.WithTimeout(context.Background(), g.ack)
	defer cancel()
	last, err := g.sendGroup(ctx, batch)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrUnavailable) {
		return false
	}
	if err == nil {
		first := last - uint64(len(batch)-1) //nolint:gosec // not negative.
		g.mu.Lock()
		for i, w := range batch {
			g.heads.put(w.message.subject, first+uint64(i))
		}
		g.mu.Unlock()
		for i, w := range batch {
			w.done <- groupAnswer{position: first + uint64(i)}
		}
		return true
	}
	for _, w := range batch {
		w.done <- groupAnswer{err: err} // each settles for itself
	}
	return true
}

// sendEach sends the writes one behind the other without waiting in between.
func (g *group) sendEach(single []*groupedWrite) {
	ctx, cancel := context.WithTimeout(context.Background(), g.ack)
	defer cancel()
	var sending sync.WaitGroup
	for _, w := range single {
		sending.Go(func() {
			position, err := g.sendOne(ctx, w.message, w.after)
			if err == nil {
				g.mu.Lock()
				g.heads.put(w.message.subject, position)
				g.mu.Unlock()
			}
			w.done <- groupAnswer{position: position, err: err}
		})
	}
	sending.Wait()
}

func (m message) size() int { return len(m.subject) + len(m.record) + len(m.body) }

// heads remembers the last position of the subjects that were written lately:
// between groupHeads and twice as many.
type heads struct{ young, old map[string]uint64 }

func (h *heads) put(subject string, position uint64) {
	if len(h.young) >= groupHeads {
		h.old, h.young = h.young, nil
	}
	if h.young == nil {
		h.young = make(map[string]uint64, groupHeads)
	}
	h.young[subject] = max(position, h.young[subject])
}

// get gives 0 for a subject that is not remembered.
func (h *heads) get(subject string) uint64 { return max(h.young[subject], h.old[subject]) }
