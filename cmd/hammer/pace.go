package main

import (
	"context"
	"sync/atomic"
	"time"
)

// pace says when requests are due. All connections of a run share one.
type pace struct {
	begin    time.Time
	interval float64 // nanoseconds between requests; 0: when the last is answered
	most     int64   // requests
	taken    atomic.Int64
}

func newPace(begin time.Time, rate float64, most int) *pace {
	p := &pace{begin: begin, most: int64(most)}
	if rate > 0 {
		p.interval = float64(time.Second) / rate
	}
	return p
}

// take gives the time at which the next request is due: zero for at once. ok
// is false when there are no more.
func (p *pace) take() (due time.Time, ok bool) {
	n := p.taken.Add(1) - 1
	if n >= p.most {
		return time.Time{}, false
	}
	if p.interval == 0 {
		return time.Time{}, true
	}
	return p.begin.Add(time.Duration(float64(n) * p.interval)), true
}

// origin says from when a latency counts. free is when the connection could
// send, sent when it did.
//
// A request that waited for a connection counts from when it was due: the
// server was behind, and a caller would have waited. One whose connection was
// free in time counts from when it was sent: what lies between is this
// program's timer (a millisecond at worst), which no caller has. How late the
// timer was is told apart.
func origin(due, free, sent time.Time) time.Time {
	if !due.IsZero() && free.After(due) {
		return due
	}
	return sent
}

// waitUntil sleeps; false when ctx ended first.
func waitUntil(ctx context.Context, timer *time.Timer, now, due time.Time) bool {
	d := due.Sub(now)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer.Reset(d)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
