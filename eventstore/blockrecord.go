package eventstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats.go"
)

// BlockRecord is one record of a block. Its bytes lie in the block.
type BlockRecord struct {
	Size     int // in the block
	Sequence uint64
	Time     int64 // of storing, in Unix nanoseconds
	// Erased is what is left of a message, Tombstone a mark that one is gone.
	Erased, Tombstone      bool
	Subject, Headers, Data []byte
}

// BlockScanner cuts the records of one block. Not safe for concurrent use.
type BlockScanner struct {
	hash hash.Hash64
	sum  [BlockRecordChecksum]byte
}

// NewBlockScanner is for the block of a stream with a number: its checksums
// are a HighwayHash under a key of both.
func NewBlockScanner(stream string, number uint32) (*BlockScanner, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, number))
	h, err := highwayhash.New64(key[:])
	return &BlockScanner{hash: h}, err
}

// Cut gives the record with which content begins. false: its lengths do not
// fit each other, or its checksum, of all but the lengths, is wrong.
func (s *BlockScanner) Cut(content []byte) (BlockRecord, bool) {
	size, ok := recordSize(content)
	if !ok {
		return BlockRecord{}, false
	}
	record := content[:size]
	rest := record[BlockRecordHead : size-BlockRecordChecksum]
	subject := int(binary.LittleEndian.Uint16(record[20:]))
	if subject > len(rest) {
		return BlockRecord{}, false
	}
	sequence := binary.LittleEndian.Uint64(record[4:])
	r := BlockRecord{
		Size: size, Sequence: sequence &^ (BlockIsErased | BlockIsTombstone),
		Time:   int64(binary.LittleEndian.Uint64(record[12:])), //nolint:gosec // as the server writes it.
		Erased: sequence&BlockIsErased != 0, Tombstone: sequence&BlockIsTombstone != 0,
		Subject: rest[:subject],
	}
	rest = rest[subject:]
	if binary.LittleEndian.Uint32(record)&BlockHasHeaders != 0 {
		if len(rest) < 4 || int64(binary.LittleEndian.Uint32(rest)) > int64(len(rest)-4) {
			return BlockRecord{}, false
		}
		headers := int(binary.LittleEndian.Uint32(rest))
		rest = rest[4:]
		r.Headers, r.Data = rest[:headers], rest[headers:]
	} else {
		r.Data = rest
	}
	s.hash.Reset()
	_, _ = s.hash.Write(record[4:20]) // never fails, here and below
	_, _ = s.hash.Write(r.Subject)
	_, _ = s.hash.Write(rest)
	return r, bytes.Equal(s.hash.Sum(s.sum[:0]), record[size-BlockRecordChecksum:])
}

const (
	headersBegin = "NATS/1.0\r\n"
	lineEnd      = "\r\n"
)

// decodeHeaders reads a block of headers. Those that are not plainly the form
// in which clients write them are left to the client library.
func decodeHeaders(block []byte) (map[string][]string, bool) {
	rest, ok := strings.CutPrefix(string(block), headersBegin)
	headers := make(map[string][]string, 4)
	for ok {
		var line, name, value string
		if line, rest, ok = strings.Cut(rest, lineEnd); line == "" {
			break
		}
		if name, value, ok = strings.Cut(line, ": "); ok {
			ok = plainHeader(name) && strings.TrimSpace(value) == value
		}
		headers[name] = append(headers[name], value)
	}
	if ok && rest == "" {
		return headers, true
	}
	decoded, err := nats.DecodeHeadersMsg(block)
	return decoded, err == nil
}

// plainHeader says whether a header's name is made of letters, digits and
// hyphens.
func plainHeader(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return name != ""
}
