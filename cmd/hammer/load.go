package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// drain is how long answers may take after the end of a run.
	drain = 15 * time.Second
	// maxBroken is how many requests may go unanswered before a connection
	// gives up: the server is gone.
	maxBroken = 20
)

// next gives the next request of one connection, good until the following
// call; nil when there are no more.
type next func() []byte

// load is how requests are sent.
type load struct {
	address  string
	conns    int
	rate     float64 // a second; 0 is the closed loop
	warmup   time.Duration
	duration time.Duration
	ops      int // most, warm-up included

	status int // that an answer must have
	least  int // bytes of its body
	// source makes each connection's requests.
	source func(worker int) next
	// seen, if set, is given every good body, on the connection's goroutine. It
	// is for preparations: keeping the body costs time.
	seen func(worker int, body []byte) error
}

// run sends and gives what was seen and how long it took, from the end of the
// warm-up to the last answer. Requests that fail are in the tally; the error is
// for a run that did not take place.
func (l load) run(ctx context.Context) (*tally, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, l.warmup+l.duration+drain)
	defer cancel()
	workers := make([]*worker, l.conns)
	for i := range workers {
		c, err := dial(ctx, l.address)
		if err != nil {
			return nil, 0, errors.Join(err, closeAll(workers))
		}
		workers[i] = &worker{load: &l, id: i, conn: c, tally: newTally(l.rate > 0), next: l.source(i)}
	}
	begin := time.Now()
	p := newPace(begin, l.rate, l.ops)
	measured := begin.Add(l.warmup)
	end := measured.Add(l.duration)
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.run(ctx, p, measured, end) })
	}
	wg.Wait()
	total := newTally(l.rate > 0)
	var failed error
	for _, w := range workers {
		total.add(w.tally)
		failed = errors.Join(failed, w.failed)
	}
	if failed == nil && context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		failed = context.Cause(ctx)
	}
	if failed != nil {
		return nil, 0, failed
	}
	elapsed := total.last.Sub(measured)
	if total.ops() == 0 || elapsed <= 0 {
		return nil, 0, fmt.Errorf("no operation succeeded in %v: %s", l.duration, total.complaint())
	}
	return total, elapsed, nil
}

func closeAll(workers []*worker) error {
	for _, w := range workers {
		if w != nil {
			w.conn.close()
		}
	}
	return nil
}

// worker is one connection of a run.
type worker struct {
	load   *load
	id     int
	conn   *conn
	next   next
	tally  *tally
	failed error // of seen
}

func (w *worker) run(ctx context.Context, p *pace, measured, end time.Time) {
	// The end of ctx ends what waits for an answer.
	closer := w.closeAtEnd(ctx)
	defer func() { closer() }()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var body *bytes.Buffer
	if w.load.seen != nil {
		body = new(bytes.Buffer)
	}
	var broken int
	for free := time.Now(); free.Before(end) && ctx.Err() == nil; {
		due, ok := p.take()
		if !ok || !due.Before(end) {
			return
		}
		request := w.next()
		if request == nil {
			return
		}
		sent := free
		if !due.IsZero() {
			if !waitUntil(ctx, timer, free, due) {
				return
			}
			sent = time.Now()
		}
		if body != nil {
			body.Reset()
		}
		status, length, err := w.conn.do(request, body)
		now := time.Now()
		from := origin(due, free, sent)
		counts := !from.Before(measured)
		if !due.IsZero() && !free.After(due) && counts {
			record(w.tally.late, sent.Sub(due))
		}
		switch {
		case err != nil:
			// Even in the warm-up: it is not as it should be.
			w.tally.broken++
			if w.tally.fault == nil {
				w.tally.fault = err
			}
		case status != w.load.status || length < w.load.least:
			w.tally.wrong[status]++
		case counts:
			record(w.tally.latency, now.Sub(from))
			w.tally.bytes += int64(length)
			w.tally.last = now
		}
		if err == nil && status == w.load.status && body != nil {
			if w.failed = w.load.seen(w.id, body.Bytes()); w.failed != nil {
				return
			}
		}
		if err != nil || w.conn.done {
			if broken++; broken > maxBroken || ctx.Err() != nil {
				return
			}
			closer()
			c, err := dial(ctx, w.load.address)
			if err != nil {
				w.tally.fault = err
				closer = func() {}
				return
			}
			w.conn = c
			closer = w.closeAtEnd(ctx)
		}
		free = time.Now()
		if body == nil && err == nil {
			free = now
		}
	}
}

// closeAtEnd closes the connection when ctx ends, or when the result is called.
func (w *worker) closeAtEnd(ctx context.Context) func() {
	c := w.conn
	stop := context.AfterFunc(ctx, c.close)
	return func() {
		stop()
		c.close()
	}
}
