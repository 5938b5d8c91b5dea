package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/accessjournal"
	"github.com/chancery-dev/chancery/eventstore/feed"
)

// consumersFile says who may connect to the embedded server. placesFile keeps
// how far the consumers are, on every node.
const (
	consumersFile = "consumers.json"
	placesFile    = "feed.json"
)

// AddedConsumer is what a new consumer needs to know.
type AddedConsumer struct {
	feed.Consumer
	// KeyFile holds the seed of its user, in this one place.
	KeyFile string `json:"keyFile"`
	Stream  string `json:"stream"`
	// InboxPrefix is where it may be answered.
	InboxPrefix string `json:"inboxPrefix"`
	// Accounts is what the configuration of an external server needs, for all
	// consumers; "" with the embedded one, which has it already.
	Accounts string `json:"accounts,omitempty"`
}

// AddConsumer makes a durable consumer that begins at the first event of the
// feed, the feed where there is none yet, and a NATS user for the consumer, whose seed is written to the new file keyFile.
// With the embedded log the server must be stopped; at its next start the user
// may connect where NATSListen says. With an external one the server's
// configuration must be changed by its operator, as the answer says.
//
// The seed comes first, then the access record, then the durable, and last
// consumers.json, by which it exists. A crash between leaves at most a file of
// that name, which is to be removed, and a durable that nobody may read, which
// RemoveConsumer takes away.
func AddConsumer(ctx context.Context, cfg Config, name string, filters []string, keyFile string) (added AddedConsumer, err error) {
	err = withFeeds(ctx, cfg, func(f *feeds) error {
		added, err = f.add(ctx, name, filters, keyFile)
		return err
	})
	return added, err
}

// RemoveConsumer takes a consumer's user away and with it its durable. The
// conditions are those of AddConsumer; with an external server, the operator
// takes the account out of the configuration. Errors: not_found.
func RemoveConsumer(ctx context.Context, cfg Config, name string) error {
	return withFeeds(ctx, cfg, func(f *feeds) error { return f.remove(ctx, name) })
}

// Consumers lists the consumers and how far they are. The conditions are those
// of AddConsumer.
func Consumers(ctx context.Context, cfg Config) (list []feed.Status, err error) {
	err = withFeeds(ctx, cfg, func(f *feeds) error {
		list, err = f.List(ctx)
		return err
	})
	return list, err
}

// feeds are the consumers of an opened log.
type feeds struct {
	*feed.Feed
	cfg    Config
	broker *broker
	// known are those of consumers.json; with an external server, those that
	// have a durable.
	known []feed.Consumer
}

func withFeeds(ctx context.Context, cfg Config, do func(*feeds) error) error {
	cfg.NATSListen = ""
	if cfg.NATSURL != "" {
		// Only the streams are worked on: nodes may go on running.
		b := &broker{}
		if err := b.connect(ctx, cfg); err != nil {
			return err
		}
		f, err := openFeeds(ctx, cfg, b)
		if err == nil {
			err = do(f)
		}
		return errors.Join(err, b.close())
	}
	return withState(ctx, cfg, func(b *broker, _ string) error {
		f, err := openFeeds(ctx, cfg, b)
		if err != nil {
			return err
		}
		return do(f)
	})
}

func openFeeds(ctx context.Context, cfg Config, b *broker) (_ *feeds, err error) {
	f := &feeds{cfg: cfg, broker: b}
	if f.Feed, err = b.openFeed(b.conn, cfg); err != nil {
		return nil, err
	}
	if b.embedded != nil {
		f.known, err = feed.ReadConsumers(cfg.path(consumersFile))
	} else {
		var list []feed.Status
		list, err = f.List(ctx)
		for _, s := range list {
			f.known = append(f.known, s.Consumer)
		}
	}
	return f, err
}

func (f *feeds) index(name string) int {
	return slices.IndexFunc(f.known, func(k feed.Consumer) bool { return k.Name == name })
}

func (f *feeds) add(ctx context.Context, name string, filters []string, keyFile string) (AddedConsumer, error) {
	if f.index(name) >= 0 {
		return AddedConsumer{}, domain.Errorf(domain.CodeConflict, "there is a consumer %s", name)
	}
	consumer, seed, err := newConsumer(name, filters)
	if err != nil {
		return AddedConsumer{}, err
	}
	defer clear(seed)
	all := append(slices.Clone(f.known), consumer)
	accounts, err := f.accounts(ctx, all)
	if err != nil {
		return AddedConsumer{}, err
	}
	if err := writeSeed(keyFile, seed); err != nil {
		return AddedConsumer{}, err
	}
	err = f.record(ctx, "consumer added: "+name)
	if err == nil {
		// A durable without a consumer is what a crash left: its place in the
		// log is nobody's.
		_, err = f.Remove(ctx, name)
	}
	if err == nil {
		err = f.Add(ctx, consumer)
	}
	if err == nil && f.broker.embedded != nil {
		err = feed.WriteConsumers(f.cfg.path(consumersFile), all)
	}
	if err != nil {
		return AddedConsumer{}, errors.Join(err, os.Remove(keyFile))
	}
	return AddedConsumer{
		Consumer: consumer, KeyFile: keyFile, Stream: feed.Stream, InboxPrefix: consumer.InboxPrefix(), Accounts: accounts,
	}, nil
}

// accounts gives what an external server's configuration needs.
func (f *feeds) accounts(ctx context.Context, all []feed.Consumer) (string, error) {
	if f.broker.embedded != nil {
		return "", nil
	}
	service, err := f.ServiceAccount(ctx)
	if err != nil {
		return "", err
	}
	if service == defaultAccount {
		return "", domain.Errorf(domain.CodeConflict, "Chancery connects to the default account of the NATS server, which cannot export anything: give it an account of its own")
	}
	return feed.Accounts(service, all)
}

// defaultAccount is NATS's name for the account of users that have none.
const defaultAccount = "$G"

// remove takes the user away first: a crash leaves a durable that nobody may
// read, and removing again takes it away.
func (f *feeds) remove(ctx context.Context, name string) error {
	i := f.index(name)
	if i >= 0 {
		if err := f.record(ctx, "consumer removed: "+name); err != nil {
			return err
		}
		if f.broker.embedded != nil {
			if err := feed.WriteConsumers(f.cfg.path(consumersFile), slices.Delete(slices.Clone(f.known), i, i+1)); err != nil {
				return err
			}
		}
	}
	removed, err := f.Remove(ctx, name)
	if err == nil && !removed && i < 0 {
		err = domain.Errorf(domain.CodeNotFound, "there is no consumer %s", name)
	}
	return err
}

// record makes the operator's deed an access record before it is done.
func (f *feeds) record(ctx context.Context, detail string) error {
	js, err := jetstream.New(f.broker.conn)
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	options := eventstore.AccessOptions{Replicas: f.cfg.NATSReplicas, Logger: f.cfg.Logger}
	stream, err := js.Stream(ctx, eventstore.AccessStream)
	switch {
	case err == nil:
		// How long records are kept is not this command's to change.
		options.MaxAge = stream.CachedInfo().Config.MaxAge
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, eventstore.AccessStream, err)
	}
	log, err := eventstore.OpenAccessLog(ctx, f.broker.conn, options)
	if err != nil {
		return err
	}
	if f.broker.embedded != nil {
		// After a crash the journal still has records, which come first.
		journal, err := accessjournal.Open(ctx, f.cfg.path(journalFile), log, accessjournal.Options{})
		if err != nil {
			return err
		}
		if err := journal.Close(); err != nil {
			return err
		}
	}
	recorder := eventstore.NewAccessRecorder(log, eventstore.AccessRecorderConfig{Now: time.Now, Logger: f.cfg.Logger})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- recorder.Run(running) }()
	err = recorder.Record(ctx, domain.Access{
		Actor: domain.Actor{Kind: domain.ActorSystem, ID: "operator"}, Action: domain.AccessConfigure,
		Detail: detail, Outcome: domain.OutcomeAllowed,
	})
	stop()
	return errors.Join(err, <-ended)
}

// newConsumer makes a consumer with a new key.
func newConsumer(name string, filters []string) (feed.Consumer, []byte, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return feed.Consumer{}, nil, err
	}
	defer key.Wipe()
	public, err := key.PublicKey()
	if err != nil {
		return feed.Consumer{}, nil, err
	}
	consumer := feed.Consumer{Name: name, User: public, Filters: filters}
	if err := consumer.Check(); err != nil {
		return feed.Consumer{}, nil, err
	}
	seed, err := key.Seed()
	return consumer, bytes.Clone(seed), err // Wipe clears the key's own
}

// writeSeed makes a new file, mode 0600, with the seed of a user alone on one
// line, durable on nil. It never replaces one: another consumer may live by
// it.
func writeSeed(path string, seed []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	line := append(bytes.Clone(seed), '\n')
	defer clear(line)
	_, err = file.Write(line)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("key file: %w", err), os.Remove(path))
	}
	return syncDirectory(filepath.Dir(path))
}
