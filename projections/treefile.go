package projections

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/proof"
)

// InspectTree is [Store.Tree] for the file of a store that is not open, and
// changes nothing. bootID is that of [Options]. It gives why [Open] would
// discard the file, "" if it would not; ask is called for a file alone that is
// there, holds an event and would not be discarded.
func InspectTree(path, bootID string, ask func(*proof.Tree) error) (reason string, err error) {
	found, err := Inspect(path, bootID)
	if err != nil || found.Empty || found.Reason != "" {
		return found.Reason, err
	}
	err = guarded(func() error {
		db, err := bbolt.Open(path, 0o600, options(true))
		if err != nil {
			return damage(err)
		}
		defer db.Close() //nolint:errcheck // only read.
		return db.View(func(tx *bbolt.Tx) error {
			return ask((&tables{tx: tx}).tree(found.Position))
		})
	})
	if errors.Is(err, errDamaged) {
		return reasonDamaged, nil
	}
	return "", err
}
