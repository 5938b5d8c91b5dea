package eventstore

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEpoch: an unclean stop of the machine begins a new epoch, and nothing else
// does: no stop in order, no crash of the process.
func TestEpoch(t *testing.T) {
	dir := t.TempDir()
	epoch := func() string {
		t.Helper()
		e, nc := startEmbedded(t, dir)
		defer stopEmbedded(t, e, nc)
		return e.Epoch()
	}
	first := epoch()
	if first == "" || epoch() != first {
		t.Errorf("a stop in order began a new epoch after %q", first)
	}
	running := filepath.Join(dir, "running")
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil { // where the machine says it
		noError(t, os.WriteFile(running, boot, 0o600))
		if epoch() != first {
			t.Error("a crash of the process began a new epoch")
		}
	}
	last := first
	for range 2 {
		if err := os.WriteFile(running, []byte("another boot"), 0o600); err != nil {
			t.Fatal(err)
		}
		if now := epoch(); now == last {
			t.Error("an unclean stop began no new epoch")
		} else if last = now; epoch() != now {
			t.Error("the new epoch did not last")
		}
	}
}
