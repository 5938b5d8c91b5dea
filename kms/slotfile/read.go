package slotfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
)

// ErrDamaged reports a key that lies in keys.db and can't be read from there.
var ErrDamaged = errors.New("slotfile: " + KeysFile + " is damaged")

// readSlot reads one slot. Errors: [ErrDamaged], with the offset, and those of
// the file.
func (s *Store) readSlot(number uint32) (slot, error) {
	b := make([]byte, slotSize)
	if _, err := s.keys.ReadAt(b, slotOffset(number)); err != nil {
		return slot{}, fmt.Errorf("slotfile: reading %s at offset %d: %w", KeysFile, slotOffset(number), err)
	}
	k, err := decodeSlot(b)
	if err != nil {
		return slot{}, fmt.Errorf("%w: offset %d: %w", ErrDamaged, slotOffset(number), err)
	}
	return k, nil
}

// find returns where a key lies, as of now.
func (s *Store) find(kek domain.KekID) (number uint32, sequence uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	number, ok := s.index[kek]
	if !ok {
		return 0, 0, kms.ErrKeyNotFound
	}
	if _, ok := s.conflicts[kek]; ok {
		return 0, 0, fmt.Errorf("%w: two different records of key %s", ErrDamaged, kek)
	}
	return number, s.sequences[number], nil
}

// SecretKey implements [kms.KeyStore], with one read of the file. Errors also:
// [ErrDamaged].
func (s *Store) SecretKey(ctx context.Context, kekID string) (domain.StoredKey, error) {
	kek, err := domain.ParseKekID(kekID)
	if err != nil {
		return domain.StoredKey{}, err
	}
	if err := ctx.Err(); err != nil {
		return domain.StoredKey{}, err
	}
	return s.secretKey(kek)
}

func (s *Store) secretKey(kek domain.KekID) (domain.StoredKey, error) {
	number, sequence, err := s.find(kek)
	if err != nil {
		return domain.StoredKey{}, err
	}
	for {
		k, err := s.readSlot(number)
		if err == nil && (k.kek != kek || k.sequence != sequence) {
			err = fmt.Errorf("%w: offset %d holds another key", ErrDamaged, slotOffset(number))
		}
		if err == nil {
			return domain.StoredKey{ID: kek.String(), Sequence: k.sequence, Record: k.record}, nil
		}
		// The key may have been erased while its slot was read, and another may
		// have taken the slot.
		again, since, gone := s.find(kek)
		if gone != nil {
			return domain.StoredKey{}, gone
		}
		if since == sequence {
			return domain.StoredKey{}, err
		}
		number, sequence = again, since
	}
}

// SecretKeys implements [kms.KeyStore]. Errors also: [ErrDamaged].
func (s *Store) SecretKeys(ctx context.Context, after uint64) iter.Seq2[domain.StoredKey, error] {
	return func(yield func(domain.StoredKey, error) bool) {
		for _, e := range s.entriesAfter(after) {
			if err := ctx.Err(); err != nil {
				yield(domain.StoredKey{}, err)
				return
			}
			k, err := s.readSlot(e.number)
			if err != nil || k.sequence != e.sequence {
				if s.erased(e) {
					continue
				}
				if err == nil {
					err = fmt.Errorf("%w: offset %d holds another key", ErrDamaged, slotOffset(e.number))
				}
				yield(domain.StoredKey{}, err)
				return
			}
			if !yield(domain.StoredKey{ID: k.kek.String(), Sequence: k.sequence, Record: k.record}, nil) {
				return
			}
		}
	}
}

// entry is one key of the index.
type entry struct {
	sequence uint64
	number   uint32
}

// entriesAfter returns all keys with a higher sequence, in order.
func (s *Store) entriesAfter(after uint64) []entry {
	s.mu.RLock()
	var entries []entry
	for number, sequence := range s.sequences {
		if sequence > after {
			entries = append(entries, entry{sequence: sequence, number: uint32(number)})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.sequence, b.sequence) })
	return entries
}

// erased reports whether an entry has left the index.
func (s *Store) erased(e entry) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sequences[e.number] != e.sequence
}

// Verify reads every key of keys.db. Errors: those of [Store.Problem], and
// [ErrDamaged].
func (s *Store) Verify(ctx context.Context) error {
	if err := s.Problem(); err != nil {
		return err
	}
	for _, err := range s.SecretKeys(ctx, 0) {
		if err != nil {
			return err
		}
	}
	return nil
}
