package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// writeBuckets are seconds, from a quarter of an fsync to a stalled disk.
var writeBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}

// measuredLog measures appends: what a writer waits for durability.
type measuredLog struct {
	eventstore.Log
	now      func() time.Time
	duration prometheus.Histogram
	failures prometheus.Counter
}

func (l measuredLog) Append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error) {
	start := l.now()
	r, err := l.Log.Append(ctx, stream, after, p)
	l.duration.Observe(l.now().Sub(start).Seconds())
	if err != nil {
		l.failures.Inc()
	}
	return r, err
}

// measuredAwaiter measures how long writers wait for the projection.
type measuredAwaiter struct {
	eventstore.Awaiter
	now      func() time.Time
	duration prometheus.Histogram
}

func (a measuredAwaiter) WaitFor(ctx context.Context, position uint64) error {
	start := a.now()
	err := a.Awaiter.WaitFor(ctx, position)
	a.duration.Observe(a.now().Sub(start).Seconds())
	return err
}

func newHistogram(registry prometheus.Registerer, name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: writeBuckets})
	registry.MustRegister(h)
	return h
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// registerGauges exports what the parts count themselves. No label names a
// secret or an agent.
func (s *store) registerGauges(registry prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter := func(name, help string, value func() float64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
	gauge("chancery_log_head", "Position of the newest durable event, as last heard from the log.", func() float64 {
		status, _ := s.state.Status()
		return float64(status.Head)
	})
	gauge("chancery_log_bytes", "What the log takes up where it is stored, as last heard from it.", func() float64 {
		status, _ := s.state.Status()
		return float64(status.Bytes)
	})
	gauge("chancery_projection_position", "Position of the newest event that the projection has applied.", func() float64 {
		return float64(s.state.Position())
	})
	gauge("chancery_projection_lag", "Events in the log that the projection has not applied.", func() float64 {
		status, applied := s.state.Status()
		return float64(max(status.Head, applied) - applied)
	})
	gauge("chancery_feed_position", "Position of the newest event in the feed of the consumers; 0 without one.", func() float64 {
		position, _ := s.follower.Position()
		return float64(position)
	})
	gauge("chancery_feed_lag", "Events in the log that the feed of the consumers does not have; 0 without one.", s.feedLag)
	gauge("chancery_key_cache_keys", "Unwrapped secret keys in memory.", func() float64 { return float64(s.keyring.Stats().Cached) })
	counter("chancery_key_cache_hits_total", "Secret keys found in memory.", func() float64 { return float64(s.keyring.Stats().CacheHits) })
	counter("chancery_key_cache_misses_total", "Secret keys loaded and unwrapped.", func() float64 { return float64(s.keyring.Stats().CacheMisses) })
	gauge("chancery_key_pool_keys", "Durable secret keys that no secret has claimed yet.", func() float64 { return float64(s.keyring.Stats().Pooled) })
	gauge("chancery_open_mints", "Keys handed out for secrets that do not exist yet.", func() float64 { return float64(s.keyring.Stats().OpenMints) })
	counter("chancery_keys_swept_total", "Unclaimed secret keys erased.", func() float64 { return float64(s.keyring.Stats().Swept) })
}
