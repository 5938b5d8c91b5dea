package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Source is the log that is sent. The sender relies on it that only what is
// durable can be seen: nobody can take a delivery back.
type Source interface {
	// Follow gives all records behind a position in order, then waits for
	// more. It ends with ctx or after an error.
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Status gives the head, where a new endpoint begins.
	Status(ctx context.Context) (domain.LogStatus, error)
}

// Observer is told how the endpoints fare. Its methods are called by several
// goroutines at once and must not block.
type Observer interface {
	// Moved says that the endpoint is done with a position.
	Moved(name string, position uint64)
	// Attempted says that a delivery was tried.
	Attempted(name string, ok bool)
	// Disabled says whether the endpoint answered 410 Gone, now or before.
	Disabled(name string, disabled bool)
}

// Config is what [Open] needs; all is required but Roots and what names a
// default.
type Config struct {
	Endpoints []Endpoint
	// Dir holds the cursors; it is made, mode 0700. One process at a time may
	// use it.
	Dir    string
	Source Source
	// Record makes a change of the configuration an access record, durable on
	// nil.
	Record   func(ctx context.Context, detail string) error
	Observer Observer
	Logger   *slog.Logger
	Now      func() time.Time
	Rand     io.Reader
	// Timeout bounds one attempt, its answer included; 15 s by default.
	Timeout time.Duration
	// FirstRetry and MostRetry bound the waits between attempts; 1 s and 4 h
	// by default.
	FirstRetry, MostRetry time.Duration
	// Roots verify servers; the system's when nil.
	Roots *x509.CertPool
}

// Sender sends to all endpoints of a configuration.
type Sender struct {
	config Config
	lines  []*line
}

// Open reads the cursors and records which endpoints are new, changed or gone
// since the last one. One that was gone goes on from where it was. A new one begins at the head, or at the first record if
// its entry says so. The access record comes before the cursor: a crash between
// has it recorded twice, never not at all.
func Open(ctx context.Context, c Config) (*Sender, error) {
	setDefault(&c.Timeout, 15*time.Second)
	setDefault(&c.FirstRetry, time.Second)
	setDefault(&c.MostRetry, 4*time.Hour)
	s := &Sender{config: c}
	if err := s.dropGone(ctx); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	if len(c.Endpoints) == 0 {
		return s, nil
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := syncDirectory(filepath.Dir(c.Dir)); err != nil {
		return nil, err
	}
	for _, e := range c.Endpoints {
		l, err := s.open(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: %w", e.Name, err)
		}
		s.lines = append(s.lines, l)
	}
	return s, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// dropGone records the endpoints that are no more. Their positions stay: a
// configuration that was left out by mistake loses nothing.
func (s *Sender) dropGone(ctx context.Context) error {
	entries, err := os.ReadDir(s.config.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(s.config.Dir, entry.Name())
		name, ok := strings.CutSuffix(entry.Name(), cursorSuffix)
		switch {
		case strings.HasPrefix(entry.Name(), ".cursor-"): // a crash left it
			err = os.Remove(path)
		case !ok || slices.ContainsFunc(s.config.Endpoints, func(e Endpoint) bool { return e.Name == name }):
			continue
		default:
			err = s.drop(ctx, name, path)
		}
		if err != nil {
			return err
		}
	}
	return syncDirectory(s.config.Dir)
}

// drop leaves a cursor without a fingerprint: of no configured endpoint.
func (s *Sender) drop(ctx context.Context, name, path string) error {
	at, err := readCursor(path)
	if err != nil || at.Fingerprint == "" {
		return err
	}
	if err := s.config.Record(ctx, "webhook removed: "+name); err != nil {
		return err
	}
	at.Fingerprint = ""
	return writeCursor(path, at)
}

func (s *Sender) open(ctx context.Context, e Endpoint) (*line, error) {
	path := filepath.Join(s.config.Dir, e.Name+cursorSuffix)
	status, err := s.config.Source.Status(ctx)
	if err != nil {
		return nil, err
	}
	at, err := readCursor(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !e.fromStart {
			at.Position = status.Head
		}
	case err != nil:
		return nil, err
	case at.Position > status.Head:
		return nil, fmt.Errorf("its cursor is at %d and the log ends at %d: another log, or one from an older backup; "+
			"remove %s to begin anew", at.Position, status.Head, path)
	}
	what := "changed"
	if at.Fingerprint == "" {
		what = "added"
	}
	if at.Fingerprint != e.fingerprint {
		if err := s.config.Record(ctx, e.detail(what)); err != nil {
			return nil, err
		}
		at.Fingerprint, at.Disabled = e.fingerprint, false
		if err := writeCursor(path, at); err != nil {
			return nil, err
		}
	}
	s.config.Observer.Moved(e.Name, at.Position)
	s.config.Observer.Disabled(e.Name, at.Disabled)
	return &line{
		config: s.config, endpoint: e, path: path, at: at, saved: at.Position,
		client: newClient(reach{loopback: namesLoopback(e.target), private: e.allowPrivate}, s.config.Timeout,
			&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.config.Roots}),
	}, nil
}

// Run sends until ctx ends and all endpoints have stopped. An endpoint whose
// records cannot be read stops, is logged, and holds no other; its error is in
// what Run returns.
func (s *Sender) Run(ctx context.Context) error {
	var running sync.WaitGroup
	failed := make([]error, len(s.lines))
	for i, l := range s.lines {
		running.Go(func() {
			if err := l.run(ctx); err != nil {
				s.config.Logger.ErrorContext(ctx, "a webhook stopped", slog.String("webhook", l.endpoint.Name), slog.Any("error", err))
				failed[i] = fmt.Errorf("webhook %s: %w", l.endpoint.Name, err)
			}
		})
	}
	running.Wait()
	return errors.Join(failed...)
}
