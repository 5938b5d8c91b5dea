package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// blockProfileRate is how long a goroutine is blocked, in nanoseconds, for one
	// sample on average: the profile of blocking costs next to nothing so.
	blockProfileRate = 100_000
	// mutexProfileFraction is of how many contended locks one is sampled.
	mutexProfileFraction = 100
)

// serveProfiles opens the listener for profiles, if one was asked for, until
// stop is called. A profile of the heap can hold keys and values, so it is
// never reachable from another machine, and never on the API's address.
func (s *store) serveProfiles(ctx context.Context) (stop func() error, err error) {
	if s.cfg.Profiles == "" {
		return func() error { return nil }, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.cfg.Profiles)
	if err != nil {
		return nil, err
	}
	if !loopback(listener.Addr()) {
		return nil, errors.Join(domain.Errorf(domain.CodeInvalidRequest, "profiles are served on this machine's loopback alone"), listener.Close())
	}
	runtime.SetBlockProfileRate(blockProfileRate)
	runtime.SetMutexProfileFraction(mutexProfileFraction)
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	if s.cfg.ProfilesListening != nil {
		s.cfg.ProfilesListening(listener.Addr())
	}
	return func() error {
		runtime.SetBlockProfileRate(0)
		runtime.SetMutexProfileFraction(0)
		err := server.Close()
		if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	}, nil
}
