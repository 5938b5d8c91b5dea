package accesslog

import (
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// TestInspectTree: the tree of a closed file is that of its log, and a file
// that is not there is not asked.
func TestInspectTree(t *testing.T) {
	l := newLog()
	for range 300 {
		l.append(domain.Access{Action: domain.AccessStart, Outcome: domain.OutcomeAllowed})
	}
	s := caughtUp(t, l, nil)
	c := s.c
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	asked := 0
	reason, err := InspectTree(Config{Path: c.Path, BootID: c.BootID, RunRecords: c.RunRecords}, func(tree *proof.Tree, from uint64) error {
		asked++
		if tree.Size != 300 || from != 0 {
			t.Errorf("%d leaves from %d", tree.Size, from)
		}
		return sameRoot(tree, l)
	})
	if err != nil || reason != "" || asked != 1 {
		t.Errorf("asked %d times: %q, %v", asked, reason, err)
	}
	if reason, err := InspectTree(Config{Path: c.Path}, nil); reason == "" && c.RunRecords != defaultRunRecords || err != nil {
		t.Errorf("runs of another length: %q, %v", reason, err)
	}
	if reason, err := InspectTree(Config{Path: filepath.Join(t.TempDir(), "none")}, nil); reason != "" || err != nil {
		t.Errorf("no file: %q, %v", reason, err)
	}
}
