package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// Server answers the API. Make one with [New].
type Server struct {
	config   Config
	echo     *echo.Echo
	metrics  metrics
	agents   *limiter // by agent id
	failures *limiter // by address
	streams  *openStreams
	buffers  sync.Pool // of *buffer
}

// New makes a server. It registers its metrics with the registry, so two
// servers cannot share one.
func New(config Config) (*Server, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.MaxWait == 0 {
		config.MaxWait = defaultMaxWait
	}
	if config.IPExtractor == nil {
		config.IPExtractor = echo.ExtractIPDirect()
	}
	m, err := newMetrics(config.Registry)
	if err != nil {
		return nil, err
	}
	streams, err := newOpenStreams(config.Streams, config.Registry)
	if err != nil {
		return nil, err
	}
	s := &Server{
		streams: streams, config: config, echo: echo.New(), metrics: m,
		agents: newLimiter(config.AgentRate, config.Now), failures: newLimiter(config.FailureRate, config.Now),
	}
	s.echo.IPExtractor = config.IPExtractor
	s.echo.Use(s.outermost)
	for _, r := range routes() {
		path := echoPath(r.path)
		s.echo.Add(r.method, path, s.serve(r))
		if r.open { // load balancers probe with HEAD
			s.echo.Add(http.MethodHead, path, s.serve(r))
		}
	}
	return s, nil
}

// Handler is the whole API.
func (s *Server) Handler() http.Handler { return s.echo }

// NewHTTPServer gives an http.Server for the API with bounded times and
// header size. Listening, TLS and shutting down are the caller's.
func (s *Server) NewHTTPServer() *http.Server {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(s.streams.end) // they would last as long as the grace
	return server
}

// echoPath turns the braces of an OpenAPI path into echo's colons.
func echoPath(path string) string {
	return strings.ReplaceAll(strings.ReplaceAll(path, "{", ":"), "}", "")
}
