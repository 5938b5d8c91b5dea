package httpapi

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a [Server] is made of.
type Config struct {
	// Required.
	Writer Writer
	State  State
	Keys   Keys
	Health Health
	// Recorder keeps the access log: what it cannot keep is not answered.
	Recorder Recorder
	Access   AccessLog
	Proofs   Proofs
	Tiles    LogTiles
	Reports  Reports
	Logger   *slog.Logger
	// Registry takes this package's metrics and is what /metrics shows.
	Registry *prometheus.Registry
	// Now is the wall clock.
	Now func() time.Time
	// Rand gives random bytes for ids and API keys. It must be a
	// cryptographic source and safe for concurrent use.
	Rand io.Reader

	// Optional.

	// IPExtractor tells a request's client address; nil takes the peer's,
	// trusting no header.
	IPExtractor echo.IPExtractor
	// AgentRate bounds each agent's requests; the zero value does not.
	AgentRate Rate
	// FailureRate bounds the failed authentications of each address (/32 or
	// /64) that are recorded and answered with 401; the zero value does not.
	FailureRate Rate
	// Streams says how events are followed.
	Streams EventStreams
	// MaxWait bounds how long a request waits for a position; 0 means 5 s.
	MaxWait time.Duration
}

// Rate is a token bucket. Its zero value sets no bound.
type Rate struct {
	PerSecond float64
	// Burst is how many may come at once; at least 1 when PerSecond is set.
	Burst int
}

func (r Rate) valid() bool {
	return r == Rate{} || r.PerSecond > 0 && r.Burst >= 1
}

const defaultMaxWait = 5 * time.Second

func (c Config) check() error {
	switch {
	case c.Writer == nil, c.State == nil, c.Keys == nil, c.Health == nil, c.Logger == nil, c.Registry == nil, c.Now == nil, c.Rand == nil,
		c.Recorder == nil, c.Access == nil, c.Proofs == nil, c.Tiles == nil, c.Reports == nil:
		return errors.New("httpapi: a required member of Config is missing")
	case !c.AgentRate.valid(), !c.FailureRate.valid():
		return errors.New("httpapi: a rate needs both a positive PerSecond and a Burst")
	case c.MaxWait < 0:
		return errors.New("httpapi: MaxWait is negative")
	}
	return nil
}
