package natsfile

import (
	"os"
)

// rewrite writes the blocks with positions behind a durable one into new files,
// which take the place of the old ones. After a failed fsync the kernel may
// call a page clean that is not on the disk, so that a later fsync of the old
// file proves nothing.
//
// A crash in between leaves some blocks old and some new, with the same
// content, and the mark: the next start does it again.
func rewrite(dir, stream string, durable uint64, fsync func(*os.File) error) error {
	all, err := blocks(dir, stream)
	if err != nil {
		return err
	}
	for i, b := range all {
		if i+1 < len(all) {
			// The next block begins at or before the durable position: this one
			// was durable whole.
			if first, ok := firstSequence(all[i+1].path); ok && first <= durable {
				continue
			}
		}
		content, err := os.ReadFile(b.path)
		if err != nil {
			return err
		}
		if err := writeFile(b.path, content, fsync); err != nil {
			return err
		}
	}
	return nil
}

// firstSequence reads the sequence of a block's first record, unchecked.
func firstSequence(path string) (uint64, bool) {
	f, err := os.Open(path) //nolint:gosec // a block of the data directory.
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // only read.
	var head [recordHead]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return 0, false
	}
	return sequenceOf(head[:]), true
}
