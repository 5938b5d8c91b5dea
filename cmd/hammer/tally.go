package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of latencies: a microsecond to two minutes, three
// digits.
const (
	leastLatency  = int64(time.Microsecond)
	mostLatency   = int64(2 * time.Minute)
	latencyDigits = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(leastLatency, mostLatency, latencyDigits)
}

// tally is what one connection saw, or all of them together.
type tally struct {
	latency *hdrhistogram.Histogram // of what succeeded, in nanoseconds
	late    *hdrhistogram.Histogram // how late our own timer sent; nil in the closed loop
	wrong   map[int]int64           // answers by status that were not as expected
	broken  int64                   // requests without an answer
	fault   error                   // the first reason for that
	bytes   int64                   // of the answers' bodies
	last    time.Time               // when the last answer was complete
}

func newTally(open bool) *tally {
	t := &tally{latency: newHistogram(), wrong: map[int]int64{}}
	if open {
		t.late = newHistogram()
	}
	return t
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// In range by construction, so there is no error to see.
	_ = h.RecordValue(min(max(int64(d), 0), mostLatency))
}

// add puts another one's sightings to these.
func (t *tally) add(o *tally) {
	t.latency.Merge(o.latency)
	if t.late != nil && o.late != nil {
		t.late.Merge(o.late)
	}
	for status, n := range o.wrong {
		t.wrong[status] += n
	}
	t.broken += o.broken
	if t.fault == nil {
		t.fault = o.fault
	}
	t.bytes += o.bytes
	if o.last.After(t.last) {
		t.last = o.last
	}
}

func (t *tally) ops() int64 { return t.latency.TotalCount() }

func (t *tally) errors() int64 {
	n := t.broken
	for _, c := range t.wrong {
		n += c
	}
	return n
}

// complaint says what went wrong, "" for nothing. Bodies of answers are not in
// it.
func (t *tally) complaint() string {
	var all []string
	for _, status := range slices.Sorted(maps.Keys(t.wrong)) {
		all = append(all, fmt.Sprintf("%d with status %d", t.wrong[status], status))
	}
	if t.broken > 0 {
		all = append(all, fmt.Sprintf("%d unanswered (%v)", t.broken, t.fault))
	}
	return strings.Join(all, ", ")
}
