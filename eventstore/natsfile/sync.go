package natsfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// syncPath makes the content of a file, or the names in a directory, durable.
func syncPath(path string, fsync func(*os.File) error) error {
	f, err := os.Open(path) //nolint:gosec // below the data directory.
	if err != nil {
		return err
	}
	return errors.Join(fsync(f), f.Close())
}

// syncTree makes everything below a directory durable, names included. Files
// that are removed meanwhile are passed over.
func syncTree(root string, fsync func(*os.File) error) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || e.Type().IsRegular()) {
			err = syncPath(path, fsync)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// writeFile replaces a file: after a crash it holds the old content or the new
// one. Durable on nil.
func writeFile(path string, content []byte, fsync func(*os.File) error) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil { //nolint:gosec // below the data directory.
		return err
	}
	if err := syncPath(temporary, fsync); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path), fsync)
}
