package kms

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

func pooled(org domain.OrgID, n byte, at time.Time) secretKey {
	k := testSecretKey(n)
	k.org, k.created = org, at
	return k
}

// Invariants 4 and 7 against random use: no key is given twice, none that is
// too old, and never more are held than allowed.
func TestPoolProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const total = 12
		p := newPool(2, 8, total)
		now, made := testTime, byte(0)
		given := map[domain.KekID]bool{}
		orgs := []domain.OrgID{"a", "b", "c"}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			org := rapid.SampledFrom(orgs).Draw(t, "org")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
				p.age(now)
			case 1:
				if p.reserve(org, now) {
					if rapid.Bool().Draw(t, "fails") {
						p.cancel(org)
					} else if made < 255 {
						made++
						p.add(pooled(org, made, now))
					} else {
						p.cancel(org)
					}
				}
			default:
				k, ok := p.take(org, now)
				if !ok {
					continue
				}
				if given[k.kek] || k.org != org || k.key == (key{}) || now.Sub(k.created) >= MaxPoolAge {
					t.Fatalf("given before: %v; of %s for %s, %v old", given[k.kek], k.org, org, now.Sub(k.created))
				}
				if rapid.IntRange(0, 9).Draw(t, "back") == 0 {
					p.giveBack(k, now)
				} else {
					given[k.kek] = true
				}
			}
			if p.len() != p.held || p.held > total {
				t.Fatalf("%d keys, %d counted, %d allowed", p.len(), p.held, total)
			}
		}
		p.age(now.Add(MaxPoolAge))
		if p.held != 0 || len(p.orgs) != 0 {
			t.Fatalf("%d keys of %d organizations outlive their age", p.held, len(p.orgs))
		}
	})
}

func TestPoolFollowsDemand(t *testing.T) {
	p := newPool(2, 16, 100)
	fill := func(now time.Time) (n int) {
		for p.reserve("a", now) {
			n++
			p.add(pooled("a", byte(n), now))
		}
		return n
	}
	for _, want := range []int{4, 8, 16, 16} { // Found empty: doubled.
		for {
			if _, ok := p.take("a", testTime); !ok {
				break
			}
		}
		if got := fill(testTime); got != want {
			t.Fatalf("filled to %d, want %d", got, want)
		}
	}
	if orgs := p.lacking(testTime); len(orgs) != 0 {
		t.Fatalf("lacking when full: %v", orgs)
	}
	p.age(testTime.Add(MaxPoolAge - 1))
	if p.len() != 16 {
		t.Fatalf("%d keys a moment before their age", p.len())
	}
	p.age(testTime.Add(MaxPoolAge))
	if p.len() != 0 || len(p.lacking(testTime.Add(MaxPoolAge))) != 0 {
		t.Fatal("an idle organization keeps keys or gets new ones")
	}
	p.take("a", testTime.Add(MaxPoolAge))
	if orgs := p.lacking(testTime.Add(MaxPoolAge)); len(orgs) != 1 {
		t.Fatalf("lacking after a demand: %v", orgs)
	}
}

func TestPoolWakesWhenHalfEmpty(t *testing.T) {
	p := newPool(4, 4, 100)
	woken := func() bool {
		select {
		case <-p.wake:
			return true
		default:
			return false
		}
	}
	for n := byte(1); p.reserve("a", testTime); n++ {
		p.add(pooled("a", n, testTime))
	}
	for i, want := range []bool{false, false, true, true, true} {
		p.take("a", testTime)
		if got := woken(); got != want {
			t.Errorf("take %d: woken %v", i+1, got)
		}
	}
}
