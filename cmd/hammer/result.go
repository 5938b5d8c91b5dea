package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"
)

// result is one run of one workload.
type result struct {
	work      string
	conns     int
	ops       int64
	rate      float64 // a second
	quantiles map[float64]time.Duration
	errors    int64
	complaint string
	cpu       time.Duration // of the server, an operation
	anon      int64         // bytes, the most that was seen
}

// shown are the quantiles of a report, in percent.
func shown() []float64 { return []float64{50, 90, 99, 99.9, 100} }

func newResult(work string, conns int, t *tally, took time.Duration) result {
	r := result{
		work: work, conns: conns, ops: t.ops(), rate: float64(t.ops()) / took.Seconds(),
		quantiles: map[float64]time.Duration{}, errors: t.errors(), complaint: t.complaint(),
	}
	for _, q := range shown() {
		r.quantiles[q] = time.Duration(t.latency.ValueAtQuantile(q))
	}
	return r
}

// line writes a run as benchstat reads it.
func (r result) line(w io.Writer) {
	fmt.Fprintf(w, "BenchmarkHammer/work=%s/conns=%d\t%d\t%.0f ns/op\t%.1f ops/s\t%.1f p50-µs\t%.1f p99-µs\t%.1f cpu-µs/op\n",
		r.work, r.conns, r.ops, 1e9/r.rate, r.rate, micros(r.quantiles[50]), micros(r.quantiles[99]), micros(r.cpu))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// medians gives of the runs of each workload and number of connections the one
// whose rate is in the middle, in the order of the first runs, with the errors
// of all.
func medians(runs []result) []result {
	type kind struct {
		work  string
		conns int
	}
	var order []kind
	groups := map[kind][]result{}
	for _, r := range runs {
		k := kind{r.work, r.conns}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], r)
	}
	all := make([]result, 0, len(order))
	for _, k := range order {
		g := groups[k]
		errors, complaint := int64(0), ""
		for _, r := range g {
			errors += r.errors
			complaint = cmp.Or(complaint, r.complaint)
		}
		slices.SortFunc(g, func(a, b result) int { return cmp.Compare(a.rate, b.rate) })
		m := g[len(g)/2]
		m.errors, m.complaint = errors, complaint
		all = append(all, m)
	}
	return all
}
