package kms

import (
	"slices"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// MaxPoolAge is when a key that nobody was given leaves the pool.
	MaxPoolAge = 30 * time.Minute
	// MaxClaimAge is how old an unclaimed key may be when its secret is
	// created. It leaves room for a hand-out at MaxPoolAge, a last mint a
	// window later, and the age of that data key.
	MaxClaimAge = time.Hour
	// demandWindow is how long after its last demand an organization's pool
	// is kept filled.
	demandWindow = 10 * time.Minute
)

// pool holds durable, unclaimed secret keys that this process made, so that
// neither a mint nor a create waits for one to be stored. Each organization's
// target follows its demand: it doubles when the pool is found empty and
// halves when keys age out unused.
type pool struct {
	least, most, total int

	mu   sync.Mutex
	orgs map[domain.OrgID]*orgPool
	held int           // keys in all pools, and those being made for them; at most total
	wake chan struct{} // of capacity 1: an organization lacks keys
}

type orgPool struct {
	keys   []*secretKey // the one made first is given first
	making int
	target int
	wanted time.Time // the last demand
}

func newPool(least, most, total int) *pool {
	return &pool{least: least, most: most, total: total, orgs: map[domain.OrgID]*orgPool{}, wake: make(chan struct{}, 1)}
}

// take gives a key to its one user (invariant 4), or false when there is none
// young enough. Either is a demand. The copy is the caller's to clear.
func (p *pool) take(org domain.OrgID, now time.Time) (secretKey, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.demand(org, now)
	for len(o.keys) > 0 && tooOld(o.keys[0], now) {
		p.removeFirst(o)
	}
	var k secretKey
	ok := len(o.keys) > 0
	if ok {
		k = *o.keys[0]
		p.removeFirst(o)
	} else {
		o.target = min(2*o.target, p.most)
	}
	if 2*len(o.keys) < o.target {
		select {
		case p.wake <- struct{}{}:
		default: // A wake is waiting already.
		}
	}
	return k, ok
}

func (p *pool) demand(org domain.OrgID, now time.Time) *orgPool {
	o, ok := p.orgs[org]
	if !ok {
		o = &orgPool{target: p.least}
		p.orgs[org] = o
	}
	o.wanted = now
	return o
}

// giveBack returns a key that was taken and then given to nobody.
func (p *pool) giveBack(k secretKey, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held < p.total {
		p.held++
		o := p.demand(k.org, now)
		o.keys = slices.Insert(o.keys, 0, &k)
	}
}

// reserve makes room for one key that org lacks, or says that it lacks none
// or that all room is taken. What is reserved is then added or cancelled.
func (p *pool) reserve(org domain.OrgID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, ok := p.orgs[org]
	if !ok {
		o = p.demand(org, now)
	}
	if len(o.keys)+o.making >= o.target || p.held >= p.total {
		return false
	}
	o.making++
	p.held++
	return true
}

func (p *pool) cancel(org domain.OrgID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orgs[org].making--
	p.held--
}

func (p *pool) add(k secretKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[k.org]
	o.making--
	o.keys = append(o.keys, &k)
}

// age drops keys that are too old and organizations without recent demand.
func (p *pool) age(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for org, o := range p.orgs {
		if p.drop(o, now) > 0 {
			o.target = max(o.target/2, p.least)
		}
		if len(o.keys)+o.making == 0 && now.Sub(o.wanted) > demandWindow {
			delete(p.orgs, org)
		}
	}
}

// lacking gives the organizations with recent demand and too few keys.
func (p *pool) lacking(now time.Time) []domain.OrgID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var orgs []domain.OrgID
	for org, o := range p.orgs {
		if len(o.keys)+o.making < o.target && now.Sub(o.wanted) <= demandWindow {
			orgs = append(orgs, org)
		}
	}
	return orgs
}

func (p *pool) drop(o *orgPool, now time.Time) (dropped int) {
	for i := len(o.keys) - 1; i >= 0; i-- {
		if tooOld(o.keys[i], now) {
			o.keys[i].wipe()
			o.keys = slices.Delete(o.keys, i, i+1)
			p.held--
			dropped++
		}
	}
	return dropped
}

func tooOld(k *secretKey, now time.Time) bool { return now.Sub(k.created) >= MaxPoolAge }

// removeFirst does not move the others: there may be thousands.
func (p *pool) removeFirst(o *orgPool) {
	o.keys[0].wipe()
	o.keys[0] = nil
	o.keys = o.keys[1:]
	p.held--
}

func (p *pool) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, o := range p.orgs {
		n += len(o.keys)
	}
	return n
}
