package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// spareHeap is how many bytes the heap may grow beyond twice what lives in it
	// before the collector runs: a small heap that is filled quickly would be
	// collected many times a second.
	spareHeap = 64 << 20
	// leastPercent is what the runtime begins with. mostPercent bounds how far the
	// heap can grow while the percentage still is that of a smaller one.
	leastPercent, mostPercent = 100, 500
	// percentStep is a difference that is worth to stop the world for.
	percentStep = 10
)

// tuneCollector keeps the collector at [spareHeap] until ctx ends. The memory
// limit (see limitMemory) stays above that: near it the collector runs as often
// as it must. It does nothing where the operator has set GOGC.
func tuneCollector(ctx context.Context, environment func(string) string) {
	if environment("GOGC") != "" {
		return
	}
	collected := make(chan struct{}, 1)
	for set := leastPercent; ; {
		announceCollection(collected)
		if want := collectorPercent(liveHeap()); max(want-set, set-want) >= percentStep {
			debug.SetGCPercent(want)
			set = want
		}
		select {
		case <-collected:
		case <-ctx.Done():
			debug.SetGCPercent(leastPercent)
			return
		}
	}
}

// collectorPercent returns by how many percent of its live bytes the heap may
// grow.
func collectorPercent(live uint64) int {
	return int(leastPercent + min(100*spareHeap/max(live, 1), mostPercent-leastPercent))
}

// liveHeap returns how many bytes the last collection left, 0 before the first.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// announceCollection sends to a channel with room after the next collection.
func announceCollection(to chan<- struct{}) {
	sentinel := &struct{ itself any }{}
	sentinel.itself = to // a pointer, so that the runtime gives it a place of its own
	runtime.AddCleanup(sentinel, func(to chan<- struct{}) {
		select {
		case to <- struct{}{}:
		default:
		}
	}, to)
}
