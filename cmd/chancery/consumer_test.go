package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// startedOnce gives a data directory whose server has run and ended.
func startedOnce(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Config{
			Data: data, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Listening: func(net.Addr) { close(listening) },
		})
	}()
	select {
	case <-listening:
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	case err := <-ended:
		t.Fatalf("the server did not start: %v", err)
	}
	return data
}

// TestFeedRetentionIsBounded: a retention that leaves no time to read is a
// mistake.
func TestFeedRetentionIsBounded(t *testing.T) {
	status, _, stderr := try(t.Context(), "", "", "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--feed-retention", "1h")
	if status != exitUsage || !strings.Contains(stderr, "--feed-retention must be at least 24h") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestConsumerCommands: add prints where the key is and never the key, list
// shows what was added, and remove takes it away.
func TestConsumerCommands(t *testing.T) {
	data := startedOnce(t)
	key := filepath.Join(t.TempDir(), "billing.nk")
	command := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		status, stdout, stderr := try(t.Context(), "", "", append([]string{"consumer"}, append(args, "--data", data, "--log-level", "error")...)...)
		if status != want {
			t.Fatalf("%q ended with %d: %s%s", args, status, stdout, stderr)
		}
		return stdout, stderr
	}
	added, notes := command(exitOK, "add", "billing", "--out", key)
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if seed := strings.TrimSpace(string(text)); !strings.HasPrefix(seed, "SU") || strings.Contains(added+notes, seed) {
		t.Errorf("the key file or what was printed is wrong: %s", added+notes)
	}
	if !strings.Contains(added, key) || !strings.Contains(added, "_INBOX_billing") {
		t.Errorf("added: %s", added)
	}
	if out, _ := command(exitOK, "list"); !strings.Contains(out, "billing") {
		t.Errorf("list: %s", out)
	}
	for _, c := range []struct {
		want int
		args []string
	}{
		{exitConflict, []string{"add", "billing", "--out", key + "2"}},
		{exitRefused, []string{"add", "a.b", "--out", key + "2"}},
		{exitRefused, []string{"add", "other", "--out", key + "2", "--filter", "chancery.keys.>"}},
		{exitFailed, []string{"add", "other", "--out", key}},
		{exitNotFound, []string{"remove", "other"}},
		{exitOK, []string{"remove", "billing"}},
		{exitNotFound, []string{"remove", "billing"}},
	} {
		command(c.want, c.args...)
	}
	if out, _ := command(exitOK, "list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("list: %s", out)
	}
}
