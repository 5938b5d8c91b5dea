package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/slotfile"
	"github.com/chancery-dev/chancery/projections"
)

// What lies in a data directory beside the root key, the administrator's key
// and the key files of slotfile.
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
	conn     *nats.Conn           // of everything but access records and the feed
	// accessConn carries access records alone. Appended events rely on the order
	// within conn; access records need no order, and on conn every read would
	// wait behind the messages of the writes.
	accessConn *nats.Conn
	feedConn   *nats.Conn // of the feed's follower; nil without one
	log        *eventstore.JetStream
	keys       keyStore
	slots      *slotfile.Store // the keys' files; nil with an external server
}

// keyStore is a key store that can be looked at.
type keyStore interface {
	kms.KeyStore
	verifier
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
		if _, err := checkBlocks(ctx, cfg, false); err != nil {
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
	return b, b.openKeys(ctx, cfg)
}

// makeOrFindData makes the data directory, or checks without making anything
// that there is one, with the embedded log in it.
func makeOrFindData(cfg Config) error {
	if !cfg.existing {
		if _, err := os.Stat(cfg.Data); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
			return err
		}
		// A power loss must not take the name of a directory with acknowledged
		// writes in it.
		return syncDirectory(filepath.Dir(cfg.Data))
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

// openKeys opens the key files, or the keys' stream of an external server. The
// files are made beside an empty log only: a log with events had them.
//
// A crash after it leaves an empty log beside empty files, which the next start
// takes as they are.
func (b *broker) openKeys(ctx context.Context, cfg Config) (err error) {
	if b.embedded == nil {
		b.keys, err = eventstore.OpenKeyStore(ctx, b.conn, cfg.NATSReplicas)
		return err
	}
	missing, err := slotfile.Missing(cfg.Data)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		status, err := b.log.Status(ctx)
		switch {
		case err != nil:
			return err
		case status.Head > 0:
			return fmt.Errorf("%s is missing beside a log that has events: the keys were lost or are not restored yet. "+
				"Restore %s from a backup; nothing was changed", strings.Join(missing, " and "), b.keyNames())
		case cfg.existing:
			return fmt.Errorf("there are no keys to work on: %s is missing", strings.Join(missing, " and "))
		}
	}
	if cfg.keysReadOnly {
		b.slots, err = slotfile.OpenReadOnly(cfg.Data)
	} else {
		if name, yes := slotfile.CopyOnWrite(cfg.Data); yes {
			cfg.Logger.WarnContext(ctx, "the key files lie on a file system that writes changed blocks elsewhere: "+
				"an erased key is gone from the file, not from old blocks and snapshots", slog.String("file system", name), slog.String("data", cfg.Data))
		}
		b.slots, err = slotfile.Open(cfg.Data)
	}
	b.keys = b.slots
	return err
}

// keyNames returns what an operator restores the keys from.
func (b *broker) keyNames() string {
	if b.embedded == nil {
		return eventstore.KeysStream
	}
	return slotfile.KeysFile + " and " + slotfile.OrgKeysFile
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
		case err == nil && name == eventstore.KeysStream && b.embedded != nil:
			return fmt.Errorf("%s was made by a version that kept keys in the stream %s. This version keeps them in %s and does not convert: "+
				"begin with a new data directory; nothing was changed", cfg.Data, name, b.keyNames())
		case errors.Is(err, jetstream.ErrStreamNotFound) && name == eventstore.KeysStream && b.embedded != nil:
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
	if cfg.NATSURL == "" {
		if b.embedded, err = startEmbedded(ctx, cfg); err != nil {
			return cfg.explain(err)
		}
	}
	if b.conn, err = b.dial(ctx, cfg); err != nil {
		return err
	}
	b.accessConn, err = b.dial(ctx, cfg)
	return err
}

// dial opens another connection to the server.
func (b *broker) dial(ctx context.Context, cfg Config) (*nats.Conn, error) {
	if b.embedded != nil {
		return b.embedded.Connect(ctx)
	}
	return eventstore.Connect(ctx, eventstore.Server{
		URL: cfg.NATSURL, CredsFile: cfg.NATSCreds, CAFile: cfg.NATSCA, CertFile: cfg.NATSCert, KeyFile: cfg.NATSKey,
		Logger: cfg.Logger,
	})
}

// close gives the data directory back when nothing of it is open any more.
func (b *broker) close() (err error) {
	if b.slots != nil {
		err = b.slots.Close()
	}
	for _, conn := range []*nats.Conn{b.feedConn, b.accessConn, b.conn} {
		if conn != nil {
			conn.Close()
		}
	}
	if b.embedded != nil {
		err = errors.Join(err, b.embedded.Shutdown())
	}
	if b.unlock != nil {
		err = errors.Join(err, b.unlock())
	}
	return err
}
