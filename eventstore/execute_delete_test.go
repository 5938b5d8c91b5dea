package eventstore_test

import (
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

// unopenable demands that no value which the log holds of a secret can be
// opened, on any node, by anybody.
func unopenable(w *world, ref domain.SecretRef, events []domain.Recorded) {
	w.Helper()
	fields := values(events)
	if len(fields) == 0 {
		w.Fatal("there is nothing to open")
	}
	for _, n := range w.nodes {
		if !n.running {
			continue
		}
		for _, f := range fields {
			switch v := f.Value.(type) {
			case domain.Sealed:
				if _, err := n.ring.Open(n.as(alice).ctx, ref, []domain.Field{{Key: f.Key, Value: v}}); err == nil {
					w.Errorf("field %s opens", f.Key)
				}
			case domain.Envelope:
				for _, agent := range []domain.AgentID{alice, bob} {
					_, err := n.as(agent).reveal(ref, f.Key, v)
					wantCode(w, err, domain.CodeDataKeyMismatch)
				}
			case domain.Plaintext:
				w.Errorf("field %s lies open in the log", f.Key)
			}
		}
	}
}

// TestDeleteDestroys: when DELETE answers, the keys are gone from the store
// and no value that the secret ever had can be opened, on another node
// neither; nor when it is made again, under a new key.
func TestDeleteDestroys(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		n, other, ref := w.node(), w.node(), secretRef("s")
		c := n.as(alice)
		made := c.do(ref, create(plain("p", "one"), c.encrypted(ref, "e", "two")))
		c.do(ref, set(plain("p", "three")))
		c.do(ref, set(c.encrypted(ref, "e", "four")))
		c.do(ref, domain.RemoveField{Key: "p"})
		other.caughtUp()
		other.opened(ref) // which loads the key
		if value, err := other.as(bob).reveal(ref, "e", to[domain.Envelope](other.opened(ref).Fields[0].Value)); err != nil || value != "four" {
			t.Fatalf("%q, %v", value, err)
		}
		told := n.deleted.Load()
		n.seams.once(destroying, func() {
			if n.opened(ref).Exists {
				t.Error("the keys are destroyed before the secret is deleted")
			}
		})
		res := c.do(ref, domain.DeleteSecret{})
		if !res.KeyDestroyed || w.stored(made.Secret.KekIDs[0]) || n.deleted.Load() != told+1 {
			t.Errorf("%+v", res)
		}
		life := w.stream(stream(ref))
		other.caughtUp()
		unopenable(w, ref, life)
		again := c.do(ref, create(plain("p", "five"), c.encrypted(ref, "e", "six")))
		if again.Version != res.Version+1 || again.Secret.KekIDs[0] == made.Secret.KekIDs[0] {
			t.Errorf("made again: %+v", again)
		}
		other.caughtUp()
		unopenable(w, ref, life)
		if value, err := other.as(bob).reveal(ref, "e", to[domain.Envelope](other.opened(ref).Fields[0].Value)); err != nil || value != "six" {
			t.Errorf("%q, %v", value, err)
		}
	})
}

// TestDestroyFails: a secret whose keys can't be erased now is deleted all the
// same, says so, and erases them when it is asked again; the deletion is not
// recorded as a destruction before that.
func TestDestroyFails(t *testing.T) {
	for name, applied := range map[string]bool{"nothing erased": false, "erased, answer lost": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n, ref := w.node(), secretRef("s")
			c := n.as(alice).with("k")
			made := c.do(ref, create(plain("p", "x")))
			w.faulty.SetFault(func(op kmstest.Op, _ string) (bool, error) {
				if op == kmstest.OpEraseSecretKey {
					return applied, errLost
				}
				return true, nil
			})
			res := c.do(ref, domain.DeleteSecret{})
			if res.KeyDestroyed || res.Event != domain.TypeSecretDeleted || n.opened(ref).Exists || n.deleted.Load() != 1 {
				t.Errorf("%+v", res)
			}
			n.as(bob).refused(ref, set(plain("p", "y")), domain.CodeSecretNotFound)
			if again := c.do(ref, domain.DeleteSecret{}); again.KeyDestroyed || again.Position != res.Position {
				t.Errorf("again: %+v", again)
			}
			if err := n.reconciler.Reconcile(w.ctx); err == nil {
				t.Error("the reconciler says that it is done")
			}
			same(t, "the log", []domain.EventType{domain.TypeSecretCreated, domain.TypeSecretDeleted}, types(w.events()))
			w.faulty.SetFault(nil)
			if again := c.do(ref, domain.DeleteSecret{}); !again.KeyDestroyed || again.Position != res.Position || w.stored(made.Secret.KekIDs[0]) {
				t.Errorf("at last: %+v", again)
			}
			unopenable(w, ref, w.stream(stream(ref)))
			if err := n.reconciler.Reconcile(w.ctx); err != nil {
				t.Fatal(err)
			}
			same(t, "the destruction", domain.Event(domain.KeyDestroyed{Ref: ref, KekIDs: made.Secret.KekIDs}), w.events()[2].Event)
		})
	}
}

// TestDeleteUnknown: a deletion whose outcome is unknown destroys no key: the
// secret may be alive. If it was stored, the reconciler finishes it.
func TestDeleteUnknown(t *testing.T) {
	for _, stored := range []bool{true, false} {
		w := newWorld(t)
		n, ref := w.node(), secretRef("s")
		made := n.as(alice).do(ref, create(plain("p", "x")))
		w.faults(on(domain.TypeSecretDeleted, always(stored, errLost)))
		if stored {
			w.faults(on(domain.TypeSecretDeleted, attempt(true, eventstore.ErrUncertain)))
		}
		_, err := n.as(alice).try(ref, domain.DeleteSecret{})
		wantCode(t, err, domain.CodeOutcomeUnknown)
		w.faults(nil)
		if !w.stored(made.Secret.KekIDs[0]) {
			t.Errorf("stored %v: the key is destroyed", stored)
		}
		n.caughtUp()
		if err := n.reconciler.Reconcile(w.ctx); err != nil {
			t.Fatal(err)
		}
		if w.stored(made.Secret.KekIDs[0]) == stored || n.opened(ref).Exists == stored {
			t.Errorf("stored %v: secret %v", stored, n.opened(ref).Exists)
		}
	}
}
