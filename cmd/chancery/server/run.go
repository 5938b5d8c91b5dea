package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
)

const defaultShutdownGrace = 20 * time.Second

// Run is the program: it opens the data directory, serves the API and follows
// the log until ctx ends, then lets requests in flight finish and closes
// everything in order. It returns nil after an orderly end.
//
// A kill at any moment loses no acknowledged write: an answer leaves only
// after the log has synced the event to disk, and everything else is derived.
func Run(ctx context.Context, cfg Config) error {
	s, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(s.serve(ctx), s.close())
}

func (s *store) serve(ctx context.Context) (err error) {
	proxies, err := ipExtractor(s.cfg.TrustedProxies)
	if err != nil {
		return err
	}
	feed := httpapi.NewFeed(s.log)
	api, err := httpapi.New(httpapi.Config{ //nolint:contextcheck // requests bring their own.
		Writer: s.executor, State: s.state, Keys: keys{s.keyring}, Health: newHealth(s),
		Recorder: s.recorder, Access: s.audit, Proofs: logTiles{s}, Tiles: logTiles{s}, Reports: s.served(),
		Logger: s.cfg.Logger, Registry: s.registry, Now: s.now, Rand: s.rand,
		Streams: httpapi.EventStreams{Feed: feed}, IPExtractor: proxies, AgentRate: rate(s.cfg.RatePerSecond), FailureRate: rate(s.cfg.FailuresPerSecond),
	})
	if err != nil {
		return err
	}
	listener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	s.announceFeed(ctx, s.cfg)
	stopProfiles, err := s.serveProfiles(ctx)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, stopProfiles()) }()
	b := s.startBackground(context.WithoutCancel(ctx), feed)
	if err := s.record(context.WithoutCancel(ctx), domain.AccessStart, s.cfg.Version); err != nil {
		return errors.Join(err, listener.Close(), b.stop(ctx))
	}
	if err := b.startWebhooks(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, listener.Close(), b.stop(ctx))
	}
	err = serveHTTP(ctx, api.NewHTTPServer(), listener, s.cfg.grace())
	return errors.Join(err, b.stop(ctx))
}

func (s *store) listen(ctx context.Context) (net.Listener, error) {
	config, err := s.cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if config != nil {
		listener, scheme = tls.NewListener(listener, config), "https"
	} else if !loopback(listener.Addr()) {
		s.cfg.Logger.WarnContext(ctx, "listening beyond this machine without TLS: API keys and values travel in the clear",
			slog.String("address", listener.Addr().String()))
	}
	s.cfg.Logger.InfoContext(ctx, "serving", slog.String("url", scheme+"://"+listener.Addr().String()), slog.String("data", s.cfg.Data))
	if s.cfg.Listening != nil {
		s.cfg.Listening(listener.Addr())
	}
	return listener, nil
}

// serveHTTP serves until ctx ends, then takes no new request and waits for
// those in flight, at most for the grace.
func serveHTTP(ctx context.Context, server *http.Server, listener net.Listener, grace time.Duration) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(errors.New("some requests did not finish in time and were cut off"), server.Close())
	}
	if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}
