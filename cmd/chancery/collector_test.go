package main

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// TestCollectorPercent: beyond twice its live bytes a heap grows by the spare
// bytes, and by no more than the bound of a small heap.
func TestCollectorPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: mostPercent, 1 << 20: mostPercent, spareHeap / 4: mostPercent,
		spareHeap: 200, 4 * spareHeap: 125, 1 << 40: leastPercent,
	} {
		if got := collectorPercent(live); got != want {
			t.Errorf("%d live bytes: %d percent, want %d", live, got, want)
		}
	}
}

// TestTuneCollector: the percentage follows what lives, and is given back at the
// end; where GOGC is set nothing is tuned.
func TestTuneCollector(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("GOGC is set")
	}
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	tuneCollector(t.Context(), func(string) string { return "50" }) // returns
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tuneCollector(ctx, func(string) string { return "" })
	}()
	collect := func(what string, so func(uint64) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !so(percent()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the percentage stays %d", what, percent())
			}
			runtime.GC()
		}
	}
	collect("a small heap", func(p uint64) bool { return p == mostPercent })
	live := make([]byte, 2*spareHeap)
	collect("a large heap", func(p uint64) bool { return p <= 150 })
	runtime.KeepAlive(live)
	collect("a small heap again", func(p uint64) bool { return p == mostPercent })
	cancel()
	<-ended
	if percent() != leastPercent {
		t.Errorf("%d percent at the end", percent())
	}
}
