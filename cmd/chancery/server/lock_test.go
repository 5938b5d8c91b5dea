//go:build unix && !solaris && !aix

package server

import (
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestOneProcessADirectory: whoever comes second is refused before it has read
// or written anything, also with an external log, which has no lock of its
// own. The lock ends with the one who has it.
func TestOneProcessADirectory(t *testing.T) {
	cfg := testConfig(t)
	mustDo(t, os.MkdirAll(cfg.Data, 0o700))
	unlock, err := lockDirectory(cfg.Data)
	mustDo(t, err)
	embedded, external := cfg, cfg
	external.NATSURL = "nats://127.0.0.1:1" // nobody answers: it must not come to that
	for name, cfg := range map[string]Config{"embedded": embedded, "external": external} {
		_, err := openStore(t.Context(), cfg)
		if err == nil || !strings.Contains(err.Error(), "another process uses") || !strings.Contains(err.Error(), cfg.Data) {
			t.Errorf("%s: %v; want a refusal that names the directory", name, err)
		}
		if there := entries(t, cfg.Data); len(there) != 1 || there[0] != lockFile {
			t.Errorf("%s: the refused start left %v", name, there)
		}
	}
	mustDo(t, unlock())
	openAndLook(t, embedded, func(*store) {
		if _, err := Fsck(t.Context(), embedded); err == nil || !strings.Contains(err.Error(), "another process uses") {
			t.Errorf("fsck beside an open store: %v", err)
		}
	})
	openAndLook(t, embedded, func(*store) {})
	info, err := os.Stat(cfg.path(lockFile))
	if err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the lock file: %v, %v", info, err)
	}
}
