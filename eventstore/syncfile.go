package eventstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

func syncDirectory(path string, fsync func(*os.File) error) error {
	d, err := os.Open(path) //nolint:gosec // below the data directory.
	if err != nil {
		return err
	}
	return errors.Join(fsync(d), d.Close())
}

// syncTree makes everything below a directory durable, names included. What
// goes away meanwhile is fine.
func syncTree(root string, fsync func(*os.File) error) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || e.Type().IsRegular()) {
			err = syncDirectory(path, fsync) // a file is opened and synced likewise
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
