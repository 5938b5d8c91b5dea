package eventstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

func BenchmarkAppend(b *testing.B) {
	for name, open := range backends {
		b.Run(name, func(b *testing.B) {
			r := open(b)
			var after, n uint64
			b.ReportAllocs()
			for b.Loop() {
				n++
				rec, err := r.Append(context.Background(), secretStream("s"), after, fieldSet(n, n))
				if err != nil {
					b.Fatal(err)
				}
				after = rec.Position
				r.inject(nil)
			}
		})
	}
}

// BenchmarkAppendTogether appends to a stream of each caller, all at once.
func BenchmarkAppendTogether(b *testing.B) {
	for name, open := range backends {
		if name == "memory" {
			continue
		}
		for _, callers := range []int{4, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				r := open(b)
				var left atomic.Int64
				left.Store(int64(b.N))
				var all sync.WaitGroup
				b.ResetTimer()
				for i := range callers {
					all.Go(func() {
						var after uint64
						for n := uint64(1); left.Add(-1) >= 0; n++ {
							rec, err := r.Append(context.Background(), secretStream(domain.SecretID(fmt.Sprint("s", i))), after, fieldSet(uint64(i)<<32|n, n))
							if err != nil {
								b.Error(err)
								return
							}
							after = rec.Position
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkRead reads 2,000 events of one stream each time.
func BenchmarkRead(b *testing.B) {
	const events = 2000
	r := newJetStreamRig(b, true)
	appendMany(b, r, secretStream("s"), 0, 1, events)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range r.Read(b.Context(), 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != events {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLoad reads a stream of ten events among 2,000.
func BenchmarkLoad(b *testing.B) {
	r := newJetStreamRig(b, true)
	appendMany(b, r, secretStream("other"), 0, 1, 1990)
	appendMany(b, r, secretStream("s"), 0, 1, 10)
	for b.Loop() {
		if n := len(collect(b, r.Load(b.Context(), secretStream("s")))); n != 10 {
			b.Fatal(n)
		}
	}
}
