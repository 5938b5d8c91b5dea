package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// testServer is a whole node in this process, on a port of its own.
type testServer struct {
	URL      string
	AdminKey string
	Data     string
	config   server.Config
	log      lockedBuffer
	stop     func() error
	// change, if set, changes the configuration of every start.
	change func(*server.Config)
}

// startServer starts a node on an empty data directory. When the test ends,
// the node is stopped and its projection compared with a fresh fold of the
// log.
func startServer(t *testing.T) *testServer {
	t.Helper()
	s := &testServer{Data: filepath.Join(t.TempDir(), "data")}
	s.start(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("the server did not end in order: %v", err)
		}
		s.fsck(t)
	})
	return s
}

func (s *testServer) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	listening := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	s.config = server.Config{
		Data: s.Data, Listen: "127.0.0.1:0", Listening: func(a net.Addr) { listening <- a },
		Logger: slog.New(slog.NewJSONHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if s.change != nil {
		s.change(&s.config)
	}
	go func() { ended <- server.Run(ctx, s.config) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	select {
	case addr := <-listening:
		s.URL = "http://" + addr.String()
	case err := <-ended:
		cancel()
		t.Fatalf("the server did not start: %v", err)
	}
	s.AdminKey = strings.TrimSpace(string(readFile(t, filepath.Join(s.Data, "admin.key"))))
	s.waitReady(t)
}

// Restart stops the node in order and starts it again over the same data.
func (s *testServer) Restart(t *testing.T) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatalf("the server did not end in order: %v", err)
	}
	s.start(t)
}

// LogText is everything the server has logged.
func (s *testServer) LogText() string { return s.log.String() }

func (s *testServer) fsck(t *testing.T) {
	t.Helper()
	if _, err := server.Fsck(context.WithoutCancel(t.Context()), s.config); err != nil {
		t.Errorf("fsck: %v", err)
	}
}

func (s *testServer) waitReady(t *testing.T) { waitReady(t, s.URL) }

// waitReady polls /readyz until it answers 200.
func waitReady(t *testing.T, url string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			err = errors.Join(errStatus(res.StatusCode), res.Body.Close())
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server did not become ready: %v", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func errStatus(status int) error {
	if status != http.StatusOK {
		return errors.New(http.StatusText(status))
	}
	return nil
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// lockedBuffer is a writer that can be read while it is written to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
