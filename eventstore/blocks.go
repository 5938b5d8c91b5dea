package eventstore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
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

// ReadBlock reads a block, into the memory of one before if there is room.
func ReadBlock(b BlockFile, room []byte) ([]byte, error) {
	f, err := os.Open(b.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := int(info.Size())
	if cap(room) < size {
		room = make([]byte, size)
	}
	n, err := io.ReadFull(f, room[:size])
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) { // it was cut since
		err = nil
	}
	return room[:n], err
}

// firstSequence gives the sequence of the message with which a block begins.
func firstSequence(path string) (uint64, bool) {
	f, err := os.Open(path) //nolint:gosec // a block of the data directory.
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // only read.
	var head [12]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || BlockCompressed(head[:]) {
		return 0, false
	}
	sequence := binary.LittleEndian.Uint64(head[4:])
	return sequence, sequence&(BlockIsErased|BlockIsTombstone) == 0
}

func streamsDir(dir string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams")
}

func messagesDir(dir, stream string) string { return filepath.Join(streamsDir(dir), stream, "msgs") }

// compressedBlock begins a block that is compressed.
const compressedBlock = "cmp"

// BlockCompressed says whether the server compressed a block's content.
func BlockCompressed(content []byte) bool {
	return len(content) >= len(compressedBlock) && string(content[:len(compressedBlock)]) == compressedBlock
}

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
