package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/accessjournal"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/projections/accesslog"
	"github.com/chancery-dev/chancery/proof"
	"github.com/chancery-dev/chancery/reports"
)

// audit is what makes a node accountable: the access log with its recorder and
// index, and the signer of both logs.
type audit struct {
	access   *eventstore.AccessLog
	journal  *accessjournal.Journal // in front of access; nil with an external server
	recorder *eventstore.AccessRecorder
	index    *accesslog.Store
	proofs   *eventstore.ProofStore
	org      domain.OrgID // that names the logs
	key      *proof.SigningKey
	logKeys  map[string]proof.LogKey
	signer   *proof.Signer
	metrics  *auditMetrics
}

// openAudit opens the access log and what proves both logs, and makes what is
// missing on a first start.
func (s *store) openAudit(ctx context.Context) (err error) {
	s.metrics = newAuditMetrics(s.registry)
	s.access, err = eventstore.OpenAccessLog(ctx, s.accessConn, eventstore.AccessOptions{
		Replicas: s.cfg.NATSReplicas, MaxAge: s.cfg.AccessRetention, Logger: s.cfg.Logger,
	})
	if err != nil {
		return err
	}
	if s.proofs, err = eventstore.OpenProofStore(ctx, s.conn, s.cfg.NATSReplicas); err != nil {
		return err
	}
	if s.org, err = firstOrganization(ctx, s.log); err != nil {
		return err
	}
	if err := s.openSigningKey(ctx); err != nil {
		return err
	}
	var appender eventstore.AccessAppender = s.access
	if s.embedded != nil {
		if s.journal, err = accessjournal.Open(ctx, s.cfg.path(journalFile), s.access, accessjournal.Options{Logger: s.cfg.Logger}); err != nil {
			return err
		}
		appender = s.journal
	}
	s.recorder = eventstore.NewAccessRecorder(appender, eventstore.AccessRecorderConfig{Now: s.now, Observer: s.metrics, Logger: s.cfg.Logger})
	if err := s.openIndex(); err != nil { //nolint:contextcheck // opening a file cannot be cut short.
		return err
	}
	return s.openSigner()
}

// openSigningKey reads the key that signs the logs. It is made only where
// nothing was recorded yet: a second key beside an access log would hide that
// the first was lost, and with it everything that it had signed.
func (s *store) openSigningKey(ctx context.Context) error {
	status, err := s.access.Status(ctx)
	if err != nil {
		return err
	}
	seed, err := kms.LoadSigningKey(ctx, s.provider, s.proofs, s.org, status.Head == 0, s.rand, s.now)
	if errors.Is(err, kms.ErrNoSigningKey) {
		return fmt.Errorf("%w beside an access log: the stream %s was lost or is not restored yet. "+
			"Restore it from a backup; nothing was changed", err, eventstore.ProofStream)
	}
	if err != nil {
		return err
	}
	defer clear(seed)
	if s.key, err = proof.NewSigningKey(seed); err != nil {
		return err
	}
	s.logKeys = map[string]proof.LogKey{}
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		if s.logKeys[log], err = s.key.LogKey(proof.Origin(string(s.org), log)); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) openIndex() (err error) {
	s.index, err = accesslog.Open(accessConfig(s.cfg, keptEdges{proofs: s.proofs, key: s.logKeys[proof.LogAccess]}))
	return err
}

// accessConfig says where the index of the access log lies and how it reads.
func accessConfig(cfg Config, edges keptEdges) accesslog.Config {
	return accesslog.Config{
		Path: cfg.path(accessFile), Now: time.Now, Logger: cfg.Logger,
		Decode: eventstore.DecodeAccess, DecodeAt: eventstore.AccessAt, Resume: edges.resume,
	}
}

func (s *store) openSigner() (err error) {
	s.signer, err = proof.NewSigner(proof.SignerConfig{
		Store: s.proofs, Organization: string(s.org), Key: s.key, Witnesses: s.cfg.Witnesses,
		Logs: []proof.Log{
			{Name: proof.LogEvents, View: s.state.Tree},
			{Name: proof.LogAccess, View: s.index.Tree},
		},
		Observer: s.metrics, Now: s.now, Logger: s.cfg.Logger, Interval: s.cfg.CheckpointInterval,
	})
	return err
}

// firstOrganization gives the organization of the log's first event: the
// bootstrap's, which names the logs.
func firstOrganization(ctx context.Context, log eventstore.Log) (domain.OrgID, error) {
	next, stop := iter.Pull2(log.Read(ctx, 0))
	defer stop()
	r, err, ok := next()
	switch {
	case err != nil:
		return "", err
	case !ok || r.Stream == nil:
		return "", errors.New("the log has no first organization")
	}
	return r.Stream.Organization(), nil
}

// Access implements [httpapi.AccessLog].
func (a *audit) Access(ctx context.Context, q domain.AccessQuery) (domain.AccessPage, error) {
	waiting, cancel := context.WithTimeout(ctx, indexWait)
	defer cancel()
	var behind error
	if a.journal != nil {
		behind = a.journal.Flush(waiting)
	}
	status, err := a.access.Status(ctx)
	if err != nil {
		return domain.AccessPage{}, err
	}
	if behind == nil {
		behind = a.index.WaitFor(waiting, status.Head)
	}
	if behind != nil {
		if ctx.Err() != nil {
			return domain.AccessPage{}, ctx.Err()
		}
		return domain.AccessPage{}, &domain.Error{
			Code: domain.CodePositionNotReached, Detail: "the index of the access log is behind", RetryAfter: time.Second,
		}
	}
	return a.index.Query(q)
}

// indexWait bounds how long a question about the access log waits for what was
// recorded before it.
const indexWait = 5 * time.Second

// record keeps what this process itself did.
func (a *audit) record(ctx context.Context, action, detail string) error {
	return a.recorder.Record(ctx, domain.Access{
		Actor: domain.Actor{Kind: domain.ActorSystem, ID: "server"}, Action: action, Detail: detail, Outcome: domain.OutcomeAllowed,
	})
}

// served are the reports as the API makes them.
func (s *store) served() servedReports {
	return servedReports{newReports(s.log, s.access, s.proofs, s.logKeys, s.key, nil)}
}

var _ reports.Access = (*eventstore.AccessLog)(nil)

// registerGauges shows what the parts of the audit know of themselves.
func (a *audit) registerGauges(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chancery_access_index_lag_messages", Help: "Messages of the access log that its index has not applied yet.",
	}, func() float64 { return float64(a.index.Lag()) }))
	if a.journal != nil {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "chancery_access_journal_bytes", Help: "Access records, in bytes, that wait in the journal for the access log.",
		}, func() float64 { return float64(a.journal.Backlog()) }))
	}
}

func (s *store) logFailure(ctx context.Context, what string, err error) {
	if err != nil {
		s.cfg.Logger.ErrorContext(ctx, "a part of the server failed", slog.String("part", what), slog.Any("error", err))
	}
}
