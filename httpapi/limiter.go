package httpapi

import (
	"container/list"
	"sync"
	"time"
)

// maxBuckets bounds a limiter's memory. The key that was used least lately
// is forgotten first, and so starts full again.
const maxBuckets = 10_000

// limiter is a token bucket for each key. A nil one sets no bound.
type limiter struct {
	rate Rate
	now  func() time.Time

	mu      sync.Mutex
	buckets map[string]*list.Element // of *bucket
	recent  *list.List               // most recently used first
}

type bucket struct {
	key    string
	tokens float64
	at     time.Time
}

func newLimiter(rate Rate, now func() time.Time) *limiter {
	if rate == (Rate{}) {
		return nil
	}
	return &limiter{rate: rate, now: now, buckets: map[string]*list.Element{}, recent: list.New()}
}

// take takes one token. When there is none it gives the time until there is
// one.
func (l *limiter) take(key string) (wait time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	now := l.now()
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.tokens = min(float64(l.rate.Burst), b.tokens+elapsed.Seconds()*l.rate.PerSecond)
		b.at = now
	}
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) / l.rate.PerSecond * float64(time.Second)), false
	}
	b.tokens--
	return 0, true
}

// bucket finds or makes a key's bucket. The caller holds mu.
func (l *limiter) bucket(key string) *bucket {
	if e, ok := l.buckets[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket) //nolint:errcheck // the list holds nothing else.
	}
	if len(l.buckets) >= maxBuckets {
		last := l.recent.Back()
		delete(l.buckets, last.Value.(*bucket).key) //nolint:errcheck // as above.
		l.recent.Remove(last)
	}
	b := &bucket{key: key, tokens: float64(l.rate.Burst), at: l.now()}
	l.buckets[key] = l.recent.PushFront(b)
	return b
}
