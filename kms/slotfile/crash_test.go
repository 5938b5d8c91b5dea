package slotfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
)

const testOrg = "org_01JB0000000000000000000000"

// machine is a store on two disks, and what its callers were told.
type machine struct {
	t          interface{ Fatalf(string, ...any) }
	r          *mathrand.Rand
	o          options
	power      *power
	keys, orgs *disk
	store      *Store

	there    map[string][]byte // acknowledged keys
	doubtful map[string][]byte // keys whose creation or erasure was not answered
	gone     [][]byte          // records whose erasure was acknowledged
	orgKeys  []string          // acknowledged org keys
	made     int
	last     uint64 // the highest sequence seen
}

func newMachine(t interface{ Fatalf(string, ...any) }, sector int, seed uint64) *machine {
	p := &power{}
	return &machine{
		t: t, r: mathrand.New(mathrand.NewPCG(seed, 1)), power: p, keys: newDisk(p, sector, nil), orgs: newDisk(p, sector, nil),
		o:     options{growth: 3, reserve: 2}, // so that files grow and reserve every few keys
		there: map[string][]byte{}, doubtful: map[string][]byte{},
	}
}

// start opens the store. An error means that the power went.
func (m *machine) start() (err error) {
	m.store, err = open(m.keys, m.orgs, m.o)
	if err != nil && !errors.Is(err, errPower) {
		m.t.Fatalf("opening: %v", err)
	}
	return err
}

// crash lets the power go, and comes back with what the disks have.
func (m *machine) crash() {
	keys, orgs := m.keys.survives(m.r), m.orgs.survives(m.r)
	m.power = &power{}
	m.keys, m.orgs = newDisk(m.power, m.keys.sector, keys), newDisk(m.power, m.orgs.sector, orgs)
}

func record() []byte {
	b := make([]byte, 149)
	_, _ = rand.Read(b)
	return b
}

func (m *machine) create() error {
	m.made++
	id, rec := fmt.Sprintf("%032x", m.made), record()
	m.doubtful[id] = rec
	if err := m.store.CreateSecretKey(noContext(), id, rec); err != nil {
		return err
	}
	delete(m.doubtful, id)
	m.there[id] = rec
	return nil
}

func (m *machine) erase() error {
	ids := slices.Sorted(maps.Keys(m.there))
	if len(ids) == 0 {
		return nil
	}
	id := ids[m.r.IntN(len(ids))]
	rec := m.there[id]
	delete(m.there, id)
	m.doubtful[id] = rec
	if err := m.store.EraseSecretKey(noContext(), id); err != nil {
		return err
	}
	delete(m.doubtful, id)
	m.gone = append(m.gone, rec)
	return nil
}

func (m *machine) createOrgKey() error {
	id := fmt.Sprintf("k%d", len(m.orgKeys)+1)
	err := m.store.CreateOrgKey(noContext(), testOrg, id, bytes.Repeat([]byte(id), 200))
	if err == nil || errors.Is(err, domain.ErrKeyExists) {
		m.orgKeys = append(m.orgKeys, id)
		return nil
	}
	return err
}

// check holds invariants 2, 4 and 6 for an opened store.
func (m *machine) check() {
	found := map[string][]byte{}
	last := uint64(0)
	for k, err := range m.store.SecretKeys(noContext(), 0) {
		if err != nil || k.Sequence <= last {
			m.t.Fatalf("key %s: sequence %d after %d, %v", k.ID, k.Sequence, last, err)
		}
		last = k.Sequence
		found[k.ID] = k.Record
	}
	for id, rec := range m.there {
		k, err := m.store.SecretKey(noContext(), id)
		if err != nil || !bytes.Equal(k.Record, rec) || !bytes.Equal(found[id], rec) {
			m.t.Fatalf("acknowledged key %s: %v", id, err)
		}
	}
	for id, rec := range found {
		if _, ok := m.there[id]; !ok && !bytes.Equal(m.doubtful[id], rec) {
			m.t.Fatalf("key %s is there, and is nobody's", id)
		}
	}
	content := m.keys.cache
	for i, rec := range m.gone {
		for at := 0; at+8 <= len(rec); at++ {
			if bytes.Contains(content, rec[at:at+8]) {
				m.t.Fatalf("of erased key %d bytes are left", i)
			}
		}
	}
	if torn := m.store.Torn(); len(torn) > len(m.doubtful) {
		m.t.Fatalf("%d torn slots of %d keys in doubt", len(torn), len(m.doubtful))
	} else if m.keys.sector >= slotSize && len(torn) > 0 {
		m.t.Fatalf("a slot within one sector is torn: %v", torn)
	}
	var orgKeys []string
	for k, err := range m.store.OrgKeys(noContext(), testOrg) {
		if err != nil || !bytes.Equal(k.Record, bytes.Repeat([]byte(k.ID), 200)) {
			m.t.Fatalf("org key %s: %v", k.ID, err)
		}
		orgKeys = append(orgKeys, k.ID)
	}
	if len(orgKeys) < len(m.orgKeys) || !slices.Equal(orgKeys[:len(m.orgKeys)], m.orgKeys) {
		m.t.Fatalf("org keys %v, acknowledged %v", orgKeys, m.orgKeys)
	}
	if err := m.store.Problem(); err != nil {
		m.t.Fatalf("%v", err)
	}
}

// settle erases what is torn, as the keyring does once no living secret lacks
// its key, and finishes the erasures that were not answered.
func (m *machine) settle() error {
	if err := m.store.EraseTorn(noContext()); err != nil {
		return err
	}
	for id, rec := range m.doubtful {
		if err := m.store.EraseSecretKey(noContext(), id); err != nil {
			return err
		}
		delete(m.doubtful, id)
		m.gone = append(m.gone, rec)
	}
	if torn := m.store.Torn(); len(torn) != 0 {
		m.t.Fatalf("torn after it was erased: %v", torn)
	}
	return nil
}

// sequenceAscends holds invariant 6 across restarts.
func (m *machine) sequenceAscends() error {
	if err := m.create(); err != nil {
		return err
	}
	k, err := m.store.SecretKey(noContext(), fmt.Sprintf("%032x", m.made))
	if err != nil || k.Sequence <= m.last {
		m.t.Fatalf("sequence %d after %d, %v", k.Sequence, m.last, err)
	}
	m.last = k.Sequence
	return nil
}

// scenario is a life with every kind of write; it ends early when the power
// goes.
func (m *machine) scenario() error {
	if err := m.start(); err != nil {
		return err
	}
	m.check()
	steps := []func() error{
		m.createOrgKey, m.create, m.create, m.erase, m.sequenceAscends, m.create, m.createOrgKey, m.create, m.erase,
		m.create, m.erase, m.erase, m.settle, m.sequenceAscends, m.store.Close, m.start, m.sequenceAscends, m.createOrgKey, m.erase, m.create,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
		m.check()
	}
	return nil
}

// Invariants 2, 4 and 6: the power goes at every write and every fsync of a
// life, and again at every one of the start after it.
func TestPowerGoesAtEveryWrite(t *testing.T) {
	for _, sector := range []int{512, 64} {
		t.Run(fmt.Sprint(sector), func(t *testing.T) {
			for seed := range uint64(8) {
				for goes := 1; ; goes++ {
					m := newMachine(t, sector, seed<<32|uint64(goes))
					m.power.goes = goes
					err := m.scenario()
					if err == nil {
						if goes < 30 {
							t.Fatalf("the scenario has %d steps", goes)
						}
						break
					}
					if !errors.Is(err, errPower) {
						t.Fatalf("step %d: %v", goes, err)
					}
					m.crash()
					m.power.goes = 1 + m.r.IntN(8)
					if m.start() != nil {
						m.crash()
						m.power.goes = 0
						if err := m.start(); err != nil {
							t.Fatal(err)
						}
					}
					m.power.goes = 0
					m.check()
					if err := errors.Join(m.settle(), m.sequenceAscends(), m.createOrgKey()); err != nil {
						t.Fatal(err)
					}
					m.check()
				}
			}
		})
	}
}

// The same for lives that nobody wrote down, with several crashes in each.
func TestAnyLifeWithCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(rt, rapid.SampledFrom([]int{64, 512, 4096}).Draw(rt, "sector"), rapid.Uint64().Draw(rt, "seed"))
		for range rapid.IntRange(1, 5).Draw(rt, "crashes") {
			m.power.goes = rapid.IntRange(1, 40).Draw(rt, "power goes at")
			err := m.start()
			for err == nil {
				m.check()
				switch rapid.IntRange(0, 9).Draw(rt, "step") {
				case 0:
					err = m.createOrgKey()
				case 1, 2, 3:
					err = m.erase()
				case 4:
					if err = m.store.Close(); err == nil {
						err = m.start()
					}
				case 5:
					err = m.settle()
				case 6:
					err = m.sequenceAscends()
				default:
					err = m.create()
				}
			}
			if !errors.Is(err, errPower) {
				rt.Fatalf("%v", err)
			}
			m.crash()
		}
		if err := m.start(); err != nil {
			rt.Fatalf("%v", err)
		}
		m.check()
	})
}

// Invariant 3: after a failed fsync nothing is written any more, whichever
// write met it, and reads go on. What the next process finds is on the disk,
// although the kernel called the pages clean.
func TestAFailedSyncIsFinal(t *testing.T) {
	erased, kept, other := fmt.Sprintf("%032x", 1), fmt.Sprintf("%032x", 2), fmt.Sprintf("%032x", 3)
	writes := []struct {
		name string
		do   func(*Store) error
	}{
		{"erase", func(s *Store) error { return s.EraseSecretKey(noContext(), erased) }},
		{"create", func(s *Store) error { return s.CreateSecretKey(noContext(), other, record()) }},
		{"org key", func(s *Store) error {
			return s.CreateOrgKey(noContext(), testOrg, "k2", bytes.Repeat([]byte("k2"), 200))
		}},
		{"erase what is not there", func(s *Store) error { return s.EraseSecretKey(noContext(), fmt.Sprintf("%032x", 98)) }},
		{"erase torn", func(s *Store) error { return s.EraseTorn(noContext()) }},
	}
	for _, first := range writes[:3] {
		t.Run(first.name, func(t *testing.T) {
			m := newMachine(t, 512, 1)
			if err := errors.Join(m.start(), m.create(), m.create(), m.createOrgKey()); err != nil {
				t.Fatal(err)
			}
			m.keys.broken, m.orgs.broken = true, true
			if err := first.do(m.store); !errors.Is(err, ErrFailed) {
				t.Errorf("on a broken disk: %v", err)
			}
			m.keys.broken, m.orgs.broken = false, false // The process does not believe it.
			for _, w := range writes {
				if err := w.do(m.store); !errors.Is(err, ErrFailed) || !errors.Is(err, kms.ErrUnavailable) {
					t.Errorf("%s afterwards: %v", w.name, err)
				}
			}
			if _, err := m.store.SecretKey(noContext(), kept); err != nil {
				t.Errorf("reading: %v", err)
			}
			if !errors.Is(m.store.Problem(), ErrFailed) {
				t.Error("no problem is reported")
			}
			if err := m.store.Close(); err != nil {
				t.Fatal(err)
			}

			// The process ends; the machine goes on with its page cache.
			if err := m.start(); err != nil {
				t.Fatal(err)
			}
			_, foundOther := m.store.SecretKey(noContext(), other)
			orgKeys := len(m.store.orgs.of(testOrg))
			if err := m.store.EraseSecretKey(noContext(), erased); err != nil {
				t.Fatal(err)
			}
			rec := m.there[erased]
			m.crash()
			if bytes.Contains(m.keys.durable, rec[40:60]) {
				t.Error("the erased key is on the disk")
			}
			if err := m.start(); err != nil {
				t.Fatal(err)
			}
			if _, err := m.store.SecretKey(noContext(), kept); err != nil {
				t.Errorf("the other key: %v", err)
			}
			if _, err := m.store.SecretKey(noContext(), other); (err == nil) != (foundOther == nil) || len(m.store.orgs.of(testOrg)) != orgKeys {
				t.Errorf("a key that the process before found: %v, %v", foundOther, err)
			}
		})
	}
}

// A write that fails, as on a full disk, is an error of its caller alone, and
// may be tried again once there is room. What it left is torn.
func TestAFailedWriteIsNotFinal(t *testing.T) {
	m := newMachine(t, 64, 1)
	m.o.reserve = 100
	if err := errors.Join(m.start(), m.create(), m.create(), m.create(), m.createOrgKey()); err != nil {
		t.Fatal(err)
	}
	erased := slices.Sorted(maps.Keys(m.there))[0]
	fail := func(full bool) { m.keys.full, m.orgs.full = full, full }
	for _, w := range []struct {
		name string
		do   func() error
	}{
		{"growing", m.create}, // all three slots are taken
		{"erasing", func() error { return m.store.EraseSecretKey(noContext(), erased) }},
		{"org key", func() error { return m.store.CreateOrgKey(noContext(), testOrg, "k2", bytes.Repeat([]byte("k2"), 200)) }},
	} {
		fail(true)
		for range 2 {
			if err := w.do(); !errors.Is(err, errFull) {
				t.Errorf("%s: %v", w.name, err)
			}
		}
		fail(false)
		if err := w.do(); err != nil {
			t.Errorf("%s again: %v", w.name, err)
		}
		if w.name == "growing" { // into a slot that is there
			fail(true)
			if err := m.create(); !errors.Is(err, errFull) {
				t.Errorf("creating: %v", err)
			}
			fail(false)
			if err := m.create(); err != nil || len(m.store.Torn()) != 1 {
				t.Errorf("creating again: %v, torn %v", err, m.store.Torn())
			}
		}
	}
	m.gone = append(m.gone, m.there[erased])
	delete(m.there, erased)
	m.orgKeys = append(m.orgKeys, "k2")
	m.check()
	for id := range m.doubtful { // none of them is there
		if _, err := m.store.SecretKey(noContext(), id); !errors.Is(err, kms.ErrKeyNotFound) {
			t.Errorf("key %s: %v", id, err)
		}
	}
	if err := errors.Join(m.settle(), m.store.Close(), m.start()); err != nil {
		t.Fatal(err)
	}
	m.check()
	if err := m.store.Problem(); err != nil || len(m.store.Torn()) != 0 || len(m.store.TornOrgKeys()) != 0 {
		t.Errorf("%v, torn %v, %v", err, m.store.Torn(), m.store.TornOrgKeys())
	}
}

// Invariant 2 at the end of a file that a crash cut off in the middle of a slot
// while it grew: no byte of the key that was never acknowledged is left there.
func TestAFileCutInTheMiddleOfASlot(t *testing.T) {
	m := newMachine(t, 64, 1)
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	if err := m.create(); err != nil {
		t.Fatal(err)
	}
	rec := record()
	cut := slices.Concat(m.keys.durable, slot{sequence: 9, kek: domain.KekID{9}, record: rec}.encode()[:192])
	m.crash()
	m.keys = newDisk(m.power, 64, cut)
	if err := m.start(); err != nil {
		t.Fatal(err)
	}
	m.check()
	if err := m.store.EraseSecretKey(noContext(), domain.KekID{9}.String()); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(m.keys.durable, rec[:100]) {
		t.Error("bytes of a key are left behind the last slot")
	}
}
