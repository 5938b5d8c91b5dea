package kms

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// cache keeps loaded keys, at most max. Out goes first what has not been asked
// for since it last was its turn, oldest first (second chance): so those who
// find what they ask for only read. Keys are loaded once however many ask at the
// same time, and a slow load holds up only those that wait for the same key.
// Values are copied in and out; the cache clears its own copy when it drops it.
type cache[K comparable, V any] struct {
	max  int
	wipe func(*V)

	hits, misses atomic.Uint64

	mu      sync.RWMutex
	entries map[K]int32 // places
	turns   turns[cacheEntry[K, V]]
	flights map[K]*flight
}

type cacheEntry[K comparable, V any] struct {
	name  K
	value V
	used  atomic.Bool // since its last turn
}

// flight is a load under way. It carries no value: those who waited read the
// cache.
type flight struct {
	done chan struct{}
	err  error // read after done
	gone bool  // guarded by cache.mu: evicted meanwhile, so what it loads is not kept
}

func newCache[K comparable, V any](size int, wipe func(*V)) *cache[K, V] {
	return &cache[K, V]{max: size, wipe: wipe, entries: map[K]int32{}, turns: newTurns[cacheEntry[K, V]](), flights: map[K]*flight{}}
}

// get gives the value of name, from memory or through load. When name is
// evicted while load runs, the result is ErrKeyNotFound and nothing is kept
// (invariant 6).
func (c *cache[K, V]) get(ctx context.Context, name K, load func(context.Context) (V, error)) (V, error) {
	var none V
	for missed := false; ; {
		if v, ok := c.find(name); ok {
			if !missed {
				c.hits.Add(1)
			}
			return v, nil
		}
		if !missed {
			c.misses.Add(1)
			missed = true
		}
		c.mu.Lock()
		if _, ok := c.entries[name]; ok { // since then
			c.mu.Unlock()
			continue
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

func (c *cache[K, V]) find(name K) (v V, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	place, ok := c.entries[name]
	if !ok {
		return v, false
	}
	entry := c.turns.at(place)
	if !entry.used.Load() {
		entry.used.Store(true)
	}
	return entry.value, true
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

// change lets do change the value of name, if it is there.
func (c *cache[K, V]) change(name K, do func(*V)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, ok := c.entries[name]; ok {
		do(&c.turns.at(place).value)
	}
}

// put keeps a value that was made rather than loaded.
func (c *cache[K, V]) put(name K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.insert(name, v)
}

func (c *cache[K, V]) insert(name K, v V) {
	c.drop(name)
	for len(c.entries) >= max(1, c.max) { // before, so that the new one has no turn yet
		next := c.turns.next()
		if entry := c.turns.at(next); entry.used.Swap(false) {
			c.turns.later(next)
		} else {
			c.drop(entry.name)
		}
	}
	place := c.turns.add()
	entry := c.turns.at(place)
	entry.name, entry.value = name, v
	c.entries[name] = place
}

func (c *cache[K, V]) drop(name K) {
	if place, ok := c.entries[name]; ok {
		entry := c.turns.at(place)
		c.wipe(&entry.value)
		var (
			noName  K
			noValue V
		)
		entry.name, entry.value = noName, noValue
		entry.used.Store(false)
		c.turns.remove(place)
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
	return len(c.entries)
}
