package kms_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

func TestMintsOfOnePathShareAKeyForAWindow(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	first := w.mint(k, alice, r, "a")
	w.wait(15 * time.Minute)
	if m := w.mint(k, alice, r, "b"); m.KekID != first.KekID {
		t.Error("another key within the window")
	}
	if m := w.mint(k, bob, r, "b"); m.KekID == first.KekID {
		t.Error("another agent got the same key")
	}
	if m := w.mint(k, alice, ref("db2"), "b"); m.KekID == first.KekID {
		t.Error("another path got the same key")
	}
	w.wait(time.Millisecond)
	// The window is counted from the hand-out, not from the last use.
	if m := w.mint(k, alice, r, "c"); m.KekID == first.KekID {
		t.Error("the same key after the window")
	}
}

// Concurrent mints of one agent for one path all get one key, and the keys
// that were made in vain go to the pool.
func TestConcurrentMintsAgree(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	if err := k.OrgReady(t.Context(), org); err != nil {
		t.Fatal(err)
	}
	var minted [16]kms.Minted
	var all, wg sync.WaitGroup
	all.Add(len(minted))
	w.store.SetFault(func(op kmstest.Op, _ string) (bool, error) {
		if op == kmstest.OpCreateSecretKey {
			all.Done()
			all.Wait() // Nobody is served before everybody has asked.
		}
		return true, nil
	})
	for i := range minted {
		wg.Go(func() {
			m, err := k.Mint(t.Context(), kms.MintRequest{Ref: ref("db"), Field: domain.FieldKey(fmt.Sprintf("f%d", i)), Agent: alice})
			if err != nil {
				t.Error(err)
			}
			minted[i] = m
		})
	}
	wg.Wait()
	var fields []domain.Field
	for i, m := range minted {
		if m.KekID != minted[0].KekID {
			t.Fatal("two keys for one path")
		}
		fields = append(fields, encrypted(domain.FieldKey(fmt.Sprintf("f%d", i)), m.Ciphertext))
	}
	if s := k.Stats(); s.Pooled != len(minted)-1 || s.OpenMints != 1 {
		t.Errorf("%+v", s)
	}
	w.create(k, alice, ref("db"), fields...)
	if s := k.Stats(); s.OpenMints != 0 {
		t.Errorf("%d open mints after the create", s.OpenMints)
	}
}

// The claim counts from when the projection has it, not from when the
// follower tells of it.
func TestAHandedOutKeyThatWasClaimedIsNotMintedUnder(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	w.nodes = nil // Nobody is told.
	m := w.mint(k, alice, r, "f")
	w.create(k, alice, r, encrypted("f", m.Ciphertext))
	if err := w.record(r, domain.SecretDeleted{KekIDs: []domain.KekID{m.KekID}}); err != nil {
		t.Fatal(err)
	}
	if next := w.mint(k, alice, r, "f"); next.KekID == m.KekID {
		t.Fatal("minted under a key that is claimed")
	}
}

// Invariant 7: a flood is refused with its 1,001st secret, costs no key then,
// leaves others alone and passes with the window.
func TestMintFlood(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	for i := range 1000 {
		w.mint(k, alice, ref(fmt.Sprintf("s%d", i)), "f")
	}
	w.wait(time.Minute)
	keys := len(w.stored())
	for i := range 200 {
		_, err := k.Mint(t.Context(), kms.MintRequest{Ref: ref(fmt.Sprintf("t%d", i)), Field: "f", Agent: alice})
		var refused *domain.Error
		if !errors.As(err, &refused) || refused.Code != domain.CodeRateLimited || refused.RetryAfter != 14*time.Minute {
			t.Fatalf("mint for a secret too many: %v", err)
		}
	}
	if n := len(w.stored()); n != keys || k.Stats().OpenMints != 1000 {
		t.Fatalf("refused mints made %d keys; %d open", n-keys, k.Stats().OpenMints)
	}
	w.mint(k, alice, ref("s0"), "g") // An open one is still served,
	w.mint(k, bob, ref("t0"), "f")   // so are others,
	w.create(k, alice, ref("plain"), plain("p", "v"))
	w.create(k, alice, ref("s0"))
	w.mint(k, alice, ref("t0"), "f") // and a create makes room for one.
	_, err := k.Mint(t.Context(), kms.MintRequest{Ref: ref("t1"), Field: "f", Agent: alice})
	wantCode(t, "one too many again", err, domain.CodeRateLimited)
	w.wait(15 * time.Minute)
	w.mint(k, alice, ref("t1"), "f")
}

// Invariant 7: many agents together stay below the total, and what is
// forgotten still works.
func TestMintFloodOfManyAgents(t *testing.T) {
	w := newWorld(t)
	k := w.node(func(c *kms.Config) { c.OpenMints, c.CacheSize = 50, 20 })
	first := w.mint(k, bob, ref("db"), "f")
	for i := range 500 {
		agent := domain.AgentID(fmt.Sprintf("agt_01JB00000000000000000%05d", i))
		w.mint(k, agent, ref("db"), "f")
	}
	if s := k.Stats(); s.OpenMints > 50 || s.Cached > 20 {
		t.Fatalf("%d open mints, %d cached keys", s.OpenMints, s.Cached)
	}
	second := w.mint(k, bob, ref("db"), "g")
	if second.KekID == first.KekID {
		t.Fatal("the first mint was not forgotten")
	}
	w.create(k, bob, ref("db"), encrypted("f", first.Ciphertext), encrypted("g", second.Ciphertext))
}

func TestAnExpiredMintIsRefused(t *testing.T) {
	w := newWorld(t)
	k, r := w.node(), ref("db")
	m := w.mint(k, alice, r, "f")
	w.wait(kms.MaxDataKeyAge)
	create := domain.SecretCreated{Fields: []domain.Field{encrypted("f", m.Ciphertext)}}
	if _, err := w.write(k, alice, r, create); err != nil {
		t.Fatalf("at its last moment: %v", err)
	}
	w.wait(time.Millisecond)
	_, err := w.write(k, alice, r, create)
	wantCode(t, "a moment later", err, domain.CodeDataKeyMismatch)
}

// A mint of one node is good on another, before and after the create.
func TestMintsWorkOnEveryNode(t *testing.T) {
	w := newWorld(t)
	a, b, r := w.node(), w.node(), ref("db")
	m := w.mint(a, alice, r, "f")
	if _, err := w.release(b, alice, r, "f", m.Ciphertext); err != nil {
		t.Fatal(err)
	}
	w.create(b, alice, r, encrypted("f", m.Ciphertext))
	for _, k := range []*kms.Keyring{a, b} {
		if _, err := w.release(k, bob, r, "f", m.Ciphertext); err != nil {
			t.Error(err)
		}
	}
	if s := a.Stats(); s.OpenMints != 0 {
		t.Errorf("%d open mints on the node that made the key", s.OpenMints)
	}
}

func TestAMintNeedsAnAgent(t *testing.T) {
	w := newWorld(t)
	k := w.node()
	for _, agent := range []domain.AgentID{"", "agt_", "agt_x", "01JB0000000000000000000000x"} {
		if _, err := k.Mint(t.Context(), kms.MintRequest{Ref: ref("db"), Field: "f", Agent: agent}); domain.CodeOf(err) != domain.CodeInternal {
			t.Errorf("agent %q: %v", agent, err)
		}
	}
}
