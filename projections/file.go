package projections

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long another process may hold the file before opening
// fails.
const lockTimeout = time.Second

// errDamaged says that the file is no file of this package.
var errDamaged = errors.New("projections: the file is damaged")

// options never sync: see [openFile] and [closeFile] for what is synced.
func options(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout: lockTimeout, ReadOnly: readOnly, NoSync: true, NoGrowSync: true,
		FreelistType: bbolt.FreelistMapType, NoStatistics: true,
	}
}

// thisBoot gives the kernel's name of this run of the machine, "" where it has
// none.
func thisBoot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// guarded turns a panic or a memory fault into errDamaged: bbolt answers a
// file with broken pages, which it maps, in these ways.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = errDamaged
		}
	}()
	return do()
}

// damage translates what bbolt says about a file that is none of its own.
func damage(err error) error {
	for _, known := range []error{
		bbolterrors.ErrInvalid, bbolterrors.ErrChecksum, bbolterrors.ErrVersionMismatch,
		bbolterrors.ErrInvalidMapping, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("projections: another process has the file: %w", err)
	}
	return err
}

// reasonDamaged is why a file is not used that is none of this package's, or
// was written over.
const reasonDamaged = "damaged"

// distrusted says why the file of a transaction can't be used on this boot,
// "" if it can.
func distrusted(tx *bbolt.Tx, boot string) string {
	for t := range tableCount {
		if tx.Bucket([]byte(t.String())) == nil {
			return "incomplete"
		}
	}
	ts := tables{tx: tx}
	if string(ts.at(tableMeta).Get([]byte(keySchema))) != string(encodeSchema()) {
		return "written by another version"
	}
	host := ts.at(tableHost)
	if host.Get([]byte(keyClean)) != nil {
		return ""
	}
	if last := string(host.Get([]byte(keyBoot))); boot == "" || last != boot {
		return "the machine stopped while it was in use"
	}
	return ""
}

// openFile opens or makes the file for writing and takes the clean mark from
// it. That is synced before anything else is written: a file that power loss
// left half written must not carry an old mark. A crash before the sync leaves
// the file as it was.
func openFile(path, boot string) (db *bbolt.DB, err error) {
	err = guarded(func() error {
		if db, err = bbolt.Open(path, 0o600, options(false)); err != nil {
			return damage(err)
		}
		return synced(db, func(tx *bbolt.Tx) error {
			for t := range tableCount {
				if _, err := tx.CreateBucketIfNotExists([]byte(t.String())); err != nil {
					return err
				}
			}
			ts := tables{tx: tx}
			if err := ts.at(tableMeta).Put([]byte(keySchema), encodeSchema()); err != nil {
				return err
			}
			if err := ts.at(tableHost).Put([]byte(keyBoot), []byte(boot)); err != nil {
				return err
			}
			return ts.at(tableHost).Delete([]byte(keyClean))
		})
	})
	if err != nil && db != nil && !errors.Is(err, errDamaged) {
		err = errors.Join(err, db.Close())
	}
	return db, err
}

// closeFile sets the clean mark when everything before it is on disk, and
// closes the file in any case.
func closeFile(db *bbolt.DB) error {
	err := db.Sync()
	if err == nil {
		err = synced(db, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(tableHost.String())).Put([]byte(keyClean), present())
		})
	}
	return errors.Join(err, db.Close())
}

// synced runs one transaction durably. Nobody else may be writing.
func synced(db *bbolt.DB, do func(*bbolt.Tx) error) error {
	db.NoSync = false
	defer func() { db.NoSync = true }()
	return db.Update(do)
}

// remove deletes the file; one that is not there is fine.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
