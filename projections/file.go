package projections

import (
	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/projections/internal/cachefile"
)

// errDamaged says that the file is no file of this package.
var errDamaged = cachefile.ErrDamaged

// reasonDamaged is why a file is not used that is none of this package's, or
// was written over.
const reasonDamaged = cachefile.ReasonDamaged

// format says what the file must hold.
func format() cachefile.Format {
	f := cachefile.Format{Schema: schema}
	for t := range tableCount {
		if t != tableHost && t != tableMeta {
			f.Tables = append(f.Tables, t.String())
		}
	}
	return f
}

func options(readOnly bool) *bbolt.Options { return cachefile.Options(readOnly) }

func thisBoot() string { return cachefile.ThisBoot() }

func guarded(do func() error) error { return cachefile.Guarded(do) }

func damage(err error) error { return cachefile.Damage(err) }

func soundPages(path string) error { return cachefile.SoundPages(path) }

// distrusted says why the file of a transaction can't be used on this boot,
// "" if it can.
func distrusted(tx *bbolt.Tx, boot string) string { return format().Distrusted(tx, boot) }

// openFile opens or makes the file and takes the clean mark from it.
func openFile(path, boot string) (*bbolt.DB, error) { return format().Open(path, boot) }

// closeFile makes the file durable, marks it and closes it.
func closeFile(db *bbolt.DB) error { return cachefile.Close(db) }

func remove(path string) error { return cachefile.Remove(path) }
