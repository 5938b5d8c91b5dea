package slotfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
)

// keyRecord is a record of package kms by its fixed form: version, kekId,
// organization, generation of the org key, generation, and the rest.
func keyRecord(generation byte) []byte {
	b := record()
	b[0] = 1
	b[33], b[34], b[35], b[36] = 0, 0, 0, 1
	b[37], b[38], b[39], b[40] = 0, 0, 0, generation
	b[17], b[101], b[102], b[109] = 1, 0, 0, 1
	return b
}

// written is a closed keys.db with these slots.
func written(t *testing.T, slots ...[]byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, KeysFile), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range slots {
		if _, err := f.WriteAt(b, slotOffset(uint32(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Invariant 5.
func TestTwoSlotsOfOneKey(t *testing.T) {
	old, same, next, other := keyRecord(1), keyRecord(1), keyRecord(2), keyRecord(2)
	if kms.RecordGeneration(old) != 1 || kms.RecordGeneration(next) != 2 {
		t.Fatal("the records are not those of package kms")
	}
	copy(same, old)
	id := fmt.Sprintf("%032x", 7)
	kek, err := domain.ParseKekID(id)
	if err != nil {
		t.Fatal(err)
	}
	at := func(sequence uint64, record []byte) []byte {
		return slot{sequence: sequence, kek: kek, record: record}.encode()
	}
	for name, c := range map[string]struct {
		slots  [][]byte
		counts []byte // the record, nil: none
		erased []int
	}{
		"a higher generation":      {[][]byte{at(1, old), at(2, next)}, next, []int{0}},
		"in front":                 {[][]byte{at(2, next), at(1, old)}, next, []int{1}},
		"the same twice":           {[][]byte{at(1, old), at(1, same)}, old, []int{1}},
		"three":                    {[][]byte{at(1, old), at(1, same), at(3, next)}, next, []int{0, 1}},
		"different":                {[][]byte{at(2, next), at(3, other)}, nil, nil},
		"different, and one older": {[][]byte{at(2, next), at(1, old), at(3, other)}, nil, []int{1}},
		"different ones, replaced": {[][]byte{at(1, old), at(2, keyRecord(1)), at(3, next)}, next, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := written(t, c.slots...)
			check := func(s *Store) {
				t.Helper()
				k, err := s.SecretKey(noContext(), id)
				if c.counts == nil {
					if !errors.Is(err, ErrDamaged) || !errors.Is(s.Problem(), ErrDamaged) || !errors.Is(s.Verify(noContext()), ErrDamaged) {
						t.Errorf("a guess: %v, %v", err, s.Problem())
					}
				} else if err != nil || !bytes.Equal(k.Record, c.counts) || s.Problem() != nil {
					t.Errorf("another key, %v, %v", err, s.Problem())
				}
				n := 0
				for _, err := range s.SecretKeys(noContext(), 0) {
					if n++; err != nil {
						t.Error(err)
					}
				}
				if want := min(1, len(c.counts)); n != want {
					t.Errorf("%d keys; want %d", n, want)
				}
			}
			r, err := OpenReadOnly(dir)
			if err != nil {
				t.Fatal(err)
			}
			check(r)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			s := openTest(t, dir)
			check(s)
			content, err := os.ReadFile(filepath.Join(dir, KeysFile))
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.slots {
				at := slotOffset(uint32(i))
				if erased := allZero(content[at : at+slotSize]); erased != slices.Contains(c.erased, i) {
					t.Errorf("slot %d: erased %v", i, erased)
				}
			}
			// Erasing the key erases all that is left of it.
			if err := s.EraseSecretKey(noContext(), id); err != nil {
				t.Fatal(err)
			}
			if content, err = os.ReadFile(filepath.Join(dir, KeysFile)); err != nil || !allZero(content[headerSlots*slotSize:]) {
				t.Errorf("bytes are left, %v", err)
			}
			if err := s.Problem(); err != nil {
				t.Errorf("after the erasure: %v", err)
			}
		})
	}
}

// Invariant 4: damage anywhere in a slot is found at start, kept, reported by
// its offset, and erased when the caller says so. Damage while the store is
// open is an error of that key alone.
func TestTornSlots(t *testing.T) {
	id := func(i int) string { return fmt.Sprintf("%032x", i) }
	dir := t.TempDir()
	s := openTest(t, dir)
	for i := range 5 {
		if err := s.CreateSecretKey(noContext(), id(i), record()); err != nil {
			t.Fatal(err)
		}
	}
	damage := func(n int, at int64) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(dir, KeysFile), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		_, err = f.ReadAt(b, slotOffset(uint32(n))+at)
		b[0] ^= 1
		_, failed := f.WriteAt(b, slotOffset(uint32(n))+at)
		if err := errors.Join(err, failed, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	damage(1, 0)
	damage(3, 255)
	if _, err := s.SecretKey(noContext(), id(1)); !errors.Is(err, ErrDamaged) || !bytes.Contains([]byte(err.Error()), []byte("offset 768")) {
		t.Errorf("while open: %v", err)
	}
	if err := s.Verify(noContext()); !errors.Is(err, ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // kept from start to start
		s = openTest(t, dir)
		if torn := s.Torn(); !slices.Equal(torn, []int64{768, 1280}) {
			t.Fatalf("torn: %v", torn)
		}
		for i := range 5 {
			_, err := s.SecretKey(noContext(), id(i))
			if torn := i == 1 || i == 3; torn != errors.Is(err, kms.ErrKeyNotFound) || !torn && err != nil {
				t.Errorf("key %d: %v", i, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = openTest(t, dir)
	if err := s.EraseTorn(noContext()); err != nil || len(s.Torn()) != 0 {
		t.Fatal(err, s.Torn())
	}
	if err := s.CreateSecretKey(noContext(), id(9), record()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	if torn := s.Torn(); len(torn) != 0 {
		t.Errorf("torn again: %v", torn)
	}
	if _, err := s.SecretKey(noContext(), id(9)); err != nil {
		t.Error(err)
	}
}

// A file that is none of ours, or whose begin is damaged, is refused and left
// alone. One damaged header of two is fine: a crash may have cut its write.
func TestForeignFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		change  func(b []byte) []byte
		refused bool
	}{
		"junk":                   {KeysFile, func([]byte) []byte { return bytes.Repeat([]byte("junk"), 1000) }, true},
		"both headers damaged":   {KeysFile, func(b []byte) []byte { b[8] ^= 1; b[264] ^= 1; return b }, true},
		"the older header":       {KeysFile, func(b []byte) []byte { b[8] ^= 1; return b }, false},
		"another version":        {KeysFile, func(b []byte) []byte { b[4], b[260] = 2, 2; return b }, true},
		"a new file, cut":        {KeysFile, func(b []byte) []byte { return b[:300] }, false},
		"a slot cut off":         {KeysFile, func(b []byte) []byte { return b[:len(b)-100] }, false},
		"an org key again":       {OrgKeysFile, func(b []byte) []byte { return append(b, b...) }, true},
		"an org key cut":         {OrgKeysFile, func(b []byte) []byte { return append(b, b[:300]...) }, false},
		"an org key cut by head": {OrgKeysFile, func(b []byte) []byte { return append(b, b[:10]...) }, false},
		"an org key, a bit":      {OrgKeysFile, func(b []byte) []byte { b[30] ^= 1; return b }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openTest(t, dir)
			if err := errors.Join(s.CreateOrgKey(noContext(), testOrg, "k1", bytes.Repeat([]byte("x"), 600)), s.CreateSecretKey(noContext(), fmt.Sprintf("%032x", 1), record()), s.Close()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, c.file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := c.change(content)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(dir)
			if !c.refused {
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(s.CreateSecretKey(noContext(), fmt.Sprintf("%032x", 2), record()), s.CreateOrgKey(noContext(), testOrg, "k2", nil), s.Close()); err != nil {
					t.Error(err)
				}
				s = openTest(t, dir)
				if keys := s.orgs.of(testOrg); len(keys) == 0 || keys[len(keys)-1].ID != "k2" {
					t.Errorf("org keys %v", keys)
				}
				if _, err := s.SecretKey(noContext(), fmt.Sprintf("%032x", 2)); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrFormat) {
				t.Errorf("got %v", err)
			}
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, changed) {
				t.Errorf("it was changed, %v", err)
			}
		})
	}
}

// What is no whole org key is passed over, reported and not overwritten.
func TestTornOrgKeys(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir)
	if err := errors.Join(s.CreateOrgKey(noContext(), testOrg, "k1", []byte("one")), s.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, OrgKeysFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := append(slices.Clone(whole), whole[:80]...)
	if err := os.WriteFile(path, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir)
	if err := errors.Join(s.CreateOrgKey(noContext(), testOrg, "k2", []byte("two")), s.Close()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadFile(path)
	if err != nil || !bytes.HasPrefix(left, cut) {
		t.Fatalf("overwritten, %v", err)
	}
	s = openTest(t, dir)
	if torn := s.TornOrgKeys(); !slices.Equal(torn, []int64{512}) {
		t.Errorf("torn: %v", torn)
	}
	if keys := s.orgs.of(testOrg); len(keys) != 2 || string(keys[0].Record) != "one" || string(keys[1].Record) != "two" {
		t.Errorf("%v", keys)
	}
}

// The decoders take exactly what the encoders write.
func FuzzDecode(f *testing.F) {
	var kek domain.KekID
	_, _ = rand.Read(kek[:])
	f.Add(slot{sequence: 1, kek: kek, record: record()}.encode())
	f.Add(slot{sequence: 1<<64 - 1, record: make([]byte, maxRecord)}.encode())
	f.Add(header{open: true, count: 3, ceiling: 9}.encode())
	frame, err := encodeOrgKey(domain.StoredKey{Org: testOrg, ID: "k1", Sequence: 4, Record: bytes.Repeat([]byte("x"), 700)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Fuzz(func(t *testing.T, b []byte) {
		// Bytes with a right checksum are what a decoder has to judge.
		for _, b := range [][]byte{b, checksummed(append(slices.Clone(b), make([]byte, slotSize)...)[:slotSize])} {
			if s, err := decodeSlot(b); err == nil && !bytes.Equal(s.encode(), b) {
				t.Errorf("slot %x is written in another form", b)
			}
			if h, err := decodeHeader(b); err == nil && !bytes.Equal(h.encode(), b) {
				t.Errorf("header %x is written in another form", b)
			}
		}
		if k, size, err := decodeOrgKey(b); err == nil {
			if again, err := encodeOrgKey(k); err != nil || !bytes.Equal(again, b[:size]) {
				t.Errorf("org key %x is written in another form", b)
			}
		}
	})
}

// A directory on a file system of this machine has an answer, and no error.
func TestCopyOnWriteIsAnswered(t *testing.T) {
	if name, yes := CopyOnWrite(t.TempDir()); yes != (name != "") {
		t.Errorf("%q, %v", name, yes)
	}
	if name, yes := CopyOnWrite(filepath.Join(t.TempDir(), "missing")); yes {
		t.Errorf("a missing directory: %q", name)
	}
}
