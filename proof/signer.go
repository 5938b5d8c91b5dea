package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// The refusals of a [Signer]. Each means that signing would contradict
// something, and none is an answer to a client.
var (
	// ErrFork: the local tree is not the one that was signed.
	ErrFork = errors.New("proof: the log is not the one that was signed")
	// ErrBehind: the local tree is shorter than the newest checkpoint. It may
	// be catching up, or the log lost its end.
	ErrBehind = errors.New("proof: the log is shorter than its newest signed checkpoint")
	// ErrRolledBack: a checkpoint that was stored, or that a witness saw, is
	// not there any more.
	ErrRolledBack = errors.New("proof: a signed checkpoint is gone")
	// ErrClock: the newest checkpoint was signed in what is the future here.
	ErrClock = errors.New("proof: the newest checkpoint was signed later than now")
)

// CheckpointStore keeps the signed checkpoints of all logs, for ever and in
// order. Methods are safe for concurrent use.
type CheckpointStore interface {
	// Latest gives the newest signed note of a log and its revision; nil and 0
	// when there is none. It is never behind what this process saw of it.
	Latest(ctx context.Context, log string) (signed []byte, revision uint64, err error)
	// Add stores a signed note as the newest one if the newest one still has
	// the given revision, and gives its own, which is higher. Nil means
	// durable. An error leaves open whether it was stored.
	Add(ctx context.Context, log string, revision uint64, signed []byte) (uint64, error)
}

// Log is a log to sign for.
type Log struct {
	// Name is LogEvents or LogAccess.
	Name string
	// View calls f with the tree as it is, within one read transaction, and
	// returns f's error. The signer relies on it that every leaf is durable: a
	// checkpoint over one that a power loss then takes would accuse the log for
	// ever.
	View func(f func(*Tree) error) error
}

// Observer is told what a [Signer] does, for metrics. Methods are safe for
// concurrent use and fast.
type Observer interface {
	// Signed says that a checkpoint was signed and is stored.
	Signed(log string, size uint64, at time.Time)
	// Cosigned says that a witness was asked; err: it gave no cosignature.
	Cosigned(log, witness string, err error)
}

// SignerConfig makes a [Signer]. Store, Logs, Organization, Key, Now and
// Logger are required.
type SignerConfig struct {
	Store CheckpointStore
	Logs  []Log
	// Organization is the bootstrap organization, which names the logs.
	Organization string
	Key          *SigningKey
	// Witnesses are asked for cosignatures in the background.
	Witnesses []Witness
	// Client reaches the witnesses; nil: one of its own.
	Client   *http.Client
	Observer Observer // nil: nobody
	Now      func() time.Time
	Logger   *slog.Logger
	// Interval is how often a log that grew is signed; 0: 10 s.
	Interval time.Duration
	// IdleInterval is how often one is signed that did not; 0: 10 min.
	IdleInterval time.Duration
}

// Signer signs the checkpoints of a server's logs. Before every signature it
// proves that the log grew from the newest stored checkpoint, and what it
// signed becomes the newest only if that still was the newest: signers of many
// nodes over one store never sign a fork, and one whose log is another refuses.
// Safe for concurrent use.
type Signer struct {
	cfg  SignerConfig
	logs []*signedLog
}

// signedLog is a log and what the signer knows of it.
type signedLog struct {
	Log
	key       LogKey
	witnesses []*logWitness

	signing sync.Mutex // one signature at a time
	// revision is the newest that this process saw stored. Guarded by signing.
	revision uint64

	mu      sync.Mutex
	problem error // of the last attempt; guarded by mu
}

// NewSigner checks the configuration and makes the signer; it signs nothing
// yet. Errors: ErrKey.
func NewSigner(cfg SignerConfig) (*Signer, error) {
	cfg.Interval = orDefault(cfg.Interval, 10*time.Second)
	cfg.IdleInterval = orDefault(cfg.IdleInterval, 10*time.Minute)
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1}}
	}
	s := &Signer{cfg: cfg}
	for _, l := range cfg.Logs {
		key, err := cfg.Key.LogKey(Origin(cfg.Organization, l.Name))
		if err != nil {
			return nil, err
		}
		sl := &signedLog{Log: l, key: key}
		for _, w := range cfg.Witnesses {
			if w.Name() == key.Origin() {
				return nil, fmt.Errorf("%w: a witness has the log's own name %s", ErrKey, w.Name())
			}
			sl.witnesses = append(sl.witnesses, &logWitness{Witness: w, wake: make(chan struct{}, 1)})
		}
		s.logs = append(s.logs, sl)
	}
	return s, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// Keys gives the public keys of the logs, in their order.
func (s *Signer) Keys() []LogKey {
	keys := make([]LogKey, len(s.logs))
	for i, l := range s.logs {
		keys[i] = l.key
	}
	return keys
}

// Problem says why a log could not be signed when that was last tried, nil if
// all could. It heals by itself when the cause goes.
func (s *Signer) Problem() error {
	var problems []error
	for _, l := range s.logs {
		l.mu.Lock()
		if l.problem != nil {
			problems = append(problems, fmt.Errorf("%s: %w", l.Name, l.problem))
		}
		l.mu.Unlock()
	}
	return errors.Join(problems...)
}

// Run signs until ctx ends, and returns nil then, with every witness's
// goroutine ended. A failure is logged, kept for Problem and tried again.
func (s *Signer) Run(ctx context.Context) error {
	defer s.cfg.Client.CloseIdleConnections()
	var logs sync.WaitGroup
	for _, l := range s.logs {
		logs.Go(func() { s.runLog(ctx, l) })
		for _, w := range l.witnesses {
			logs.Go(func() { s.runWitness(ctx, l, w) })
		}
	}
	logs.Wait()
	return nil
}

// runLog signs at every interval what the tree has.
func (s *Signer) runLog(ctx context.Context, l *signedLog) {
	for going := true; going; going = pause(ctx, s.cfg.Interval) {
		_, err := s.sign(ctx, l, false)
		s.report(ctx, l, err)
	}
}

// pause waits, or reports that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// report keeps a problem and logs it when it is a new one.
func (s *Signer) report(ctx context.Context, l *signedLog, err error) {
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	before := l.problem
	l.problem = err
	l.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "log not signed", slog.String("log", l.Name), slog.Any("error", err))
	case err == nil && before != nil:
		s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "log signed again", slog.String("log", l.Name))
	}
}

// SignNow makes sure that a checkpoint covers all leaves that a log's tree has,
// and returns the newest checkpoint. It serves an orderly stop, after the
// writers have ended and the tree has seen their last message, and waits for no
// witness.
//
// Errors: ErrFork, ErrBehind, ErrRolledBack, ErrClock, ErrCheckpoint when the
// newest stored note is not this key's, ErrNoTile; those of the store.
func (s *Signer) SignNow(ctx context.Context, log string) (SignedCheckpoint, error) {
	for _, l := range s.logs {
		if l.Name == log {
			c, err := s.sign(ctx, l, true)
			s.report(ctx, l, err)
			return c, err
		}
	}
	return SignedCheckpoint{}, fmt.Errorf("proof: no log is named %q", log)
}

// rounds bounds how often one signature starts over because others signed.
const rounds = 16

// sign signs the tree if that is due, and gives the newest checkpoint: the zero
// one if nothing was ever signed or is there to sign.
func (s *Signer) sign(ctx context.Context, l *signedLog, now bool) (SignedCheckpoint, error) {
	l.signing.Lock()
	defer l.signing.Unlock()
	var tried []byte // what the last round tried to store behind which revision
	var behind uint64
	var failed error
	for range rounds {
		newest, kept, revision, err := s.newest(ctx, l)
		switch {
		case err != nil:
			return SignedCheckpoint{}, errors.Join(err, failed)
		case tried != nil && bytes.Equal(newest.Note, tried): // stored, although the answer was lost
			return s.signed(l, newest), nil
		case tried != nil && revision == behind: // no rival: the store failed
			return SignedCheckpoint{}, fmt.Errorf("proof: storing a checkpoint: %w", failed)
		}
		next, at, err := s.next(l, newest, now)
		if err != nil {
			return SignedCheckpoint{}, err
		}
		if at.IsZero() {
			l.wakeWitnesses() // who started or failed before may lack it
			return newest, nil
		}
		if next != newest.Checkpoint {
			kept = nil
		}
		// A crash before Add leaves a signature that nobody saw. A crash after
		// it leaves the checkpoint, from which every signer goes on.
		tried, err = s.cfg.Key.sign(next, at, kept)
		if err != nil {
			return SignedCheckpoint{}, err
		}
		added, err := s.cfg.Store.Add(ctx, l.Name, revision, tried)
		if err == nil {
			l.revision = max(l.revision, added)
			c, err := l.key.Open(tried, l.verifiers()...)
			if err != nil {
				return SignedCheckpoint{}, err
			}
			return s.signed(l, c), nil
		}
		behind, failed = revision, err
	}
	return SignedCheckpoint{}, fmt.Errorf("proof: storing a checkpoint: others always came first: %w", failed)
}

func (s *Signer) signed(l *signedLog, c SignedCheckpoint) SignedCheckpoint {
	if s.cfg.Observer != nil {
		s.cfg.Observer.Signed(l.Name, c.Size, c.Time)
	}
	l.wakeWitnesses()
	return c
}

// newest reads the newest stored checkpoint, which must be this key's, and its
// witnesses' signatures. The zero checkpoint: there is none yet.
func (s *Signer) newest(ctx context.Context, l *signedLog) (SignedCheckpoint, []note.Signature, uint64, error) {
	raw, revision, err := s.cfg.Store.Latest(ctx, l.Name)
	if err != nil {
		return SignedCheckpoint{}, nil, 0, fmt.Errorf("proof: reading the newest checkpoint: %w", err)
	}
	if revision < l.revision {
		return SignedCheckpoint{}, nil, 0, fmt.Errorf("%w: the store is at revision %d and was at %d", ErrRolledBack, revision, l.revision)
	}
	l.revision = revision
	if raw == nil {
		return SignedCheckpoint{Checkpoint: Checkpoint{Origin: l.key.Origin()}}, nil, revision, nil
	}
	c, err := l.key.Open(raw, l.verifiers()...)
	if err != nil {
		return SignedCheckpoint{}, nil, 0, err
	}
	sigs, err := witnessSignatures(raw, l.verifiers())
	return c, sigs, revision, err
}
