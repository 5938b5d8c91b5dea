package slotfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
)

// The names of the files.
const (
	KeysFile    = "keys.db"
	OrgKeysFile = "orgkeys.db"
)

// options are constants but in tests.
type options struct {
	readOnly bool
	growth   uint32 // how many slots keys.db grows by
	reserve  uint64 // how many sequences one header write reserves; a crash may skip so many
}

func defaults(readOnly bool) options { return options{readOnly: readOnly, growth: 4096, reserve: 4096} }

// Store is a [kms.KeyStore] in two files. All methods are safe for concurrent
// use.
type Store struct {
	o     options
	keys  device
	orgs  *orgFile
	group *group
	latch *latch

	// writing orders the writers of keys.db: which slot, which sequence, and
	// the write into the page cache. It guards what follows.
	writing sync.Mutex
	header  header
	last    uint64   // the highest sequence given out
	free    []uint32 // taken from the end
	// pending are keys whose creation waits for its fsync, erasing counts the
	// erasures of a key that wait for theirs.
	pending  map[domain.KekID]struct{}
	erasing  map[domain.KekID]int
	replaced []uint32 // to be erased by Open

	// mu guards the index. Writers hold writing, too.
	mu        sync.RWMutex
	index     map[domain.KekID]uint32   // to slots
	sequences []uint64                  // by slot; 0: no whole key that counts
	conflicts map[domain.KekID][]uint32 // slots of keys with two records of one generation
	torn      []uint32
}

// Missing returns which of the two files are not in a directory.
func Missing(dir string) (names []string, err error) {
	for _, name := range []string{KeysFile, OrgKeysFile} {
		_, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			names = append(names, name)
		} else if err != nil {
			return nil, fmt.Errorf("slotfile: %w", err)
		}
	}
	return names, nil
}

// Open opens the key files of a directory, and makes those that are missing,
// durable on nil. After an unclean stop it writes both files anew. Errors:
// [ErrFormat], and those of the file system.
//
// A crash leaves files that the next Open takes as they are.
func Open(dir string) (*Store, error) { return openDir(dir, false) }

// OpenReadOnly is [Open] that changes nothing: missing files are an error that
// wraps [fs.ErrNotExist], and every write is refused.
func OpenReadOnly(dir string) (*Store, error) { return openDir(dir, true) }

func openDir(dir string, readOnly bool) (_ *Store, err error) {
	orgs, err := openFile(filepath.Join(dir, OrgKeysFile), readOnly)
	if err != nil {
		return nil, err
	}
	keys, err := openFile(filepath.Join(dir, KeysFile), readOnly)
	if err != nil {
		return nil, errors.Join(err, orgs.Close())
	}
	if !readOnly {
		if err := syncDir(dir); err != nil {
			return nil, errors.Join(err, keys.Close(), orgs.Close())
		}
	}
	return open(keys, orgs, defaults(readOnly))
}

// open takes the devices over, and closes them on an error.
func open(keys, orgs device, o options) (_ *Store, err error) {
	s := &Store{
		o: o, keys: keys, latch: &latch{},
		pending: map[domain.KekID]struct{}{}, erasing: map[domain.KekID]int{},
		index: map[domain.KekID]uint32{}, conflicts: map[domain.KekID][]uint32{},
	}
	s.group = &group{sync: keys.Sync, latch: s.latch}
	s.orgs = &orgFile{device: orgs, group: &group{sync: orgs.Sync, latch: s.latch}, keys: map[string][]domain.StoredKey{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, keys.Close(), orgs.Close())
		}
	}()
	if err := s.loadHeader(); err != nil {
		return nil, err
	}
	rewrite := s.header.open && !o.readOnly
	if err := s.orgs.load(rewrite); err != nil {
		return nil, err
	}
	if err := s.load(rewrite); err != nil {
		return nil, err
	}
	if o.readOnly {
		return s, nil
	}
	return s, s.begin(rewrite)
}

// begin makes what was loaded durable and marks the files as open. Only then
// are they written to.
func (s *Store) begin(rewrite bool) error {
	if rewrite {
		if err := errors.Join(s.orgs.group.wait(), s.group.wait()); err != nil {
			return err
		}
	}
	if err := s.clearTail(); err != nil {
		return err
	}
	// The mark is durable before the first slot is written. A crash before
	// leaves the older header, and nothing that it would be wrong about.
	s.header.open, s.header.ceiling = true, s.last+s.o.reserve
	if err := s.writeHeader(); err != nil {
		return err
	}
	if err := s.group.wait(); err != nil {
		return err
	}
	numbers := s.replaced
	s.replaced = nil
	return s.zero(numbers)
}

// clearTail overwrites what lies behind the last whole slot: a crash cut the file
// off there while it grew, so no key in it was ever acknowledged. It is durable
// with the header that follows.
func (s *Store) clearTail() error {
	size, err := s.keys.Size()
	if err != nil {
		return fmt.Errorf("slotfile: %w", err)
	}
	end := slotOffset(uint32(len(s.sequences))) //nolint:gosec // a file of 2^32 slots has 1 TiB.
	if size <= end {
		return nil
	}
	if _, err := s.keys.WriteAt(make([]byte, size-end), end); err != nil {
		return fmt.Errorf("slotfile: clearing the end of %s: %w", KeysFile, err)
	}
	return nil
}

// writeHeader writes the header into the slot that holds the older one.
func (s *Store) writeHeader() error {
	s.header.count++
	offset := int64(s.header.count%headerSlots) * slotSize
	if _, err := s.keys.WriteAt(s.header.encode(), offset); err != nil {
		return fmt.Errorf("slotfile: writing the header of %s: %w", KeysFile, err)
	}
	return nil
}

// Close closes both files. A write that is in flight is made durable, or fails.
// Without it, the next Open takes the stop for an unclean one.
func (s *Store) Close() error {
	// Nothing is written between the last fsync and the end: what says that the
	// files were closed in order would not be true of it.
	s.orgs.appending.Lock()
	defer s.orgs.appending.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	var err error
	if !s.o.readOnly && s.latch.failed() == nil {
		// The mark goes after everything before it is durable.
		if err = errors.Join(s.group.wait(), s.orgs.group.wait()); err == nil {
			s.header.open, s.header.ceiling = false, s.last
			if err = s.writeHeader(); err == nil {
				err = s.group.wait()
			}
		}
	}
	return errors.Join(err, s.keys.Close(), s.orgs.device.Close())
}

// Problem returns what an operator must look at: a failed fsync
// ([ErrFailed]), or keys with two different records ([ErrDamaged]).
func (s *Store) Problem() error {
	if err := s.latch.failed(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var offsets []int64
	for _, numbers := range s.conflicts {
		for _, n := range numbers {
			offsets = append(offsets, slotOffset(n))
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	slices.Sort(offsets)
	return fmt.Errorf("%w: two different records of one key, offsets %v", ErrDamaged, offsets)
}

func slotOffset(number uint32) int64 { return (int64(number) + headerSlots) * slotSize }

var (
	_ kms.KeyStore  = (*Store)(nil)
	_ kms.TornSlots = (*Store)(nil)
)
