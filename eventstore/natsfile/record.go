package natsfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"iter"

	"github.com/minio/highwayhash"
)

// A block is a row of records. A record is, with little-endian numbers:
//
//	length    4 bytes, of the whole record; the topmost bit: has headers
//	sequence  8 bytes; the two topmost bits: erased, tombstone
//	time      8 bytes, of storing, in Unix nanoseconds
//	length    2 bytes, of the subject
//	subject
//	length    4 bytes, of the headers, only where there are any
//	headers
//	data
//	checksum  8 bytes: HighwayHash-64 of all but the three lengths
const (
	recordHead     = 22
	recordChecksum = 8
	recordEmpty    = recordHead + recordChecksum
	// recordLongest is more than the longest message that a server with a
	// max_payload of 4 MiB stores.
	recordLongest = 4<<20 + 128<<10

	hasHeaders  = 1 << 31
	isErased    = 1 << 63
	isTombstone = 1 << 62
)

var (
	// errShort reports that the bytes end before the record does.
	errShort = errors.New("a record is cut off")
	// errRecord reports that the bytes are no record.
	errRecord = errors.New("the bytes of a record were changed or never written")
)

// record is one record of a block.
type record struct {
	size                   int // in the block, in bytes
	sequence               uint64
	erased, tombstone      bool
	subject, headers, data []byte // lie in the block
}

// scanner reads the records of one block. Not safe for concurrent use.
type scanner struct {
	hash hash.Hash64
	sum  [recordChecksum]byte
}

// newScanner is for one block of a stream: the checksums' key is made of the
// stream's name and the block's number.
func newScanner(stream string, number uint32) (*scanner, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, number))
	h, err := highwayhash.New64(key[:])
	return &scanner{hash: h}, err
}

// next reads the record with which part begins. Errors: errShort, errRecord.
func (s *scanner) next(part []byte) (record, error) {
	if len(part) < 4 {
		return record{}, errShort
	}
	head := binary.LittleEndian.Uint32(part)
	size := int(head &^ hasHeaders)
	if size < recordEmpty || size > recordLongest {
		return record{}, errRecord
	}
	if size > len(part) {
		return record{}, errShort
	}
	part = part[:size]
	flags, subject := binary.LittleEndian.Uint64(part[4:]), int(binary.LittleEndian.Uint16(part[20:]))
	rest := part[recordHead : size-recordChecksum]
	if subject > len(rest) {
		return record{}, errRecord
	}
	r := record{
		size: size, sequence: sequenceOf(part), subject: rest[:subject],
		erased: flags&isErased != 0, tombstone: flags&isTombstone != 0,
	}
	rest = rest[subject:]
	r.data = rest
	if head&hasHeaders != 0 {
		if len(rest) < 4 || int64(binary.LittleEndian.Uint32(rest)) > int64(len(rest)-4) {
			return record{}, errRecord
		}
		headers := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		r.headers, r.data = rest[:headers], rest[headers:]
	}
	if !bytes.Equal(s.checksum(part, rest), part[size-recordChecksum:]) {
		return record{}, errRecord
	}
	return r, nil
}

// sound yields the records in part that are whole, wherever they begin.
func (s *scanner) sound(part []byte) iter.Seq[record] {
	return func(yield func(record) bool) {
		for at := 0; at < len(part); {
			r, err := s.next(part[at:])
			if err != nil {
				at++
				continue
			}
			if !yield(r) {
				return
			}
			at += r.size
		}
	}
}

// checksum is valid until the next call. rest is what follows the subject and
// the length of the headers.
func (s *scanner) checksum(part, rest []byte) []byte {
	subject := int(binary.LittleEndian.Uint16(part[20:]))
	s.hash.Reset()
	_, _ = s.hash.Write(part[4:20]) // never fails, here and below
	_, _ = s.hash.Write(part[recordHead : recordHead+subject])
	_, _ = s.hash.Write(rest)
	return s.hash.Sum(s.sum[:0])
}

// seal writes the checksum of a record that has neither subject nor content.
func (s *scanner) seal(empty []byte) {
	copy(empty[recordHead:], s.checksum(empty, nil))
}

// sequenceOf returns the sequence in the head of a record.
func sequenceOf(head []byte) uint64 {
	return binary.LittleEndian.Uint64(head[4:]) &^ (isErased | isTombstone)
}
