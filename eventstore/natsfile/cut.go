package natsfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Cut removes from a stream's blocks everything behind the last sound position,
// at a finding of [Inspect] that is torn. What it removes goes into new files
// below keep, which is made where it is missing. No server may use the
// directory. Durable on nil.
//
// A crash in between leaves a shorter torn end, with all that was removed in
// keep: Inspect finds it, and Cut goes on.
func Cut(dir string, f *Finding, keep string) error { return cut(dir, f, keep, (*os.File).Sync) }

func cut(dir string, f *Finding, keep string, fsync func(*os.File) error) error {
	if !f.Torn {
		return fmt.Errorf("natsfile: not cut: %w", f)
	}
	all, err := blocks(dir, f.Stream)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(keep, f.Stream), 0o700); err != nil {
		return err
	}
	// Whoever makes keep has its parent.
	if err := errors.Join(syncPath(keep, fsync), syncPath(filepath.Dir(keep), fsync)); err != nil {
		return err
	}
	// The newest block goes first: at no moment an older one is missing.
	for n := len(all) - 1; n >= 0 && all[n].number >= f.Block; n-- {
		from := int64(0)
		if all[n].number == f.Block {
			from = f.Offset
		}
		if err := cutBlock(all[n], from, filepath.Join(keep, f.Stream), fsync); err != nil {
			return err
		}
	}
	if err := dropIndexes(dir); err != nil {
		return err
	}
	return syncTree(streamDir(dir, f.Stream), fsync)
}

// cutBlock removes a block, or what it has from an offset on, once a copy of
// that is durable.
func cutBlock(b block, from int64, keep string, fsync func(*os.File) error) error {
	content, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	name := filepath.Join(keep, fmt.Sprintf("%d-%d", b.number, from))
	for n := 1; ; n++ { // a cut before this one may have used the name
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		name = filepath.Join(keep, fmt.Sprintf("%d-%d.%d", b.number, from, n))
	}
	if err := writeFile(name, content[from:], fsync); err != nil {
		return err
	}
	if from > 0 {
		if err := os.Truncate(b.path, from); err != nil {
			return err
		}
		return syncPath(b.path, fsync)
	}
	if err := os.Remove(b.path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(b.path), fsync)
}

// cutEnd makes the newest block shorter. A crash in between leaves the end or
// no end.
func cutEnd(dir string, f *Finding, fsync func(*os.File) error) error {
	path := blockPath(dir, f.Stream, f.Block)
	if err := os.Truncate(path, f.Offset); err != nil {
		return err
	}
	return syncPath(path, fsync)
}
