package slotfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
)

// readChunk is how much of keys.db is read at once.
const readChunk = 1 << 20

// ErrFormat reports a file that is no key file of this version, or one whose
// begin is damaged. Nothing was changed.
var ErrFormat = errors.New("slotfile: no key file of this version, or damaged")

// loadHeader reads the header. A file that ends with it or before is new: no
// slot was ever written, so nothing was acknowledged.
func (s *Store) loadHeader() error {
	size, err := s.keys.Size()
	if err != nil {
		return fmt.Errorf("slotfile: %w", err)
	}
	found := false
	b := make([]byte, slotSize)
	for i := int64(0); i < headerSlots && (i+1)*slotSize <= size; i++ {
		if _, err := s.keys.ReadAt(b, i*slotSize); err != nil {
			return fmt.Errorf("slotfile: reading the header of %s: %w", KeysFile, err)
		}
		h, err := decodeHeader(b)
		if err == nil && (!found || h.count > s.header.count) {
			s.header, found = h, true
		}
	}
	if !found && size > headerSlots*slotSize {
		return fmt.Errorf("%w: %s", ErrFormat, KeysFile)
	}
	return nil
}

// load reads all slots, sequentially. With rewrite they are written anew.
func (s *Store) load(rewrite bool) error {
	copies := map[domain.KekID][]uint32{} // of keys with more than one slot
	err := readAll(s.keys, rewrite, readChunk, func(offset int64, b []byte) error {
		for i := 0; i+slotSize <= len(b); i += slotSize {
			n := (offset + int64(i)) / slotSize
			if n < headerSlots {
				continue
			}
			s.sequences = append(s.sequences, 0)
			number := uint32(n - headerSlots) //nolint:gosec // a file of 2^32 slots has 1 TiB.
			if allZero(b[i : i+slotSize]) {
				s.free = append(s.free, number)
				continue
			}
			k, err := decodeSlot(b[i : i+slotSize])
			if err != nil {
				s.torn = append(s.torn, number)
				continue
			}
			s.sequences[number] = k.sequence
			s.last = max(s.last, k.sequence)
			if other, ok := s.index[k.kek]; ok {
				if len(copies[k.kek]) == 0 {
					copies[k.kek] = []uint32{other}
				}
				copies[k.kek] = append(copies[k.kek], number)
			}
			s.index[k.kek] = number
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(s.free) // the last one is taken first
	s.last = max(s.last, s.header.ceiling)
	for kek, numbers := range copies {
		if err := s.resolve(kek, numbers); err != nil {
			return err
		}
	}
	return nil
}

// resolve decides between the slots of one key (invariant 5). It adds those
// that do not count to s.replaced.
func (s *Store) resolve(kek domain.KekID, numbers []uint32) error {
	var best []uint32
	var generation uint32
	var record []byte
	same := true
	for _, n := range numbers {
		k, err := s.readSlot(n)
		if err != nil {
			return err
		}
		switch g := kms.RecordGeneration(k.record); {
		case len(best) == 0, g > generation:
			s.replaced = append(s.replaced, best...)
			best, generation, record, same = []uint32{n}, g, bytes.Clone(k.record), true
		case g < generation:
			s.replaced = append(s.replaced, n)
		default:
			best = append(best, n)
			same = same && bytes.Equal(record, k.record)
		}
	}
	for _, n := range numbers {
		if n != best[0] || !same {
			s.sequences[n] = 0
		}
	}
	s.index[kek] = best[0]
	if same {
		s.replaced = append(s.replaced, best[1:]...)
	} else {
		s.conflicts[kek] = best
	}
	return nil
}
