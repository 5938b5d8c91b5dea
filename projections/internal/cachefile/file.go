package cachefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long another process may hold the file before opening
// fails.
const lockTimeout = time.Second

// The tables that every file has, and their keys.
const (
	Host = "host" // how the file was left; the only one that is no fold
	Meta = "meta" // what it is

	KeyBoot   = "boot"   // in Host: the boot id of the last opening
	KeyClean  = "clean"  // in Host: there after a clean shutdown
	KeyFill   = "fill"   // in Host: there while the file is filled, and no fold of anything
	KeySchema = "schema" // in Meta
)

// ErrDamaged says that the file is none that could be used.
var ErrDamaged = errors.New("projections: the file is damaged")

// ReasonDamaged is why a file is not used that is no projection's, or was
// written over.
const ReasonDamaged = "damaged"

// Format says what a file must hold.
type Format struct {
	// Schema is the version of everything in it.
	Schema uint64
	// Tables names its buckets beside Host and Meta.
	Tables []string
}

func (f Format) all() []string { return append([]string{Host, Meta}, f.Tables...) }

func (f Format) schema() []byte { return binary.AppendUvarint(nil, f.Schema) }

// mapped is how much address space a file is given at once, where there is
// plenty. To map it anew waits for every reader and copies what the writer
// holds.
const mapped = 64 << 30

// Options never sync: see [Format.Open] and [Close] for what is synced.
func Options(readOnly bool) *bbolt.Options {
	o := &bbolt.Options{
		Timeout: lockTimeout, ReadOnly: readOnly, NoSync: true, NoGrowSync: true,
		FreelistType: bbolt.FreelistMapType, NoStatistics: true,
	}
	if strconv.IntSize == 64 && !readOnly {
		o.InitialMmapSize = mapped
	}
	return o
}

// ThisBoot gives the kernel's name of this run of the machine, "" where it has
// none.
func ThisBoot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// Guarded turns a panic or a memory fault into [ErrDamaged]: bbolt answers a
// file with broken pages, which it maps, in these ways.
func Guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = ErrDamaged
		}
	}()
	return do()
}

// Damage translates what bbolt says about a file that is none of its own.
func Damage(err error) error {
	for _, known := range []error{
		bbolterrors.ErrInvalid, bbolterrors.ErrChecksum, bbolterrors.ErrVersionMismatch,
		bbolterrors.ErrInvalidMapping, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("projections: another process has the file: %w", err)
	}
	return err
}

// Distrusted says why the file of a transaction can't be used on this boot,
// "" if it can.
func (f Format) Distrusted(tx *bbolt.Tx, boot string) string {
	for _, name := range f.all() {
		if tx.Bucket([]byte(name)) == nil {
			return "incomplete"
		}
	}
	if string(tx.Bucket([]byte(Meta)).Get([]byte(KeySchema))) != string(f.schema()) {
		return "written by another version"
	}
	host := tx.Bucket([]byte(Host))
	if host.Get([]byte(KeyFill)) != nil {
		return "its filling was not finished"
	}
	if host.Get([]byte(KeyClean)) != nil {
		return ""
	}
	if last := string(host.Get([]byte(KeyBoot))); boot == "" || last != boot {
		return "the machine stopped while it was in use"
	}
	return ""
}

// Look opens a file that may be there for reading only, so that one with
// broken pages does not come near the code that writes, and shows it. It gives
// why the file can't be used on this boot, "" if it can or if there is none.
// It fails when another process is writing the file.
func (f Format) Look(path, boot string, show func(*bbolt.Tx) error) (reason string, err error) {
	return f.LookAnyway(path, boot, func(tx *bbolt.Tx, reason string) error {
		if reason != "" {
			return nil
		}
		return show(tx)
	})
}

// LookAnyway is [Format.Look] that also shows a file that can't be used, with
// the reason.
func (f Format) LookAnyway(path, boot string, show func(tx *bbolt.Tx, reason string) error) (reason string, err error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case info.Size() == 0:
		return "", nil
	}
	err = Guarded(func() error {
		db, err := bbolt.Open(path, 0o600, Options(true))
		if err != nil {
			return Damage(err)
		}
		defer db.Close() //nolint:errcheck // only read.
		return db.View(func(tx *bbolt.Tx) error {
			reason = f.Distrusted(tx, boot)
			return show(tx, reason)
		})
	})
	if errors.Is(err, ErrDamaged) {
		return ReasonDamaged, nil
	}
	return reason, err
}

// Open opens or makes the file for writing and takes the clean mark from it.
// That is synced before anything else is written: a file that power loss left
// half written must not carry an old mark. A crash before the sync leaves the
// file as it was.
func (f Format) Open(path, boot string) (db *bbolt.DB, err error) {
	err = Guarded(func() error {
		if db, err = bbolt.Open(path, 0o600, Options(false)); err != nil {
			return Damage(err)
		}
		return synced(db, func(tx *bbolt.Tx) error {
			for _, name := range f.all() {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			if err := tx.Bucket([]byte(Meta)).Put([]byte(KeySchema), f.schema()); err != nil {
				return err
			}
			host := tx.Bucket([]byte(Host))
			if err := host.Put([]byte(KeyBoot), []byte(boot)); err != nil {
				return err
			}
			return host.Delete([]byte(KeyClean))
		})
	})
	if err != nil && db != nil && !errors.Is(err, ErrDamaged) {
		err = errors.Join(err, db.Close())
	}
	return db, err
}

// Fill marks the file as one that is being filled in no order: [Format.Look]
// distrusts it, however it is left, until Filled has ended that.
func Fill(db *bbolt.DB) error {
	return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(Host)).Put([]byte(KeyFill), []byte{}) })
}

// Filled takes the mark away, in one transaction with the last that is missing.
func Filled(db *bbolt.DB, last func(*bbolt.Tx) error) error {
	return db.Update(func(tx *bbolt.Tx) error {
		if err := last(tx); err != nil {
			return err
		}
		return tx.Bucket([]byte(Host)).Delete([]byte(KeyFill))
	})
}

// Close sets the clean mark when everything before it is on disk, and closes
// the file in any case.
func Close(db *bbolt.DB) error {
	err := db.Sync()
	if err == nil {
		err = synced(db, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(Host)).Put([]byte(KeyClean), []byte{})
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

// Remove deletes the file; one that is not there is fine.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
