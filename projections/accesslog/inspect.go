package accesslog

import (
	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// Inspect returns the position of the newest message in an index's file that
// no store has open, 0 where there is no file or the position can't be read.
// reason says in a few words why [Open] would discard the file, "" if it would
// not; a file that was in use when the machine stopped still has its position.
// Inspect changes nothing and fails when another process is writing the file.
func Inspect(path string) (position uint64, reason string, err error) {
	c := Config{Path: path, RunRecords: defaultRunRecords}
	reason, err = c.format().LookAnyway(path, cachefile.ThisBoot(), func(tx *bbolt.Tx, _ string) error {
		if tx.Bucket([]byte(cachefile.Meta)) == nil {
			return nil
		}
		m, err := readMark(tx)
		if err != nil {
			return cachefile.ErrDamaged
		}
		position = m.position
		return nil
	})
	return position, reason, err
}
