package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/projections"
)

// What lies in a data directory beside the two key files.
const (
	logDirectory = "jetstream" // of the embedded log
	journalFile  = "access.journal"
	stateFile    = "state.db"
	lockFile     = "lock"
)

// broker is an opened log with its key store, and what it stands on.
type broker struct {
	unlock   func() error         // of the data directory
	embedded *eventstore.Embedded // nil with an external server
	conn     *nats.Conn           // of everything but access records
	// accessConn carries access records alone. Appended events rely on the order
	// within conn; access records need no order, and on conn every read would
	// wait behind the messages of the writes.
	accessConn *nats.Conn
	log        eventstore.Log
	keys       *eventstore.KeyStore
}

// openBroker takes the data directory for this process and opens the log and
// the key store in it, or connects to the external server that the
// configuration names. What is missing is made, except where the
// configuration says that it must exist, and except a log that was lost.
func openBroker(ctx context.Context, cfg Config) (_ *broker, err error) {
	b := &broker{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := makeOrFindData(cfg); err != nil {
		return nil, err
	}
	if b.unlock, err = lockDirectory(cfg.Data); err != nil {
		return nil, err
	}
	if cfg.existing {
		// The log's server would cut a damaged block off, or not come back
		// from it. A server that starts does not read all of its log for that.
		if _, err := checkBlocks(cfg, false); err != nil {
			return nil, err
		}
	}
	foreign, err := readForeign(cfg.ForeignFile)
	if err != nil {
		return nil, err
	}
	// Looked at before the embedded server makes the directory.
	if missing, err := logDirectoryMissing(cfg); err != nil {
		return nil, err
	} else if missing {
		if err := refuseLostLog(cfg); err != nil {
			return nil, err
		}
	}
	if err := b.connect(ctx, cfg); err != nil {
		return nil, err
	}
	if err := b.checkStreams(ctx, cfg); err != nil {
		return nil, err
	}
	if b.log, err = eventstore.OpenJetStream(ctx, b.conn, eventstore.Options{Replicas: cfg.NATSReplicas, Foreign: foreign, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	b.keys, err = eventstore.OpenKeyStore(ctx, b.conn, cfg.NATSReplicas)
	return b, err
}

// makeOrFindData makes the data directory, or checks without making anything
// that there is one, with the embedded log in it.
func makeOrFindData(cfg Config) error {
	if !cfg.existing {
		return os.MkdirAll(cfg.Data, 0o700)
	}
	if _, err := os.Stat(cfg.Data); err != nil {
		return err
	}
	missing, err := logDirectoryMissing(cfg)
	if err == nil && missing {
		err = fmt.Errorf("there is no log in %s: it has no directory %s", cfg.Data, logDirectory)
	}
	return err
}

// logDirectoryMissing is false with an external server.
func logDirectoryMissing(cfg Config) (bool, error) {
	if cfg.NATSURL != "" {
		return false, nil
	}
	_, err := os.Stat(cfg.path(logDirectory))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// refuseLostLog is called where the log is missing or empty. A projection with
// events shows that there was one: to begin anew beside it would look like a
// working server that has lost everything.
func refuseLostLog(cfg Config) error {
	path := cfg.path(stateFile)
	found, err := projections.Inspect(path, "")
	if err != nil || found.Empty {
		return err
	}
	return fmt.Errorf("the log is empty, but the projection %s is not: the log was lost or is not restored yet. "+
		"Restore it from a backup, or remove %s to begin anew; nothing was changed", path, path)
}

// checkStreams looks at the streams before any is made.
func (b *broker) checkStreams(ctx context.Context, cfg Config) error {
	js, err := jetstream.New(b.conn)
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	var head uint64
	for _, name := range []string{eventstore.EventsStream, eventstore.KeysStream} {
		s, err := js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound) && cfg.existing:
			return fmt.Errorf("there is no log to work on: the stream %s is missing", name)
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, name, err)
		case name == eventstore.EventsStream:
			head = s.CachedInfo().State.LastSeq
		}
	}
	if head == 0 {
		return refuseLostLog(cfg)
	}
	return nil
}

func (b *broker) connect(ctx context.Context, cfg Config) (err error) {
	dial := func() (*nats.Conn, error) {
		return eventstore.Connect(ctx, eventstore.Server{
			URL: cfg.NATSURL, CredsFile: cfg.NATSCreds, CAFile: cfg.NATSCA, CertFile: cfg.NATSCert, KeyFile: cfg.NATSKey,
			Logger: cfg.Logger,
		})
	}
	if cfg.NATSURL == "" {
		if b.embedded, err = startEmbedded(ctx, cfg); err != nil {
			return err
		}
		dial = func() (*nats.Conn, error) { return b.embedded.Connect(ctx) }
	}
	if b.conn, err = dial(); err != nil {
		return err
	}
	b.accessConn, err = dial()
	return err
}

// close gives the data directory back when nothing of it is open any more.
func (b *broker) close() (err error) {
	for _, conn := range []*nats.Conn{b.accessConn, b.conn} {
		if conn != nil {
			conn.Close()
		}
	}
	if b.embedded != nil {
		err = b.embedded.Shutdown()
	}
	if b.unlock != nil {
		err = errors.Join(err, b.unlock())
	}
	return err
}
