package projections

import (
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// principalCache holds compiled principals of the directories as they stand.
// It is filled while their lock is held for reading and emptied while it is
// held for writing, so no principal outlives the directory it was made from.
type principalCache struct {
	mu       sync.RWMutex // requests only read
	capacity int          // in grants
	grants   int
	byOrg    map[domain.OrgID]map[domain.AgentID]domain.Principal
}

func (c *principalCache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants, c.byOrg = 0, map[domain.OrgID]map[domain.AgentID]domain.Principal{}
}

// weight is what an entry counts: its grants and itself.
func weight(p domain.Principal) int { return len(p.Grants()) + 1 }

func (c *principalCache) forget(org domain.OrgID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.byOrg[org] {
		c.grants -= weight(p)
	}
	delete(c.byOrg, org)
}

func (c *principalCache) get(org domain.OrgID, agent domain.AgentID) (domain.Principal, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, ok := c.byOrg[org][agent]
	return p, ok
}

// put keeps a principal and makes room by dropping any others. One that is
// larger than the whole cache is not kept.
func (c *principalCache) put(p domain.Principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if weight(p) > c.capacity {
		return
	}
	if old, ok := c.byOrg[p.Org][p.Agent]; ok { // compiled twice at the same moment
		c.grants -= weight(old)
		delete(c.byOrg[p.Org], p.Agent)
	}
	for org, agents := range c.byOrg {
		for agent, other := range agents {
			if c.grants+weight(p) <= c.capacity {
				break
			}
			c.grants -= weight(other)
			delete(agents, agent)
		}
		if len(agents) == 0 {
			delete(c.byOrg, org)
		}
	}
	if c.byOrg[p.Org] == nil {
		c.byOrg[p.Org] = map[domain.AgentID]domain.Principal{}
	}
	c.byOrg[p.Org][p.Agent] = p
	c.grants += weight(p)
}

// compile gives an agent's rights as they stand. mu must be held.
func (ds *directories) compile(org domain.OrgID, agent domain.AgentID) (domain.Principal, bool) {
	if p, ok := ds.cache.get(org, agent); ok {
		return p, true
	}
	d := ds.byOrg[org]
	if d == nil {
		return domain.Principal{}, false
	}
	p, ok := d.Compile(agent, "")
	if ok {
		ds.cache.put(p)
	}
	return p, ok
}

// Principal gives an agent's rights as they stand, without a key. ok is false
// for one that is unknown or archived, and while the store may not answer.
func (s *Store) Principal(org domain.OrgID, agent domain.AgentID) (p domain.Principal, ok bool) {
	s.directories.mu.RLock()
	defer s.directories.mu.RUnlock()
	if s.progress.serving() != nil {
		return domain.Principal{}, false
	}
	return s.directories.compile(org, agent)
}

// Authenticate finds an API key by its lookup id, with the rights of its agent
// as they stand. The caller must still compare the hash and check RevokedAt
// and ExpiresAt.
//
// ok is false for an unknown lookup id, for an archived agent (the key is
// given all the same) and while the store may not answer: only [Store.Serving]
// tells that apart.
func (s *Store) Authenticate(lookupID string) (key domain.APIKey, p domain.Principal, ok bool) {
	ds := &s.directories
	ds.mu.RLock()
	defer ds.mu.RUnlock()
	if s.progress.serving() != nil {
		return domain.APIKey{}, domain.Principal{}, false
	}
	place := ds.lookups[lookupID]
	d := ds.byOrg[place.org]
	if d == nil {
		return domain.APIKey{}, domain.Principal{}, false
	}
	key, ok = d.Keys[place.id]
	if !ok || key.LookupID != lookupID {
		return domain.APIKey{}, domain.Principal{}, false
	}
	p, ok = ds.compile(place.org, key.Agent)
	if !ok {
		return key, domain.Principal{}, false
	}
	p.Key = key.ID
	return key, p, true
}
