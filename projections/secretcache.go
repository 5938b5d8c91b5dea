package projections

import (
	"reflect"
	"strings"
	"sync"
	"unsafe"

	"github.com/chancery-dev/chancery/domain"
)

// secretCache keeps decoded secrets with their stored values, which are sealed
// or enveloped as in the file. It has two generations: when the young one has
// half of the bytes it becomes the old one, and what is not asked for until then
// goes. Safe for concurrent use.
type secretCache struct {
	capacity int // bytes

	mu         sync.RWMutex
	young, old map[domain.SecretRef]*domain.Secret
	bytes      int // of young
	// changes counts what forget and clear did: a secret that was read before a
	// change is not kept after it.
	changes uint64
}

// get returns a copy of a secret, or the changes that put asks for.
func (c *secretCache) get(ref domain.SecretRef) (secret domain.Secret, ok bool, changes uint64) {
	c.mu.RLock()
	kept, isYoung := c.young[ref]
	if !isYoung {
		kept, ok = c.old[ref]
	}
	changes = c.changes
	c.mu.RUnlock()
	switch {
	case isYoung:
	case ok:
		c.keep(kept, changes)
	default:
		return domain.Secret{}, false, changes
	}
	secret = kept.Clone()
	secret.Ref = ref
	return secret, true, changes
}

// put keeps a copy of a secret that was read after get had returned changes.
func (c *secretCache) put(secret domain.Secret, changes uint64) {
	kept := secret.Clone()
	r := &kept.Ref // of a request, whose memory is not kept
	r.Org, r.ID = domain.OrgID(strings.Clone(string(r.Org))), domain.SecretID(strings.Clone(string(r.ID)))
	r.Scope = domain.Scope{Kind: domain.ScopeKind(strings.Clone(string(r.Scope.Kind))), ID: strings.Clone(r.Scope.ID)}
	c.keep(&kept, changes)
}

func (c *secretCache) keep(secret *domain.Secret, changes uint64) {
	size := sizeOfSecret(secret)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.young[secret.Ref]; ok || changes != c.changes || size > c.capacity/2 {
		return
	}
	if c.bytes+size > c.capacity/2 {
		c.young, c.old, c.bytes = nil, c.young, 0
	}
	if c.young == nil {
		c.young = map[domain.SecretRef]*domain.Secret{}
	}
	c.young[secret.Ref] = secret
	c.bytes += size
}

// forget drops the secrets that events change.
func (c *secretCache) forget(batch []domain.Recorded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range batch {
		s, ok := r.Stream.(domain.SecretStream)
		if !ok {
			continue
		}
		c.changes++
		if kept, ok := c.young[s.Ref]; ok {
			c.bytes -= sizeOfSecret(kept)
			delete(c.young, s.Ref)
		}
		delete(c.old, s.Ref)
	}
}

func (c *secretCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old, c.bytes = nil, nil, 0
	c.changes++
}

// check compares with what the tables say.
func (c *secretCache) check(ts *tables, found *CheckError) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, generation := range []map[domain.SecretRef]*domain.Secret{c.young, c.old} {
		for ref, kept := range generation {
			now, err := ts.secret(ref)
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(*kept, now) {
				found.add("memory: the secret %s is outdated", ref)
			}
		}
	}
	return nil
}

// sizeOfSecret is about what a secret takes in memory, its place in the cache
// included.
func sizeOfSecret(s *domain.Secret) int {
	size := int(unsafe.Sizeof(*s)) + 256 + 2*(len(s.Ref.Org)+len(s.Ref.Scope.ID)+len(s.Ref.ID)) + len(s.Name) + len(s.Category) +
		len(s.CreatedBy) + len(s.UpdatedBy) + len(s.KekIDs)*len(domain.KekID{})
	for _, t := range s.Tags {
		size += int(unsafe.Sizeof(t)) + len(t)
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		size += int(unsafe.Sizeof(*f)) + len(f.Key) + len(f.UpdatedBy) + 64
		switch v := f.Value.(type) {
		case domain.Sealed:
			size += len(v.Box)
		case domain.Envelope:
			size += len(v.Ciphertext) + len(v.DataKey)
		case domain.Plaintext:
		}
	}
	return size
}
