package slotfile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
)

var errReadOnly = errors.New("slotfile: the key files are open for reading only")

// CreateSecretKey implements [kms.KeyStore].
//
// A crash before the fsync leaves a free slot, a torn slot, or a whole key that
// was never acknowledged. The sweep erases the latter two.
func (s *Store) CreateSecretKey(ctx context.Context, kekID string, record []byte) error {
	kek, err := domain.ParseKekID(kekID)
	if err != nil {
		return err
	}
	if len(record) > maxRecord {
		return fmt.Errorf("slotfile: a key record of %d bytes is longer than %d", len(record), maxRecord)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	number, sequence, err := s.writeKey(kek, record)
	if err != nil {
		return err
	}
	err = s.group.wait()
	s.writing.Lock()
	defer s.writing.Unlock()
	delete(s.pending, kek)
	if err != nil {
		return err // Final: the slot is not used again by this process.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index[kek], s.sequences[number] = number, sequence
	return nil
}

// writeKey writes a key into a free slot. The key is pending then.
func (s *Store) writeKey(kek domain.KekID, record []byte) (number uint32, sequence uint64, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return 0, 0, err
	}
	s.mu.RLock()
	_, exists := s.index[kek]
	s.mu.RUnlock()
	if _, creating := s.pending[kek]; exists || creating {
		return 0, 0, domain.ErrKeyExists
	}
	if s.last == s.header.ceiling {
		// Durable with the fsync that acknowledges the first key beyond the
		// old ceiling.
		s.header.ceiling += s.o.reserve
		if err := s.writeHeader(); err != nil {
			s.header.ceiling = s.last
			return 0, 0, err
		}
	}
	if len(s.free) == 0 {
		if err := s.grow(); err != nil {
			return 0, 0, err
		}
	}
	s.last++
	number = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	if _, err := s.keys.WriteAt(slot{sequence: s.last, kek: kek, record: record}.encode(), slotOffset(number)); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.torn = append(s.torn, number)
		return 0, 0, fmt.Errorf("slotfile: writing %s at offset %d: %w", KeysFile, slotOffset(number), err)
	}
	s.pending[kek] = struct{}{}
	return number, s.last, nil
}

// writable returns why nothing may be written.
func (s *Store) writable() error {
	if s.o.readOnly {
		return errReadOnly
	}
	return s.latch.failed()
}

// grow writes zeros behind the last slot. They are durable with the first key
// that lies there. A crash leaves more free slots, or fewer.
func (s *Store) grow() error {
	first := uint32(len(s.sequences)) //nolint:gosec // a file of 2^32 slots has 1 TiB.
	if _, err := s.keys.WriteAt(make([]byte, int(s.o.growth)*slotSize), slotOffset(first)); err != nil {
		return fmt.Errorf("slotfile: making %s longer: %w", KeysFile, err)
	}
	for i := range s.o.growth {
		s.free = append(s.free, first+s.o.growth-1-i)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sequences = append(s.sequences, make([]uint64, s.o.growth)...)
	return nil
}

// EraseSecretKey implements [kms.KeyStore]: it overwrites the key's slot with
// zeros. Reads no longer find the key once that began.
//
// While there are torn slots, the erasure of a key that is in none of the whole
// ones is refused with [kms.ErrUnavailable]. [Store.EraseTorn] settles that.
//
// A crash before the fsync leaves the key, a torn slot, or a free one. The
// reconciler repeats the erasure of a deleted secret's key until the log has
// key.destroyed; the next sweep repeats that of an unclaimed key.
func (s *Store) EraseSecretKey(ctx context.Context, kekID string) error {
	kek, err := domain.ParseKekID(kekID)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	numbers, wait, err := s.zeroKey(kek)
	if err != nil || !wait {
		return err
	}
	err = s.group.wait()
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.erasing[kek]--; s.erasing[kek] == 0 {
		delete(s.erasing, kek)
	}
	if err == nil {
		s.free = append(s.free, numbers...)
	}
	return err
}

// zeroKey overwrites the slots of a key. wait: an fsync must follow, for this
// erasure or for one before it.
func (s *Store) zeroKey(kek domain.KekID) (numbers []uint32, wait bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return nil, false, err
	}
	// The index comes first: a read that meets zeros in the slot looks into the
	// index again.
	numbers, restore := s.remove(kek)
	if len(numbers) == 0 && s.erasing[kek] == 0 && len(s.Torn()) > 0 {
		// A crash may have cut an earlier erasure of the key: which key a torn
		// slot held cannot be known.
		return nil, false, fmt.Errorf("%w: damaged slots of %s may hold what is left of key %s", kms.ErrUnavailable, KeysFile, kek)
	}
	if err := s.writeZeros(numbers); err != nil {
		restore()
		return nil, false, err
	}
	if len(numbers) > 0 || s.erasing[kek] > 0 {
		s.erasing[kek]++
		wait = true
	}
	return numbers, wait, nil
}

// remove takes a key out of the index and returns its slots. restore undoes
// that. The caller holds writing.
func (s *Store) remove(kek domain.KekID) (numbers []uint32, restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number, found := s.index[kek]
	if !found {
		return nil, func() {}
	}
	sequence, conflicts := s.sequences[number], s.conflicts[kek]
	delete(s.index, kek)
	delete(s.conflicts, kek)
	s.sequences[number] = 0
	if numbers = conflicts; len(conflicts) == 0 {
		numbers = []uint32{number}
	}
	return numbers, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.index[kek], s.sequences[number] = number, sequence
		if len(conflicts) > 0 {
			s.conflicts[kek] = conflicts
		}
	}
}

func (s *Store) writeZeros(numbers []uint32) error {
	for _, n := range numbers {
		if _, err := s.keys.WriteAt(make([]byte, slotSize), slotOffset(n)); err != nil {
			return fmt.Errorf("slotfile: erasing in %s at offset %d: %w", KeysFile, slotOffset(n), err)
		}
	}
	return nil
}

// zero overwrites slots that no key counts in, and frees them. The caller
// holds writing, or is alone.
func (s *Store) zero(numbers []uint32) error {
	if len(numbers) == 0 {
		return nil
	}
	if err := s.writeZeros(numbers); err != nil {
		return err
	}
	if err := s.group.wait(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		s.sequences[n] = 0
	}
	s.free = append(s.free, numbers...)
	return nil
}

// Torn implements [kms.TornSlots].
func (s *Store) Torn() []int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	offsets := make([]int64, 0, len(s.torn))
	for _, n := range s.torn {
		offsets = append(offsets, slotOffset(n))
	}
	return offsets
}

// EraseTorn implements [kms.TornSlots].
func (s *Store) EraseTorn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	s.mu.RLock()
	numbers := slices.Clone(s.torn)
	s.mu.RUnlock()
	if err := s.zero(numbers); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn = nil // all: writers of torn slots hold writing
	return nil
}
