package accesslog

import (
	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
	"github.com/chancery-dev/chancery/proof"
)

// InspectTree is [Store.Tree] for the file of a store that is not open, and
// changes nothing. Of the configuration it needs Path, and BootID and
// RunRecords where they are not the default. from is how many leaves the tree
// was resumed with: it has no tile of these alone. It gives why [Open] would
// discard the file, "" if it would not; ask is called for a file alone that is
// there, holds a message and would not be discarded.
func InspectTree(c Config, ask func(tree *proof.Tree, from uint64) error) (reason string, err error) {
	if c.BootID == "" {
		c.BootID = cachefile.ThisBoot()
	}
	if c.RunRecords == 0 {
		c.RunRecords = defaultRunRecords
	}
	return c.format().Look(c.Path, c.BootID, func(tx *bbolt.Tx) error {
		m, err := readMark(tx)
		if err != nil {
			return cachefile.ErrDamaged
		}
		if m.tree == 0 {
			return nil
		}
		return ask(&proof.Tree{Tiles: tilesOf(tx), Size: m.tree}, m.edge)
	})
}
