package kms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Config says what a [Keyring] works with. Provider, Store, Log, Claims and
// Now are required; a zero anywhere else means the default named there.
type Config struct {
	Provider Provider
	Store    KeyStore
	Log      EventLog
	Claims   Claims
	Torn     TornSlots // of a store in a file; nil: the store leaves no torn slots
	Now      func() time.Time
	// Rand gives keys and ids and must be safe for concurrent use. Default:
	// crypto/rand. Nonces always come from the cipher itself.
	Rand   io.Reader
	Logger *slog.Logger // default: discards

	CacheSize int // unwrapped secret keys in memory; default 131,072, about 210 bytes each
	PoolMin   int // pool keys kept for an organization with recent demand; default 128
	PoolMax   int // the most that demand raises it to; default 2,048
	PoolTotal int // of all organizations together; default 8,192

	OpenMintsPerAgent int // missing secrets that one agent may have minted for; default 1,000
	OpenMints         int // of all agents together; default 65,536

	SweepEvery time.Duration // between sweeps; default 1 minute
	RetryEvery time.Duration // between pool checks, and after a failure; default 5 seconds
}

// Keyring makes, opens and destroys keys. All methods are safe for concurrent
// use. Refusals that a caller may see are [*domain.Error]s.
type Keyring struct {
	cfg      Config
	source   source
	orgs     *orgKeys
	secrets  *secretKeys
	pool     *pool
	handOuts *handOuts
	sweeper  sweeper
}

// New gives a keyring. It reads and makes nothing yet; [Keyring.Run] keeps
// the pool filled and sweeps, and a keyring also works, slower, without it.
func New(cfg Config) (*Keyring, error) {
	if cfg.Provider == nil || cfg.Store == nil || cfg.Log == nil || cfg.Claims == nil || cfg.Now == nil {
		return nil, errors.New("kms: Config needs Provider, Store, Log, Claims and Now")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []struct {
		size *int
		or   int
	}{
		{&cfg.CacheSize, 131_072},
		{&cfg.PoolMin, 128},
		{&cfg.PoolMax, 2048},
		{&cfg.PoolTotal, 8192},
		{&cfg.OpenMintsPerAgent, 1000},
		{&cfg.OpenMints, 65536},
	} {
		if *d.size < 0 {
			return nil, errors.New("kms: a size in Config is negative")
		}
		if *d.size == 0 {
			*d.size = d.or
		}
	}
	if cfg.PoolMax < cfg.PoolMin {
		return nil, errors.New("kms: PoolMax is below PoolMin")
	}
	if cfg.SweepEvery <= 0 {
		cfg.SweepEvery = time.Minute
	}
	if cfg.RetryEvery <= 0 {
		cfg.RetryEvery = 5 * time.Second
	}
	k := &Keyring{
		cfg:      cfg,
		source:   source{now: cfg.Now, rand: cfg.Rand},
		pool:     newPool(cfg.PoolMin, cfg.PoolMax, cfg.PoolTotal),
		handOuts: newHandOuts(cfg.OpenMintsPerAgent, cfg.OpenMints),
	}
	k.orgs = &orgKeys{
		store: cfg.Store, provider: cfg.Provider, source: &k.source, used: map[domain.OrgID]struct{}{},
		cache: newCache[orgKeyName](max(1, cfg.CacheSize/16), func(o *orgKey) { clear(o.key[:]) }),
	}
	k.secrets = &secretKeys{
		store: cfg.Store, org: k.orgs, source: &k.source,
		cache: newCache[domain.KekID](cfg.CacheSize, (*secretKey).wipe),
	}
	return k, nil
}

// OrgReady makes an organization's org key if there is none, durable on nil.
// Any first use makes it too.
func (k *Keyring) OrgReady(ctx context.Context, org domain.OrgID) error {
	ok, err := k.orgs.current(ctx, org)
	clear(ok.key[:])
	return visible(err)
}

// Destroy erases secret keys from the store and from memory. On nil nothing
// they wrapped or sealed can be opened again, here or from a copy of the log;
// keys that do not exist are fine, so it may be repeated. On an error some
// may be left.
func (k *Keyring) Destroy(ctx context.Context, keks []domain.KekID) error {
	err := k.secrets.destroy(ctx, keks)
	for _, kek := range keks {
		k.handOuts.end(kek)
	}
	return visible(err)
}

// Applied tells the keyring of an event that the projection has applied, in
// the order of the log. It never blocks on anything but memory.
func (k *Keyring) Applied(r domain.Recorded) {
	switch e := r.Event.(type) {
	case domain.SecretCreated:
		for _, kek := range e.KekIDs {
			k.handOuts.end(kek)
		}
	case domain.SecretDeleted:
		k.forget(e.KekIDs)
	case domain.KeyDestroyed:
		// Again: a read between the deletion and the erasure, on another node,
		// may have loaded the key once more.
		k.forget(e.KekIDs)
	case domain.FieldSet, domain.FieldRemoved, domain.SecretRenamed, domain.SecretReclassified, domain.SecretScheduled,
		domain.ScopeCreated, domain.ScopeRenamed, domain.ScopeArchived, domain.ScopeRestored,
		domain.MembershipGranted, domain.MembershipRevoked, domain.APIKeyIssued, domain.APIKeyRevoked:
	}
}

func (k *Keyring) forget(keks []domain.KekID) {
	for _, kek := range keks {
		k.secrets.cache.evict(kek)
		k.handOuts.end(kek)
	}
}

// Stats are counts for metrics. None is about one secret or agent.
type Stats struct {
	Cached      int    // unwrapped secret keys in memory
	CacheHits   uint64 // since the start
	CacheMisses uint64
	Pooled      int    // durable keys that nobody was given yet
	OpenMints   int    // keys handed out for secrets that do not exist yet
	Swept       uint64 // unclaimed keys erased since the start
}

// Stats gives the counts as they stand.
func (k *Keyring) Stats() Stats {
	return Stats{
		Cached: k.secrets.cache.len(), CacheHits: k.secrets.cache.hits.Load(), CacheMisses: k.secrets.cache.misses.Load(),
		Pooled: k.pool.len(), OpenMints: k.handOuts.len(), Swept: k.sweeper.swept.Load(),
	}
}

// Format prints [domain.Redacted], whatever the verb.
func (*Keyring) Format(f fmt.State, _ rune) { redact(f) }
