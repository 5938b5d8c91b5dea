package projections

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Inspection is what a store's file says about itself.
type Inspection struct {
	// Position is that of the last event in the file; 0 also where it can't
	// be read.
	Position uint64
	// Empty says that the file is known to hold no event: there is none, it
	// has no byte, or its checkpoint says so.
	Empty bool
	// Reason says in a few words why [Open] would discard the file, "" if it
	// would not.
	Reason string
}

// Inspect looks at the file of a store that is not open, and changes nothing.
// bootID is that of [Options]. No file is no error. It fails when another
// process is writing the file.
func Inspect(path, bootID string) (found Inspection, err error) {
	if bootID == "" {
		bootID = thisBoot()
	}
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return Inspection{Empty: true}, nil
	case err != nil:
		return Inspection{}, err
	case info.Size() == 0:
		return Inspection{Empty: true}, nil
	}
	// Opened for reading only, so that a file with broken pages does not come
	// near the code that writes.
	err = guarded(func() error {
		db, err := bbolt.Open(path, 0o600, options(true))
		if err != nil {
			return damage(err)
		}
		defer db.Close() //nolint:errcheck // only read.
		return db.View(func(tx *bbolt.Tx) error {
			found = inspect(tx, bootID)
			return nil
		})
	})
	if errors.Is(err, errDamaged) {
		return Inspection{Reason: reasonDamaged}, nil
	}
	return found, err
}

func inspect(tx *bbolt.Tx, boot string) Inspection {
	found := Inspection{Reason: distrusted(tx, boot)}
	meta := tx.Bucket([]byte(tableMeta.String()))
	if meta == nil {
		return found
	}
	mark, err := decodeCheckpoint(meta.Get([]byte(keyCheckpoint)))
	if err != nil {
		if found.Reason == "" {
			found.Reason = reasonDamaged
		}
		return found
	}
	found.Position, found.Empty = mark.position, mark.position == 0
	return found
}

// CheckFile is [Check] for a file that no store has open, and gives the
// position up to which the file was compared. The file stays as it is, byte
// for byte: unlike [Open] it discards nothing, and a file that Open would
// discard is a finding. The work is done on copies beside the file, which need
// about three times its space. fs.ErrNotExist: there is no file.
func CheckFile(ctx context.Context, o Options, log Source) (position uint64, err error) {
	o, err = o.complete()
	if err != nil {
		return 0, err
	}
	switch found, err := Inspect(o.Path, o.BootID); {
	case err != nil:
		return 0, err
	case found.Reason != "":
		return 0, unusable(found.Reason)
	}
	if info, err := os.Stat(o.Path); err != nil || info.Size() == 0 {
		return 0, err // of no byte, none can be wrong
	}
	dir, err := os.MkdirTemp(filepath.Dir(o.Path), "check-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "state.db")
	if err := copyOf(o.Path, copied); err != nil {
		return 0, err
	}
	if err := soundPages(copied); errors.Is(err, errDamaged) {
		return 0, unusable(reasonDamaged)
	} else if err != nil {
		return 0, err
	}
	broken := &CheckError{}
	if err := structure(copied, broken); err != nil {
		return 0, err
	}
	if len(broken.Findings) > 0 { // rows of a broken file say nothing
		return 0, broken
	}
	o.Path, o.Applied = copied, nil
	s, err := openAsIs(o)
	if errors.Is(err, errDamaged) {
		return 0, unusable(reasonDamaged)
	}
	if err != nil {
		return 0, err
	}
	return s.Position(), errors.Join(Check(ctx, s, log), s.Close())
}

func unusable(reason string) error {
	return &CheckError{Findings: []string{"file: not usable: " + reason}}
}

func copyOf(from, to string) (err error) {
	in, err := os.Open(from) //nolint:gosec // the caller's own file.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // beside it.
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
