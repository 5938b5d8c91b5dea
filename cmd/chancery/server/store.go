package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/feed"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/projections"
)

// store is everything but the HTTP API: log, projection, keys, executor.
type store struct {
	*broker
	*audit
	cfg        Config
	now        func() time.Time
	rand       io.Reader
	state      *projections.Store
	provider   kms.Provider
	keyring    *kms.Keyring
	executor   *eventstore.Executor
	reconciler *eventstore.Reconciler
	streams    *streamWatch
	follower   *feed.Follower
	registry   *prometheus.Registry
}

// openStore opens a data directory and, on an empty log, makes the first
// organization. The projection does not run yet.
func openStore(ctx context.Context, cfg Config) (_ *store, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &store{cfg: cfg, now: time.Now, rand: rand.Reader, registry: newRegistry(), audit: &audit{}}
	if s.broker, err = openBroker(ctx, cfg); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.openKeysAndLog(ctx); err != nil {
		return nil, err
	}
	if err := s.openState(); err != nil { //nolint:contextcheck // opening a file cannot be cut short.
		return nil, err
	}
	if err := s.openAudit(ctx); err != nil {
		return nil, err
	}
	if err := s.assemble(); err != nil {
		return nil, err
	}
	return s, s.openFollower(ctx)
}

func (s *store) openKeysAndLog(ctx context.Context) error {
	status, err := s.log.Status(ctx)
	if err != nil {
		return err
	}
	switch status.Durability {
	case domain.DurableHere:
	case domain.DurableByServer:
		s.cfg.Logger.InfoContext(ctx, "the NATS server vouches for what is durable: it must sync always (sync_interval: always), which this node cannot find out")
	}
	path, empty := s.cfg.rootKeyFile(), status.Head == 0
	if empty && s.cfg.existing {
		return errors.New("the log is empty: the first start of the server makes an administrator; nothing was changed")
	}
	provider, created, err := openProvider(ctx, path, empty, s.broker, s.rand)
	if err != nil {
		return err
	}
	s.provider = provider
	if err := s.cfg.reached("root key ready"); err != nil || !empty {
		return err
	}
	b := bootstrap{log: s.log, path: s.cfg.path(adminKeyFile), now: s.now, rand: s.rand, reached: s.cfg.reached}
	err = b.run(ctx)
	if errors.Is(err, errOtherNodeFirst) && created {
		err = errors.Join(err, os.Remove(path)) // nothing was wrapped under it
	}
	return err
}

func (s *store) openState() (err error) {
	s.state, err = projections.Open(projections.Options{
		Path: s.cfg.path(stateFile), Now: s.now, Logger: s.cfg.Logger,
		Applied: func(events []domain.Recorded) {
			for _, r := range events {
				s.keyring.Applied(r)
			}
		},
	})
	return err
}

func (s *store) assemble() (err error) {
	keys := kms.Config{
		Provider: s.provider, Store: s.keys, Log: &logStatus{log: s.log, state: s.state}, Claims: s.state,
		Now: s.now, Rand: s.rand, Logger: s.cfg.Logger,
	}
	s.streams = &streamWatch{parts: []verifier{s.log, s.access, s.proofs}, logger: s.cfg.Logger}
	if s.slots != nil {
		keys.Torn = s.slots
	} else {
		s.streams.parts = append(s.streams.parts, s.keys)
	}
	s.keyring, err = kms.New(keys)
	if err != nil {
		return err
	}
	appends := newHistogram(s.registry, "chancery_append_duration_seconds", "Append to acknowledged, fsync included.")
	waits := newHistogram(s.registry, "chancery_apply_wait_seconds", "Acknowledged to applied by this node's projection.")
	failures := prometheus.NewCounter(prometheus.CounterOpts{Name: "chancery_append_failures_total", Help: "Appends that were not acknowledged, lost races included."})
	s.registry.MustRegister(failures)
	s.executor = eventstore.NewExecutor(eventstore.Config{
		Log:     measuredLog{Log: s.log, now: s.now, duration: appends, failures: failures},
		State:   s.state,
		Awaiter: measuredAwaiter{Awaiter: s.state, now: s.now, duration: waits},
		Sealer:  sealer{s.keyring},
		Now:     s.now,
		Rand:    s.rand,
		Deleted: func() { s.reconciler.Wake() },
	})
	s.reconciler = eventstore.NewReconciler(s.executor, s.cfg.Logger)
	s.registerGauges(s.registry)
	s.audit.registerGauges(s.registry)
	return nil
}

// following runs do while the projection follows the log, caught up: what
// the offline commands change the directory in. Nil means that do ran.
func (s *store) following(ctx context.Context, do func() error) error {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.state.Run(running, s.log) }()
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for s.state.Ready() != nil {
		select {
		case <-ticker.C:
		case err := <-ended:
			stop()
			return errors.Join(errNotFollowing, ctx.Err(), err)
		}
	}
	err := do()
	stop()
	return errors.Join(err, <-ended)
}

// errNotFollowing says that the projection ended before it had caught up.
var errNotFollowing = errors.New("nothing was done: the projection did not catch up with the log")

const readyPoll = 5 * time.Millisecond

func (s *store) close() error {
	var err error
	if s.state != nil {
		err = s.state.Close()
	}
	if s.index != nil {
		err = errors.Join(err, s.index.Close())
	}
	if s.journal != nil {
		err = errors.Join(err, s.journal.Close())
	}
	return errors.Join(err, s.broker.close())
}

// rootOrganization finds the organization of the log's first event.
func (s *store) rootOrganization() (domain.OrgID, error) {
	for after := domain.OrgID(""); ; {
		page, more, err := s.state.Organizations(after, 200)
		if err != nil {
			return "", err
		}
		for _, o := range page {
			after = domain.OrgID(o.Scope.ID)
			root := false
			err := s.state.Directory(after, func(d *domain.Directory) error {
				root = d.Root
				return nil
			})
			if err != nil || root {
				return after, err
			}
		}
		if !more {
			return "", errors.New("the log has no first organization")
		}
	}
}
