package kms

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// cache keeps loaded keys, at most max, least recently used out first. Keys
// are loaded once however many ask at the same time, and a slow load holds up
// only those that wait for the same key. Values are copied in and out; the
// cache clears its own copy when it drops it.
type cache[K comparable, V any] struct {
	max  int
	wipe func(*V)

	hits, misses atomic.Uint64

	mu      sync.Mutex
	entries map[K]*list.Element // of *cacheEntry[K, V]
	recent  list.List           // front: used last
	flights map[K]*flight
}

type cacheEntry[K comparable, V any] struct {
	name  K
	value V
}

// flight is a load under way. It carries no value: those who waited read the
// cache.
type flight struct {
	done chan struct{}
	err  error // read after done
	gone bool  // guarded by cache.mu: evicted meanwhile, so what it loads is not kept
}

func newCache[K comparable, V any](size int, wipe func(*V)) *cache[K, V] {
	return &cache[K, V]{max: size, wipe: wipe, entries: map[K]*list.Element{}, flights: map[K]*flight{}}
}

// get gives the value of name, from memory or through load. When name is
// evicted while load runs, the result is ErrKeyNotFound and nothing is kept
// (invariant 6).
func (c *cache[K, V]) get(ctx context.Context, name K, load func(context.Context) (V, error)) (V, error) {
	var none V
	for missed := false; ; {
		c.mu.Lock()
		if e, ok := c.entries[name]; ok {
			c.recent.MoveToFront(e)
			v := e.Value.(*cacheEntry[K, V]).value //nolint:errcheck,forcetypeassert // Only put adds elements.
			c.mu.Unlock()
			if !missed {
				c.hits.Add(1)
			}
			return v, nil
		}
		if !missed {
			c.misses.Add(1)
			missed = true
		}
		f, waiting := c.flights[name]
		if !waiting {
			f = &flight{done: make(chan struct{})}
			c.flights[name] = f
			c.mu.Unlock()
			return c.lead(ctx, name, f, load)
		}
		c.mu.Unlock()

		select {
		case <-f.done:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		// A leader whose own request was given up says nothing about the key.
		if f.err != nil && !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return none, f.err
		}
	}
}

func (c *cache[K, V]) lead(ctx context.Context, name K, f *flight, load func(context.Context) (V, error)) (v V, err error) {
	err = context.Canceled // Stands if load panics: those who wait then try themselves.
	defer func() {
		c.mu.Lock()
		delete(c.flights, name)
		switch {
		case err != nil:
		case f.gone:
			c.wipe(&v)
			err = ErrKeyNotFound
		default:
			c.insert(name, v)
		}
		f.err = err
		c.mu.Unlock()
		close(f.done)
	}()
	v, err = load(ctx)
	return v, err
}

// put keeps a value that was made rather than loaded.
func (c *cache[K, V]) put(name K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.insert(name, v)
}

func (c *cache[K, V]) insert(name K, v V) {
	c.drop(name)
	c.entries[name] = c.recent.PushFront(&cacheEntry[K, V]{name: name, value: v})
	for c.recent.Len() > c.max {
		c.drop(c.recent.Back().Value.(*cacheEntry[K, V]).name) //nolint:errcheck,forcetypeassert // Only insert adds elements.
	}
}

func (c *cache[K, V]) drop(name K) {
	if e, ok := c.entries[name]; ok {
		c.wipe(&e.Value.(*cacheEntry[K, V]).value) //nolint:errcheck,forcetypeassert // Only insert adds elements.
		c.recent.Remove(e)
		delete(c.entries, name)
	}
}

// evict forgets name, and makes a load of it that is under way come to
// nothing.
func (c *cache[K, V]) evict(name K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(name)
	if f, ok := c.flights[name]; ok {
		f.gone = true
	}
}

func (c *cache[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len()
}
