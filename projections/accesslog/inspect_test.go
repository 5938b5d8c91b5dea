package accesslog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// TestInspect: a closed file tells its position, one that was in use when the
// machine stopped does too, and one that is damaged or not there tells none.
func TestInspect(t *testing.T) {
	l := newLog()
	for range 5 {
		l.append(domain.Access{Action: domain.AccessStart, Outcome: domain.OutcomeAllowed})
	}
	s := caughtUp(t, l, func(c *Config) { c.RunRecords, c.BootID = defaultRunRecords, cachefile.ThisBoot() })
	inUse, err := os.ReadFile(s.c.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closed, err := os.ReadFile(s.c.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		content  []byte
		position uint64
		sound    bool
	}{
		"closed":  {closed, 5, true},
		"in use":  {otherBoot(inUse, s.c.BootID), 5, false},
		"damaged": {bytes.Repeat([]byte{0xa5}, len(closed)), 0, false},
		"empty":   {nil, 0, true},
	} {
		path := filepath.Join(t.TempDir(), "access.db")
		if err := os.WriteFile(path, tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		position, reason, err := Inspect(path)
		if err != nil || position != tc.position || tc.sound != (reason == "") {
			t.Errorf("%s: position %d, %q, %v", name, position, reason, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, tc.content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if position, reason, err := Inspect(filepath.Join(t.TempDir(), "none")); position != 0 || reason != "" || err != nil {
		t.Errorf("no file: %d, %q, %v", position, reason, err)
	}
}

// otherBoot makes a file look as if it was in use on another run of the
// machine.
func otherBoot(content []byte, boot string) []byte {
	if boot == "" { // the kernel names no boots: every file in use is distrusted
		return content
	}
	return bytes.ReplaceAll(content, []byte(boot), bytes.Repeat([]byte("0"), len(boot)))
}
