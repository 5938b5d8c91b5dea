package projections

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chancery-dev/chancery/proof"
)

// TestInspectTree: the tree of a closed file is that of its log; a file that
// would be discarded, and none, are not asked.
func TestInspectTree(t *testing.T) {
	w := full(t)
	o := closedFile(t, w, nil)
	want := w.log.head()
	asked := 0
	reason, err := InspectTree(o.Path, o.BootID, func(tree *proof.Tree) error {
		asked++
		root, err := tree.Root(tree.Size)
		if tree.Size != want || root != rootOf(w.log.events) {
			t.Errorf("a tree of %d leaves with root %s", tree.Size, root)
		}
		return err
	})
	if err != nil || reason != "" || asked != 1 {
		t.Errorf("asked %d times: %q, %v", asked, reason, err)
	}
	never := func(*proof.Tree) error {
		t.Error("asked")
		return nil
	}
	if reason, err := InspectTree(filepath.Join(t.TempDir(), "none"), o.BootID, never); reason != "" || err != nil {
		t.Errorf("no file: %q, %v", reason, err)
	}
	file, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Path, append(make([]byte, 16<<10), file[16<<10:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if reason, err := InspectTree(o.Path, o.BootID, never); reason == "" || err != nil {
		t.Errorf("a damaged file: %q, %v", reason, err)
	}
}
