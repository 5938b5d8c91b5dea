package eventstore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// How the embedded server keeps the messages of a stream (nats-server 2.15,
// filestore.go): blocks named by their number, each a row of records. A record
// begins with its length (4 bytes, the topmost bit: has headers) and sequence
// (8, the two topmost bits: erased, tombstone), and ends with a checksum (8).
// Numbers are little-endian.
const (
	BlockSuffix = ".blk"
	// BlockRecordHead is what lies before the subject: length, sequence, time
	// (8) and length of the subject (2).
	BlockRecordHead     = 22
	BlockRecordChecksum = 8
	BlockRecordEmpty    = BlockRecordHead + BlockRecordChecksum

	BlockHasHeaders  = 1 << 31
	BlockIsErased    = 1 << 63
	BlockIsTombstone = 1 << 62
)

// BlockFile is one block of a stream.
type BlockFile struct {
	Path   string
	Number uint32
}

// BlockFiles gives the blocks of a stream of an embedded log in order, none
// where there is no stream. dir is that of [StartEmbedded].
func BlockFiles(dir, stream string) ([]BlockFile, error) {
	messages := messagesDir(dir, stream)
	entries, err := os.ReadDir(messages)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []BlockFile
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), BlockSuffix)
		number, bad := strconv.ParseUint(name, 10, 32)
		if ok && bad == nil {
			files = append(files, BlockFile{filepath.Join(messages, e.Name()), uint32(number)})
		}
	}
	slices.SortFunc(files, func(a, b BlockFile) int { return cmp.Compare(a.Number, b.Number) })
	return files, err
}

func streamsDir(dir string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams")
}

func messagesDir(dir, stream string) string { return filepath.Join(streamsDir(dir), stream, "msgs") }

// wholeRecords gives how many bytes of a block's part are whole records, and
// the highest sequence of a message among them.
func wholeRecords(part []byte) (length int, last uint64) {
	for len(part)-length >= BlockRecordEmpty {
		rest := part[length:]
		size := int(binary.LittleEndian.Uint32(rest) &^ BlockHasHeaders)
		if size < BlockRecordEmpty || size > len(rest) {
			break
		}
		if sequence := binary.LittleEndian.Uint64(rest[4:]); sequence&(BlockIsErased|BlockIsTombstone) == 0 {
			last = max(last, sequence)
		}
		length += size
	}
	return length, last
}
