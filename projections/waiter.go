package projections

import "container/heap"

// waiter is one call of WaitFor.
type waiter struct {
	position uint64
	index    int           // in the heap, -1 once released
	done     chan struct{} // closed on release
	err      error         // set before
}

// waiters is a heap by position: a new position wakes exactly those who
// waited for it, however many others there are.
type waiters []*waiter

// release lets the first waiter go.
func (ws *waiters) release(err error) {
	w := heap.Pop(ws).(*waiter) //nolint:errcheck,forcetypeassert // only waiters are pushed.
	w.err = err
	close(w.done)
}

// Len implements [heap.Interface].
func (ws waiters) Len() int { return len(ws) }

// Less implements [heap.Interface].
func (ws waiters) Less(i, j int) bool { return ws[i].position < ws[j].position }

// Swap implements [heap.Interface].
func (ws waiters) Swap(i, j int) {
	ws[i], ws[j] = ws[j], ws[i]
	ws[i].index, ws[j].index = i, j
}

// Push implements [heap.Interface].
func (ws *waiters) Push(x any) {
	w := x.(*waiter) //nolint:errcheck,forcetypeassert // only waiters are pushed.
	w.index = len(*ws)
	*ws = append(*ws, w)
}

// Pop implements [heap.Interface].
func (ws *waiters) Pop() any {
	last := len(*ws) - 1
	w := (*ws)[last]
	(*ws)[last] = nil
	*ws = (*ws)[:last]
	w.index = -1
	return w
}
