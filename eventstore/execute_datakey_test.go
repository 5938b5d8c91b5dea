package eventstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// TestRivalMinters: two agents mint before the secret exists and both create
// it. One wins; the loser's data key opens nothing, neither its own envelope
// nor as a later field of the secret that is there.
func TestRivalMinters(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		callers, ref := []caller{w.node().as(alice), w.node().as(bob)}, secretRef("s")
		fields, errs := make([]domain.Field, 2), make([]error, 2)
		for i, c := range callers {
			fields[i] = c.encrypted(ref, "e", string(c.agent))
			if value, err := c.reveal(ref, "e", to[domain.Envelope](fields[i].Value)); err != nil || value != string(c.agent) {
				t.Fatalf("before: %q, %v", value, err)
			}
		}
		var wg sync.WaitGroup
		for i, c := range callers {
			wg.Go(func() { _, errs[i] = c.try(ref, create(fields[i])) })
		}
		wg.Wait()
		won, lost := 0, 1
		if errs[0] != nil {
			won, lost = 1, 0
		}
		if errs[won] != nil {
			t.Fatal(errs)
		}
		wantCode(t, errs[lost], domain.CodeSecretExists)
		for _, c := range callers {
			c.caughtUp()
			if value, err := c.reveal(ref, "e", to[domain.Envelope](fields[won].Value)); err != nil || value != string(callers[won].agent) {
				t.Errorf("the winner's: %q, %v", value, err)
			}
			_, err := c.reveal(ref, "e", to[domain.Envelope](fields[lost].Value))
			wantCode(t, err, domain.CodeDataKeyMismatch)
			c.refused(ref, set(fields[lost]), domain.CodeDataKeyMismatch)
		}
	})
}

// TestDataKeyRace: one data key in two different envelopes, set at the same
// time on two nodes, or by one request between any two steps of the other:
// one is stored, the other is data_key_reused.
func TestDataKeyRace(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		nodes, ref := []*node{w.node(), w.node()}, secretRef("s")
		nodes[0].as(alice).do(ref, create())
		nodes[1].caughtUp()
		twins := func() [2]domain.Field {
			e := nodes[0].as(alice).envelope(ref, "e", "one")
			other := e
			other.Ciphertext = append([]byte("2"), e.Ciphertext...)
			return [2]domain.Field{{Key: "e", Value: e}, {Key: "e", Value: other}}
		}
		for range 4 {
			fields, errs, before := twins(), [2]error{}, len(w.events())
			var wg sync.WaitGroup
			for i := range fields {
				wg.Go(func() { _, errs[i] = nodes[i].as(alice).try(ref, set(fields[i])) })
			}
			wg.Wait()
			won, lost := 0, 1
			if errs[0] != nil {
				won, lost = 1, 0
			}
			if errs[won] != nil {
				t.Fatal(errs)
			}
			wantCode(t, errs[lost], domain.CodeDataKeyReused)
			same(t, "stored", before+1, len(w.events()))
			nodes[0].caughtUp()
			f := nodes[0].opened(ref).Fields[0]
			if !cmp.Equal(f.Value, fields[won].Value) {
				t.Error("the field holds the loser's envelope")
			}
			nodes[1].caughtUp()
		}
		for _, p := range []place{loaded, sealing, appending} {
			fields := twins()
			nodes[0].seams.once(p, func() { nodes[0].as(bob).do(ref, set(fields[0])) })
			_, err := nodes[0].as(alice).try(ref, set(fields[1]))
			nodes[0].seams.at(p, nil)
			wantCode(t, err, domain.CodeDataKeyReused)
		}
	})
}

// TestClaims: a create claims exactly the keys that its envelopes name, else
// the one that was handed out to the caller for this path; a key that was
// claimed once makes no other incarnation.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	n, other, ref := w.node(), w.node(), secretRef("s")
	c, elsewhere := n.as(alice), other.as(alice)

	first := c.encrypted(ref, "e", "one")
	spare := c.encrypted(ref, "e", "spare") // the same key, another data key
	second := elsewhere.encrypted(ref, "f", "two")
	made := c.do(ref, create(plain("p", "x"), second, first))
	if len(made.Secret.KekIDs) != 2 {
		t.Fatalf("claimed %v", made.Secret.KekIDs)
	}
	sealed, _ := values(w.events())[2].Value.(domain.Sealed)
	same(t, "the key of plaintexts", made.Secret.KekIDs[0], sealed.KekID)
	other.caughtUp()
	for _, c := range []caller{c, elsewhere} {
		for key, want := range map[domain.FieldKey]string{"e": "one", "f": "two"} {
			f, _ := made.Secret.Field(key)
			if value, err := c.reveal(ref, key, to[domain.Envelope](f.Value)); err != nil || value != want {
				t.Errorf("%s: %q, %v", key, value, err)
			}
		}
	}
	c.do(ref, set(spare)) // still one of the secret's own keys
	deleted := c.do(ref, domain.DeleteSecret{})
	if !deleted.KeyDestroyed || w.stored(made.Secret.KekIDs[0]) || w.stored(made.Secret.KekIDs[1]) {
		t.Errorf("%+v", deleted)
	}
	other.caughtUp()
	for _, old := range []domain.Field{first, second, spare} {
		c.refused(ref, create(old), domain.CodeDataKeyMismatch)
		elsewhere.refused(ref, create(old), domain.CodeDataKeyMismatch)
	}

	// Minted for, then created without envelopes: the handed out key is it.
	minted := c.encrypted(ref, "e", "three")
	again := c.do(ref, create(plain("p", "y")))
	c.do(ref, set(minted))
	same(t, "version", made.Version+4, c.opened(ref).Version)
	if len(again.Secret.KekIDs) != 1 {
		t.Errorf("claimed %v", again.Secret.KekIDs)
	}
	// Bob's hand-out is not alice's.
	bobs := n.as(bob).encrypted(secretRef("t"), "e", "four")
	c.do(secretRef("t"), create(plain("p", "y")))
	n.as(bob).refused(secretRef("t"), set(bobs), domain.CodeDataKeyMismatch)
}

// TestClaimedBefore: a key that is claimed and not yet destroyed makes no
// other incarnation either, nor does one that is gone while its claim is
// decided.
func TestClaimedBefore(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	c := n.as(alice)
	first, spare := c.encrypted(ref, "e", "one"), c.encrypted(ref, "e", "two")
	n.seams.at(destroying, func() error { return errCrash })
	c.do(ref, create(first))
	c.do(ref, domain.DeleteSecret{})
	if len(w.events()) != 2 || !w.stored(to[domain.SecretCreated](w.events()[0].Event).KekIDs[0]) {
		t.Fatal("the key should be left")
	}
	c.refused(ref, create(first), domain.CodeDataKeyMismatch)
	c.refused(ref, create(spare), domain.CodeDataKeyMismatch)
	n.seams.at(destroying, nil)
	if err := n.reconciler.Reconcile(w.ctx); err != nil {
		t.Fatal(err)
	}
	c.refused(ref, create(spare), domain.CodeDataKeyMismatch)

	// Created and deleted by others between the steps of this create.
	for _, p := range []place{loaded, sealing, appending} {
		ref := secretRef(domain.SecretID(p[:4]))
		mine := c.encrypted(ref, "e", "mine")
		n.seams.once(p, func() {
			c.do(ref, create(plain("p", "x"))) // claims the key of mine
			c.do(ref, domain.DeleteSecret{})
		})
		_, err := c.try(ref, create(mine))
		n.seams.at(p, nil)
		wantCode(t, err, domain.CodeDataKeyMismatch)
		same(t, string(p), 2, len(w.stream(stream(ref))))
	}
}

// TestFailedCreate: a create that stored nothing claims nothing, and the data
// keys that it used serve another attempt until they are too old.
func TestFailedCreate(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	c := n.as(alice)
	e := c.encrypted(ref, "e", "x")
	w.faults(on(domain.TypeSecretCreated, always(false, errLost)))
	c.refused(ref, create(e), domain.CodeOutcomeUnknown)
	w.faults(nil)
	w.wait(15*time.Minute + time.Millisecond)
	c.refused(ref, create(e), domain.CodeDataKeyMismatch)
	w.wait(-time.Millisecond)
	if res := c.do(ref, create(e)); res.Version != 1 {
		t.Errorf("%+v", res)
	}
}
