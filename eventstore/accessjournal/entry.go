package accessjournal

import (
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

const (
	// sector is what a disk writes whole or not at all, in bytes.
	sector = 512
	// magic names the format and its version.
	magic = "CAJ1"
	// headerSize is that of an entry, in bytes: magic, CRC-32C of all that
	// follows, length of the records, number, number and position of what was
	// forwarded before. Numbers are big-endian.
	headerSize = 4 + 4 + 4 + 8 + 8 + 8
)

// entry is the records of one append.
type entry struct {
	number uint64 // from 1, without a gap
	// forwarded is the last entry that the access log had when this one was
	// written, and position where its message ends there.
	forwarded, position uint64
	bytes               []byte // as it lies in the file
	offset              int    // where, as it was read
	records             []domain.Access
}

// newEntry makes an entry of the records as they are encoded. Without any it
// only names what was forwarded.
func newEntry(data []byte, records []domain.Access) *entry {
	e := &entry{bytes: make([]byte, headerSize+len(data)), records: records}
	copy(e.bytes[headerSize:], data)
	return e
}

func (e *entry) data() []byte { return e.bytes[headerSize:] }

// room is the length in the file: whole sectors.
func (e *entry) room() int64 { return int64(roundUp(len(e.bytes))) }

func roundUp(n int) int { return (n + sector - 1) / sector * sector }

// seal writes the header.
func (e *entry) seal() {
	b := append(e.bytes[:0], magic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.data()))) //nolint:gosec // a message at most.
	b = binary.BigEndian.AppendUint64(b, e.number)
	b = binary.BigEndian.AppendUint64(b, e.forwarded)
	binary.BigEndian.AppendUint64(b, e.position)
	binary.BigEndian.PutUint32(e.bytes[4:], checksum(e.bytes))
}

func checksum(entry []byte) uint32 {
	return crc32.Checksum(entry[8:], crc32.MakeTable(crc32.Castagnoli))
}

// readEntry reads the entry at the beginning of b. It shares b's memory. Not ok:
// there is none that is whole.
func readEntry(b []byte) (e *entry, ok bool) {
	if len(b) < headerSize || string(b[:4]) != magic {
		return nil, false
	}
	length := binary.BigEndian.Uint32(b[8:])
	if length > eventstore.MaxAccessMessage || headerSize+int(length) > len(b) {
		return nil, false
	}
	b = b[:headerSize+int(length)]
	if checksum(b) != binary.BigEndian.Uint32(b[4:]) {
		return nil, false
	}
	return &entry{
		number: binary.BigEndian.Uint64(b[12:]), forwarded: binary.BigEndian.Uint64(b[20:]),
		position: binary.BigEndian.Uint64(b[28:]), bytes: b,
	}, true
}

// readEntries returns every whole entry of a file, oldest first. Entries of an
// earlier use of a segment are among them.
func readEntries(content []byte, segment int) []*entry {
	found := map[uint64]*entry{}
	for begin := 0; begin < len(content); begin += segment {
		for at := begin; at < begin+segment; {
			e, ok := readEntry(content[at : begin+segment])
			if !ok {
				at += sector
				continue
			}
			e.offset = at
			found[e.number] = e
			at += roundUp(len(e.bytes))
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *entry) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
}
