package natsfile

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	blockSuffix = ".blk"
	// indexFile is the server's own summary of a stream's blocks. It makes one
	// from the blocks where it is missing.
	indexFile = "index.db"
	// settingsFile holds the stream's settings, as JSON.
	settingsFile = "meta.inf"
)

// block is one file of a stream's messages.
type block struct {
	path   string
	number uint32
}

func streamsDir(dir string) string { return filepath.Join(dir, "jetstream", "$G", "streams") }

func streamDir(dir, stream string) string { return filepath.Join(streamsDir(dir), stream) }

func messagesDir(dir, stream string) string { return filepath.Join(streamDir(dir, stream), "msgs") }

func blockPath(dir, stream string, number uint32) string {
	return filepath.Join(messagesDir(dir, stream), strconv.FormatUint(uint64(number), 10)+blockSuffix)
}

// blocks lists the blocks of a stream in order; none where there is no stream.
func blocks(dir, stream string) ([]block, error) {
	messages := messagesDir(dir, stream)
	entries, err := os.ReadDir(messages)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []block
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), blockSuffix)
		number, bad := strconv.ParseUint(name, 10, 32)
		if ok && bad == nil {
			all = append(all, block{filepath.Join(messages, e.Name()), uint32(number)})
		}
	}
	slices.SortFunc(all, func(a, b block) int { return cmp.Compare(a.number, b.number) })
	return all, err
}

// dropIndexes makes the server read every block of every stream at its next
// start. It writes its summary without an fsync.
func dropIndexes(dir string) error {
	indexes, err := filepath.Glob(filepath.Join(streamsDir(dir), "*", "msgs", indexFile))
	if err != nil {
		return err
	}
	for _, path := range indexes {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
