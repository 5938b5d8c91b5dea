package kms

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

type cached struct {
	n     int
	wiped bool
}

func testCache(size int) *cache[string, cached] {
	return newCache[string](size, func(c *cached) { *c = cached{wiped: true} })
}

func value(n int) func(context.Context) (cached, error) {
	return func(context.Context) (cached, error) { return cached{n: n}, nil }
}

// Invariant 7, against a model: at most max entries, the oldest that was not used
// since its last turn goes, and no wiped value is ever given out.
func TestCacheIsBoundedAndGivesASecondChance(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 5).Draw(t, "size")
		c := testCache(size)
		type entry struct {
			name string
			used bool
		}
		var model []entry // the next whose turn it is last
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			at := -1
			for i, m := range model {
				if m.name == name {
					at = i
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "evict") == 0 {
				c.evict(name)
				if at >= 0 {
					model = append(model[:at], model[at+1:]...)
				}
			} else {
				loaded := false
				v, err := c.get(context.Background(), name, func(context.Context) (cached, error) {
					loaded = true
					return cached{n: int(name[0])}, nil
				})
				if err != nil || v.wiped || v.n != int(name[0]) {
					t.Fatalf("%s: %v, error %v", name, v, err)
				}
				if loaded != (at < 0) {
					t.Fatalf("%s: loaded %v, the model has it at %d", name, loaded, at)
				}
				if at >= 0 {
					model[at].used = true
					continue
				}
				for len(model) >= size {
					last := model[len(model)-1]
					model = model[:len(model)-1]
					if last.used {
						model = append([]entry{{name: last.name}}, model...)
					}
				}
				model = append([]entry{{name: name}}, model...)
			}
			if c.len() != len(model) {
				t.Fatalf("%d entries, the model has %d", c.len(), len(model))
			}
		}
	})
}

// A large cache, in which places are given up and used again: every value is
// that of its name, and the newest stay.
func TestCacheOfManyEntries(t *testing.T) {
	const size, names = 3 * turnsChunk, 5 * turnsChunk
	c := testCache(size)
	name := func(n int) string { return strconv.Itoa(n) }
	for n := range names {
		c.put(name(n), cached{n: n})
		if n%3 == 0 {
			c.evict(name(n))
		}
		if got := c.len(); got > size {
			t.Fatalf("%d entries", got)
		}
	}
	for n := names - size; n < names; n++ {
		v, ok := c.find(name(n))
		if ok != (n%3 != 0) || ok && (v.n != n || v.wiped) {
			t.Fatalf("%d: %+v, %v", n, v, ok)
		}
	}
}

func TestCacheLoadsOnce(t *testing.T) {
	c := testCache(10)
	var loads atomic.Int32
	release, begun := make(chan struct{}), make(chan struct{})
	load := func(context.Context) (cached, error) {
		if loads.Add(1) == 1 {
			close(begun)
		}
		<-release
		return cached{n: 1}, nil
	}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if v, err := c.get(t.Context(), "a", load); err != nil || v.n != 1 {
				t.Errorf("%v, error %v", v, err)
			}
		})
	}
	<-begun
	// A load under way holds up no other key.
	if v, err := c.get(t.Context(), "b", value(2)); err != nil || v.n != 2 {
		t.Errorf("another key: %v, error %v", v, err)
	}
	close(release)
	wg.Wait()
	if n := loads.Load(); n != 1 {
		t.Fatalf("%d loads", n)
	}
}

// Invariant 6.
func TestCacheKeepsNothingThatWasEvictedWhileLoading(t *testing.T) {
	c := testCache(10)
	v, err := c.get(t.Context(), "a", func(context.Context) (cached, error) {
		c.evict("a")
		return cached{n: 1}, nil
	})
	if !errors.Is(err, ErrKeyNotFound) || v.n != 0 || c.len() != 0 {
		t.Fatalf("%v, error %v, %d entries", v, err, c.len())
	}
	if v, err := c.get(t.Context(), "a", value(2)); err != nil || v.n != 2 {
		t.Fatalf("later: %v, error %v", v, err)
	}
}

func TestCacheKeepsNoFailure(t *testing.T) {
	c, failure := testCache(10), errors.New("failure")
	if _, err := c.get(t.Context(), "a", func(context.Context) (cached, error) { return cached{}, failure }); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if v, err := c.get(t.Context(), "a", value(1)); err != nil || v.n != 1 {
		t.Fatalf("%v, error %v", v, err)
	}
}

// The request that loads may be given up, or panic; those who wait for it
// then load themselves.
func TestCacheOutlivesItsLeader(t *testing.T) {
	for name, end := range map[string]func() (cached, error){
		"given up": func() (cached, error) { return cached{}, context.Canceled },
		"panic":    func() (cached, error) { panic("in load") },
	} {
		c := testCache(10)
		release, begun := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			_, _ = c.get(t.Context(), "a", func(context.Context) (cached, error) {
				close(begun)
				<-release
				return end()
			})
		})
		<-begun
		wg.Go(func() {
			if v, err := c.get(t.Context(), "a", value(7)); err != nil || v.n != 7 {
				t.Errorf("%s: %v, error %v", name, v, err)
			}
		})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.get(gone, "a", value(8)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a waiter whose context has ended: %v", name, err)
		}
		close(release)
		wg.Wait()
	}
}
