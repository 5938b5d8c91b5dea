package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

// lostPower returns a copy of a data directory as of the moment the machine
// of its server goes down, with the names of the events' block and of a second,
// younger block.
func lostPower(t *testing.T) (data, block, younger string) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "data")
	data = filepath.Join(t.TempDir(), "data")
	ctx, stop := context.WithCancel(context.Background())
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- server.Run(ctx, server.Config{
			Data: running, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler), Listening: func(a net.Addr) { listening <- a },
		})
	}()
	select {
	case <-listening:
	case err := <-ended:
		stop()
		t.Fatal(err)
	}
	// Caches that are copied while they are written say nothing.
	jetstream, err := os.MkdirTemp(filepath.Dir(data), "")
	if err != nil {
		t.Fatal(err)
	}
	err = os.CopyFS(filepath.Join(jetstream, "jetstream"), os.DirFS(filepath.Join(running, "jetstream")))
	stop()
	if failed := <-ended; err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if err := os.Rename(jetstream, data); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(data, "root.key")
	write(t, key, read(t, filepath.Join(running, "root.key")))
	mark := filepath.Join(data, "jetstream", "running")
	_, positions, _ := bytes.Cut(read(t, mark), []byte("\n"))
	write(t, mark, append([]byte("another boot\n"), positions...))
	blocks := filepath.Join(data, "jetstream", "jetstream", "$G", "streams", "CHANCERY_EVENTS", "msgs")
	return data, filepath.Join(blocks, "1.blk"), filepath.Join(blocks, "2.blk")
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRepair: what is torn is shown and cut off with status 0, damage is shown
// and refused with status 1, and --json prints the report in every case.
func TestRepair(t *testing.T) {
	data, block, younger := lostPower(t)
	repair := func(want int, args ...string) (stdout, stderr string) {
		t.Helper()
		status, stdout, stderr := try(t.Context(), noAddr, "", append([]string{"repair", "--data", data}, args...)...)
		if status != want {
			t.Fatalf("%v: status %d, %q, %q", args, status, stdout, stderr)
		}
		return stdout, stderr
	}
	if stdout, stderr := repair(exitOK); !strings.Contains(stdout, "nothing is torn") || strings.Contains(stderr, "chancery:") {
		t.Errorf("sound: %q, %q", stdout, stderr)
	}

	sound := read(t, block)
	write(t, block, append(bytes.Clone(sound), sound[:50]...))
	write(t, younger, make([]byte, 4096))
	status, _, stderr := try(t.Context(), noAddr, "", "serve", "--data", data, "--listen", "127.0.0.1:0")
	if status != exitFailed || !strings.Contains(stderr, "events log: position 5") || !strings.Contains(stderr, "chancery repair --data "+data) {
		t.Errorf("serve: %d, %q", status, stderr)
	}
	stdout, _ := repair(exitOK, "--dry-run")
	for _, want := range []string{"events log: position 5", "4146 bytes", "nobody was told", "KNOWN BY", "nothing was changed"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("--dry-run does not say %q:\n%s", want, stdout)
		}
	}
	if _, err := os.Stat(younger); err != nil || len(read(t, block)) != len(sound)+50 {
		t.Error("--dry-run changed the blocks")
	}
	stdout, _ = repair(exitOK, "--json")
	var report server.RepairReport
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || len(report.Findings) != 1 || !report.Findings[0].Cut || len(report.Witnesses) == 0 {
		t.Fatalf("%q, %v", stdout, err)
	}
	if kept := read(t, filepath.Join(report.Kept, "CHANCERY_EVENTS", "2-0")); len(kept) != 4096 {
		t.Errorf("%d bytes are kept of the younger block", len(kept))
	}
	if !bytes.Equal(read(t, block), sound) {
		t.Error("more or less than the torn end was cut off")
	}

	sound[len(sound)/2] ^= 1
	write(t, block, sound)
	if err := os.Remove(filepath.Join(data, "jetstream", "running")); err != nil { // an orderly end
		t.Fatal(err)
	}
	stdout, stderr = repair(exitFailed)
	if !strings.Contains(stdout, "this is damage") || !strings.Contains(stderr, "nothing was cut off") || !strings.Contains(stderr, "backup") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("damage: %q, %q", stdout, stderr)
	}
	stdout, _ = repair(exitFailed, "--json")
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || len(report.Findings) != 1 || report.Findings[0].Torn {
		t.Errorf("damage: %q, %v", stdout, err)
	}
	if !bytes.Equal(read(t, block), sound) {
		t.Error("damage was cut off")
	}
}

// TestRepairRefused: repair is for a directory with an embedded log.
func TestRepairRefused(t *testing.T) {
	if status, stdout, _ := try(t.Context(), noAddr, "", "repair", "--data", filepath.Join(t.TempDir(), "none")); status != exitFailed || stdout != "" {
		t.Errorf("no directory: %d, %q", status, stdout)
	}
	if status, stdout, _ := try(t.Context(), noAddr, "", "repair", "--data", t.TempDir(), "--nats-url", "nats://127.0.0.1:1"); status != exitRefused || stdout != "" {
		t.Errorf("an external server: %d, %q", status, stdout)
	}
}
