package natsfile

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// keepSequence begins a block with a tombstone of a position, as the server
// does where every message has expired, so that the server gives out only later
// positions. The block replaces nothing and appears whole.
func keepSequence(dir, stream string, position uint64, fsync func(*os.File) error) error {
	all, err := blocks(dir, stream)
	if err != nil {
		return err
	}
	number := uint32(1)
	if len(all) > 0 {
		number = all[len(all)-1].number + 1
	}
	path := blockPath(dir, stream, number)
	noted, err := os.Stat(filepath.Join(dir, runningFile))
	if err != nil {
		return err
	}
	record := make([]byte, recordEmpty)
	binary.LittleEndian.PutUint32(record, recordEmpty)
	binary.LittleEndian.PutUint64(record[4:], position|isTombstone)
	binary.LittleEndian.PutUint64(record[12:], uint64(noted.ModTime().UnixNano()))
	records, err := newScanner(stream, number)
	if err != nil {
		return err
	}
	records.seal(record)
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil // there is no stream
	}
	return writeFile(path, record, fsync)
}
