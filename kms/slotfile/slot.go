package slotfile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/chancery-dev/chancery/domain"
)

const (
	slotSize = 256
	// headerSlots are the slots in front that hold the header.
	headerSlots = 2
	// maxRecord is the longest record of a secret key, in bytes.
	maxRecord = 192
	// version is that of both files.
	version = 1

	slotMagic   = "CHYk"
	headerMagic = "CHYf"
	// checksumAt is where the SHA-256 of all bytes before it begins.
	checksumAt = slotSize - sha256.Size
)

// errTorn reports bytes that are no whole slot.
var errTorn = errors.New("slotfile: the checksum is wrong")

// slot is one secret key in keys.db. Numbers are big-endian:
//
//	  0  "CHYk"
//	  4  version, 1
//	  5  length of the record
//	  6  zero, 2 bytes
//	  8  sequence, u64
//	 16  kekId, 16 bytes
//	 32  record, then zeros
//	224  SHA-256 of the bytes before
type slot struct {
	sequence uint64
	kek      domain.KekID
	record   []byte
}

// encode returns the slot's bytes. The record has at most maxRecord bytes.
func (s slot) encode() []byte {
	b := make([]byte, slotSize)
	copy(b, slotMagic)
	b[4], b[5] = version, byte(len(s.record)) //nolint:gosec // at most maxRecord.
	binary.BigEndian.PutUint64(b[8:], s.sequence)
	copy(b[16:], s.kek[:])
	copy(b[32:], s.record)
	return checksummed(b)
}

// decodeSlot accepts exactly what encode writes; else errTorn. The record
// shares memory with b.
func decodeSlot(b []byte) (slot, error) {
	if !sound(b, slotMagic) || b[5] > maxRecord || b[6] != 0 || b[7] != 0 {
		return slot{}, errTorn
	}
	end := 32 + int(b[5])
	s := slot{sequence: binary.BigEndian.Uint64(b[8:]), kek: domain.KekID(b[16:32]), record: b[32:end:end]}
	if s.sequence == 0 || !allZero(b[end:checksumAt]) {
		return slot{}, errTorn
	}
	return s, nil
}

// header is what keys.db says of itself:
//
//	  0  "CHYf"
//	  4  version, 1
//	  5  1 while a process has the files open for writing, else 0
//	  6  zero, 2 bytes
//	  8  count of header writes, u64: the higher one counts
//	 16  ceiling, u64: no acknowledged key has a higher sequence
//	 24  zeros
//	224  SHA-256 of the bytes before
type header struct {
	open    bool
	count   uint64
	ceiling uint64
}

func (h header) encode() []byte {
	b := make([]byte, slotSize)
	copy(b, headerMagic)
	b[4] = version
	if h.open {
		b[5] = 1
	}
	binary.BigEndian.PutUint64(b[8:], h.count)
	binary.BigEndian.PutUint64(b[16:], h.ceiling)
	return checksummed(b)
}

// decodeHeader accepts exactly what encode writes; else errTorn.
func decodeHeader(b []byte) (header, error) {
	if !sound(b, headerMagic) || b[5] > 1 || b[6] != 0 || b[7] != 0 || !allZero(b[24:checksumAt]) {
		return header{}, errTorn
	}
	return header{open: b[5] == 1, count: binary.BigEndian.Uint64(b[8:]), ceiling: binary.BigEndian.Uint64(b[16:])}, nil
}

func checksummed(b []byte) []byte {
	sum := sha256.Sum256(b[:checksumAt])
	copy(b[checksumAt:], sum[:])
	return b
}

// sound reports whether b is a slot of this version with a right checksum.
func sound(b []byte, magic string) bool {
	return len(b) == slotSize && string(b[:4]) == magic && b[4] == version &&
		sha256.Sum256(b[:checksumAt]) == [sha256.Size]byte(b[checksumAt:])
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
