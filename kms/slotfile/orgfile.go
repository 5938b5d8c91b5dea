package slotfile

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

const (
	orgMagic = "CHYo"
	// orgAlign is where frames begin: at multiples of it.
	orgAlign = 512
	// orgHead is how long a frame's head is, orgMost how long a frame may be.
	orgHead, orgMost = 24, 64 << 10
)

// An org key is one frame in orgkeys.db. Numbers are big-endian:
//
//	 0  "CHYo"
//	 4  version, 1
//	 5  length of the organization's id
//	 6  length of the org key's id
//	 7  zero
//	 8  length of the record, u32
//	12  zero, 4 bytes
//	16  sequence, u64
//	24  organization's id, org key's id, record, SHA-256 of all before,
//	    zeros up to a multiple of 512
func encodeOrgKey(k domain.StoredKey) ([]byte, error) {
	size := orgHead + len(k.Org) + len(k.ID) + len(k.Record) + sha256.Size
	if len(k.Org) > domain.MaxIDLen || len(k.ID) > domain.MaxIDLen || size > orgMost {
		return nil, fmt.Errorf("slotfile: an org key of %d bytes is too long", size)
	}
	b := make([]byte, orgHead, aligned(size))
	copy(b, orgMagic)
	b[4], b[5], b[6] = version, byte(len(k.Org)), byte(len(k.ID)) //nolint:gosec // at most MaxIDLen.
	binary.BigEndian.PutUint32(b[8:], uint32(len(k.Record)))      //nolint:gosec // at most orgMost.
	binary.BigEndian.PutUint64(b[16:], k.Sequence)
	b = append(append(append(b, k.Org...), k.ID...), k.Record...)
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	return b[:cap(b)], nil
}

// decodeOrgKey reads the frame in front of b, exactly as encodeOrgKey writes
// it, and returns its size; else errTorn. The key shares no memory with b.
func decodeOrgKey(b []byte) (k domain.StoredKey, size int, err error) {
	if len(b) < orgHead || string(b[:4]) != orgMagic || b[4] != version {
		return k, 0, errTorn
	}
	org, id, record := int(b[5]), int(b[6]), binary.BigEndian.Uint32(b[8:])
	if record > orgMost {
		return k, 0, errTorn
	}
	end := orgHead + org + id + int(record)
	if size = aligned(end + sha256.Size); size > len(b) {
		return k, 0, errTorn
	}
	k = domain.StoredKey{
		Org: string(b[orgHead : orgHead+org]), ID: string(b[orgHead+org : orgHead+org+id]),
		Sequence: binary.BigEndian.Uint64(b[16:]), Record: bytes.Clone(b[end-int(record) : end]),
	}
	again, err := encodeOrgKey(k)
	if err != nil || k.Sequence == 0 || !bytes.Equal(again, b[:size]) {
		return domain.StoredKey{}, 0, errTorn
	}
	return k, size, nil
}

func aligned(n int) int { return (n + orgAlign - 1) / orgAlign * orgAlign }

// orgFile is orgkeys.db. There are few org keys: all are in memory.
type orgFile struct {
	device device
	group  *group

	// appending is held from the choice of a frame's offset until the frame
	// is durable, so that an id is stored once.
	appending sync.Mutex
	end       int64
	last      uint64

	mu   sync.RWMutex
	keys map[string][]domain.StoredKey // of each organization, in sequence order
	torn []int64                       // offsets of bytes that are no whole frame
}

// load reads the file. Errors: [ErrFormat], and those of the file.
func (f *orgFile) load(rewrite bool) error {
	var all []byte
	err := readAll(f.device, rewrite, readChunk, func(_ int64, b []byte) error {
		all = append(all, b...)
		return nil
	})
	if err != nil {
		return err
	}
	f.end = int64(aligned(len(all)))
	all = append(all, make([]byte, int(f.end)-len(all))...) // a size that a crash cut
	for offset := 0; offset < len(all); {
		k, size, err := decodeOrgKey(all[offset:])
		switch {
		case err == nil && (k.Sequence <= f.last || f.has(k)):
			return fmt.Errorf("%w: %s: offset %d: an id or a sequence comes again", ErrFormat, OrgKeysFile, offset)
		case err == nil:
			f.add(k)
			offset += size
			continue
		case !allZero(all[offset : offset+orgAlign]):
			f.torn = append(f.torn, int64(offset))
		}
		offset += orgAlign
	}
	return nil
}

func (f *orgFile) has(k domain.StoredKey) bool {
	return slices.ContainsFunc(f.keys[k.Org], func(o domain.StoredKey) bool { return o.ID == k.ID })
}

func (f *orgFile) add(k domain.StoredKey) {
	f.last = k.Sequence
	f.keys[k.Org] = append(f.keys[k.Org], k)
}

// CreateOrgKey implements [kms.KeyStore].
//
// A crash before the fsync leaves nothing, a torn frame, which the next start
// skips, or a whole frame, which the next call with its id finds.
func (s *Store) CreateOrgKey(ctx context.Context, org, id string, record []byte) error {
	if err := errors.Join(checkID(org), checkID(id), ctx.Err()); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	return s.orgs.create(domain.StoredKey{Org: org, ID: id, Record: bytes.Clone(record)})
}

func (f *orgFile) create(k domain.StoredKey) error {
	f.appending.Lock()
	defer f.appending.Unlock()
	if f.has(k) { // appending alone changes keys
		return domain.ErrKeyExists
	}
	k.Sequence = f.last + 1
	frame, err := encodeOrgKey(k)
	if err != nil {
		return err
	}
	if _, err := f.device.WriteAt(frame, f.end); err != nil {
		// The next call writes at the same offset.
		return fmt.Errorf("slotfile: writing %s at offset %d: %w", OrgKeysFile, f.end, err)
	}
	if err := f.group.wait(); err != nil {
		return err
	}
	f.end += int64(len(frame))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(k)
	return nil
}

// of returns the keys of one organization, of all with "", in sequence order.
func (f *orgFile) of(org string) (keys []domain.StoredKey) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	keys = slices.Clone(f.keys[org])
	if org == "" {
		for _, of := range f.keys {
			keys = append(keys, of...)
		}
		slices.SortFunc(keys, func(a, b domain.StoredKey) int { return cmp.Compare(a.Sequence, b.Sequence) })
	}
	for i := range keys {
		keys[i].Record = bytes.Clone(keys[i].Record)
	}
	return keys
}

// OrgKeys implements [kms.KeyStore].
func (s *Store) OrgKeys(ctx context.Context, org string) iter.Seq2[domain.StoredKey, error] {
	if err := checkID(org); err != nil {
		return func(yield func(domain.StoredKey, error) bool) { yield(domain.StoredKey{}, err) }
	}
	return s.orgKeys(ctx, org)
}

// AllOrgKeys implements [kms.KeyStore].
func (s *Store) AllOrgKeys(ctx context.Context) iter.Seq2[domain.StoredKey, error] {
	return s.orgKeys(ctx, "")
}

func (s *Store) orgKeys(ctx context.Context, org string) iter.Seq2[domain.StoredKey, error] {
	return func(yield func(domain.StoredKey, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(domain.StoredKey{}, err)
			return
		}
		for _, k := range s.orgs.of(org) {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// TornOrgKeys returns the offsets in orgkeys.db of bytes that are no whole
// frame: an append that a crash cut, or damage. They are never overwritten.
func (s *Store) TornOrgKeys() []int64 { return s.orgs.torn }

func checkID(id string) error {
	if _, err := domain.ParseSecretID(id); err != nil {
		return domain.Errorf(domain.CodeInvalidID, "not the id of an organization or key")
	}
	return nil
}
