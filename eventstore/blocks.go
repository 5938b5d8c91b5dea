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
func ReadBlock(b BlockFile, room []byte) ([]byte, error) { return readBlockFrom(b, 0, room) }

var errBlockShorter = errors.New("eventstore: the block was written anew")

// readBlockFrom reads what a block has behind an offset. errBlockShorter: it
// does not reach there.
func readBlockFrom(b BlockFile, offset int64, room []byte) ([]byte, error) {
	f, err := os.Open(b.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < offset {
		return nil, errBlockShorter
	}
	size := int(info.Size() - offset)
	if cap(room) < size {
		room = make([]byte, size)
	}
	n, err := f.ReadAt(room[:size], offset)
	if errors.Is(err, io.EOF) { // it was cut since
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
	return messageSequence(head[:])
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
	for {
		rest := part[length:]
		size, ok := recordSize(rest)
		if !ok {
			return length, last
		}
		if sequence, ok := messageSequence(rest); ok {
			last = max(last, sequence)
		}
		length += size
	}
}

// recordSize gives the length of the record with which part begins, if all of
// it is there.
func recordSize(part []byte) (size int, ok bool) {
	if len(part) < BlockRecordEmpty {
		return 0, false
	}
	size = int(binary.LittleEndian.Uint32(part) &^ BlockHasHeaders)
	return size, size >= BlockRecordEmpty && size <= len(part)
}

// messageSequence gives the sequence of the message with whose record part
// begins. false: the record is none of a message.
func messageSequence(part []byte) (sequence uint64, ok bool) {
	sequence = binary.LittleEndian.Uint64(part[4:])
	return sequence, sequence&(BlockIsErased|BlockIsTombstone) == 0
}
