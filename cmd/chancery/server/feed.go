package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/feed"
	"github.com/chancery-dev/chancery/proof"
)

// openFeed returns the feed on a connection to the broker's server.
func (b *broker) openFeed(nc *nats.Conn, cfg Config) (*feed.Feed, error) {
	o := feed.Options{Replicas: cfg.NATSReplicas, Retention: cfg.FeedRetention}
	if b.embedded != nil {
		o.Epoch = b.embedded.Epoch()
	}
	return feed.Open(nc, o)
}

// openFollower makes what keeps the feed, on a connection of its own: appends
// of events do not queue behind those of the feed.
func (s *store) openFollower(ctx context.Context) (err error) {
	if s.feedConn, err = s.dial(ctx, s.cfg); err != nil {
		return err
	}
	f, err := s.openFeed(s.feedConn, s.cfg)
	if err != nil {
		return err
	}
	c := feed.Config{Feed: f, Log: s.log, Path: s.cfg.path(placesFile), Embedded: s.embedded != nil, Now: s.now, Logger: s.cfg.Logger}
	if c.Embedded {
		if c.Consumers, err = feed.ReadConsumers(s.cfg.path(consumersFile)); err != nil {
			return err
		}
	}
	s.follower = feed.NewFollower(c)
	return nil
}

// feedLag is how many events of the log the feed does not have; 0 without a
// feed.
func (s *store) feedLag() float64 {
	position, ok := s.follower.Position()
	if !ok {
		return 0
	}
	status, _ := s.state.Status()
	return float64(max(status.Head, position) - position)
}

// startEmbedded starts the log in this process, with a listener for consumers
// where one is wanted.
func startEmbedded(ctx context.Context, cfg Config) (*eventstore.Embedded, error) {
	known, _ := knownPositions(ctx, cfg)
	o := eventstore.EmbeddedOptions{Known: known, Sync: cfg.sync, Logger: cfg.Logger}
	if cfg.NATSListen != "" {
		consumers, err := feed.ReadConsumers(cfg.path(consumersFile))
		if err != nil {
			return nil, err
		}
		config, err := loadTLS(cfg.NATSTLSCert, cfg.NATSTLSKey)
		if err != nil {
			return nil, err
		}
		l, err := feed.Listener(cfg.NATSListen, config, consumers)
		if err != nil {
			return nil, err
		}
		o.Listener = &l
	}
	return eventstore.StartEmbeddedWith(ctx, cfg.path(logDirectory), o)
}

// announceFeed says where consumers of the embedded log may connect.
func (b *broker) announceFeed(ctx context.Context, cfg Config) {
	if b.embedded == nil || b.embedded.Addr() == nil {
		return
	}
	addr := b.embedded.Addr()
	cfg.Logger.InfoContext(ctx, "consumers may connect", slog.String("address", addr.String()))
	if cfg.NATSTLSCert == "" && !loopback(addr) {
		cfg.Logger.WarnContext(ctx, "consumers connect from beyond this machine without TLS: events travel in the clear", slog.String("address", addr.String()))
	}
	if cfg.NATSListening != nil {
		cfg.NATSListening(addr)
	}
}

// checkFeed compares the feed with the log. Nil: there is no feed.
func (b *broker) checkFeed(ctx context.Context, cfg Config) (*feed.Report, error) {
	f, err := b.openFeed(b.conn, cfg)
	if err != nil {
		return nil, err
	}
	report, err := f.Check(ctx, b.log)
	if difference, ok := errors.AsType[*feed.Difference](err); ok {
		err = proof.NewFault("feed", difference.Position, difference)
	}
	return report, err
}
