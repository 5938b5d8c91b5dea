package eventstore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestEmbedded: no network address, one process a directory, and a fault of
// the server is an error, not the end of the process.
func TestEmbedded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	e, nc := startEmbedded(t, dir)
	if e.server.Addr() != nil {
		t.Errorf("it listens on %v", e.server.Addr())
	}
	if nc.MaxPayload() != embeddedPayload {
		t.Errorf("max_payload %d", nc.MaxPayload())
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := StartEmbedded(t.Context(), dir, logger(t)); err == nil {
		t.Error("a second server on the same directory started")
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := StartEmbedded(t.Context(), broken, logger(t)); err == nil {
		t.Error("a server without its directory started")
	}
	stopEmbedded(t, e, nc)
	again, conn := startEmbedded(t, dir)
	stopEmbedded(t, again, conn)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartEmbedded(ended, t.TempDir(), logger(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}
