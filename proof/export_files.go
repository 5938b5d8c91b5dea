package proof

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// exportFiles writes files so that a crash leaves each one whole or not at
// all. What the files say is about everybody, so only their owner reads them.
type exportFiles struct {
	dir     string
	written int
	// unsynced are the directories whose entries may not be on the disk yet.
	unsynced map[string]bool
	// full are the paths of full tiles that were written.
	full []string
}

const (
	exportDirMode  = 0o700
	exportFileMode = 0o600
)

func (f *exportFiles) makeDir() error {
	f.unsynced = map[string]bool{}
	return f.makeBelow(f.dir)
}

// makeBelow makes a directory and those above it, and remembers whose entries
// changed.
func (f *exportFiles) makeBelow(dir string) error {
	err := os.Mkdir(dir, exportDirMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.makeBelow(filepath.Dir(dir)); err == nil {
			err = os.Mkdir(dir, exportDirMode)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	f.unsynced[filepath.Dir(dir)] = true
	return err
}

// writeFull writes a full tile or bundle.
func (f *exportFiles) writeFull(level int, index uint64, content []byte) error {
	path := tilePath(level, index, tileWidth)
	f.full = append(f.full, path)
	return f.write(path, content)
}

// write writes a file, unless it is there as it should be.
func (f *exportFiles) write(path string, content []byte) (err error) {
	name := filepath.Join(f.dir, filepath.FromSlash(path))
	dir := filepath.Dir(name)
	// Even where nothing is written: the run that wrote it may have ended
	// before it synced the directory.
	f.unsynced[dir] = true
	if there, err := os.ReadFile(name); err == nil && bytes.Equal(there, content) { //nolint:gosec // below the caller's own directory.
		return nil
	}
	if err := f.makeBelow(dir); err != nil {
		return err
	}
	// A name of its own: nobody else writes here, and what a crash leaves is
	// overwritten.
	fresh := name + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, exportFileMode) //nolint:gosec // as above.
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	f.written++
	return os.Rename(fresh, name)
}

// sync puts the directories' entries on the disk, the deepest first.
func (f *exportFiles) sync() error {
	dirs := slices.Sorted(maps.Keys(f.unsynced))
	slices.Reverse(dirs)
	for _, name := range dirs {
		dir, err := os.Open(name) //nolint:gosec // below the caller's own directory, or it.
		if err != nil {
			return err
		}
		if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
			return err
		}
	}
	clear(f.unsynced)
	return nil
}

// removePartial removes the partial forms of tiles that are full by now.
func (f *exportFiles) removePartial() error {
	for _, path := range f.full {
		if err := os.RemoveAll(filepath.Join(f.dir, filepath.FromSlash(path)) + ".p"); err != nil {
			return err
		}
	}
	return nil
}
