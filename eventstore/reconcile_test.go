package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms/kmstest"
)

// orphans makes secrets and deletes them by a node that ends before it erases
// their keys. They are of two organizations.
func orphans(n *node, count int) (keys []domain.KeyDestroyed) {
	n.w.Helper()
	n.seams.at(destroying, func() error { return errCrash })
	for i := range count {
		ref := secretRef(domain.SecretID(fmt.Sprint("orphan-", i)))
		if i%3 == 2 {
			ref.Org = "org_01JD3Z8Q7G00000000000000A2"
		}
		res := n.as(alice).do(ref, create(plain("p", "x")))
		keys = append(keys, domain.KeyDestroyed{Ref: ref, KekIDs: res.Secret.KekIDs})
		if res := n.as(alice).do(ref, domain.DeleteSecret{}); res.KeyDestroyed {
			n.w.Fatal("the key should be left")
		}
	}
	n.seams.at(destroying, nil)
	return keys
}

// finished demands that every key is gone and its destruction recorded, by the
// reconciler, exactly once.
func finished(w *world, orphans []domain.KeyDestroyed) {
	w.Helper()
	recorded := map[domain.SecretRef]int{}
	for _, r := range w.events() {
		e, ok := r.Event.(domain.KeyDestroyed)
		if !ok {
			continue
		}
		recorded[e.Ref]++
		same(w, "the actor", domain.Actor{Kind: domain.ActorSystem, ID: "reconciler"}, r.Actor)
		same(w, "the stream", domain.Stream(domain.KeysStream{Org: e.Ref.Org}), r.Stream)
		if !slices.ContainsFunc(orphans, func(o domain.KeyDestroyed) bool { return o.Ref == e.Ref && slices.Equal(o.KekIDs, e.KekIDs) }) {
			w.Errorf("position %d is about no orphan", r.Position)
		}
	}
	for _, o := range orphans {
		if recorded[o.Ref] != 1 || w.stored(o.KekIDs[0]) {
			w.Errorf("%s: recorded %d times, key there %v", o.Ref.ID, recorded[o.Ref], w.stored(o.KekIDs[0]))
		}
		unopenable(w, o.Ref, w.stream(stream(o.Ref)))
	}
}

// TestReconcileAfterCrash: the process ended between secret.deleted and the
// erasure. The next one, over the same log and keys, erases and records it
// once; reconciling again does nothing.
func TestReconcileAfterCrash(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		left := orphans(w.node(), 5)
		for _, o := range left {
			if !w.stored(o.KekIDs[0]) {
				t.Fatal("the key should be left")
			}
		}
		if w.restart != nil {
			w.restart()
		}
		n := w.node()
		for range 2 {
			if err := n.reconciler.Reconcile(w.ctx); err != nil {
				t.Fatal(err)
			}
			finished(w, left)
		}
		w.unchanged(func() {
			if err := w.node().reconciler.Reconcile(w.ctx); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestReconcileCrashes: the process ends at each step of reconciling; the
// next one finishes, and nothing is recorded twice.
func TestReconcileCrashes(t *testing.T) {
	for _, p := range []place{pendingRead, destroying, headRead, appending, appended, awaiting} {
		t.Run(string(p), func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			left := orphans(n, 3)
			n.seams.at(p, func() error { return errCrash })
			if err := n.reconciler.Reconcile(w.ctx); !errors.Is(err, errCrash) {
				t.Fatalf("got %v", err)
			}
			n.seams.at(p, nil)
			n.halt()
			if err := w.node().reconciler.Reconcile(w.ctx); err != nil {
				t.Fatal(err)
			}
			finished(w, left)
		})
	}
}

// TestReconcilersAtOnce: two nodes reconcile the same deletions at the same
// time, and while secrets are deleted. Each destruction is recorded once.
func TestReconcilersAtOnce(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		nodes := []*node{w.node(), w.node()}
		left := orphans(nodes[0], 12)
		nodes[1].caughtUp()
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = nodes[i%2].reconciler.Reconcile(w.ctx) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		finished(w, left)
	})
}

// TestReconcilerBetween: another node reconciles everything between any two
// steps of this one, whose list of pending destructions is then old.
func TestReconcilerBetween(t *testing.T) {
	for _, p := range []place{pendingRead, destroying, headRead, appending} {
		for _, seen := range []bool{true, false} {
			t.Run(fmt.Sprint(p, ", seen ", seen), func(t *testing.T) {
				w := newWorld(t)
				n, other := w.node(), w.node()
				left := orphans(n, 4)
				other.caughtUp()
				n.seams.once(p, func() {
					if err := other.reconciler.Reconcile(w.ctx); err != nil {
						t.Error(err)
					}
					if seen {
						n.caughtUp()
					}
				})
				if err := n.reconciler.Reconcile(w.ctx); err != nil {
					t.Fatal(err)
				}
				finished(w, left)
			})
		}
	}
}

// TestReconcileOutcomes: what becomes of the append of key.destroyed and of
// its acknowledgement; reconciling again finishes, and records it once.
func TestReconcileOutcomes(t *testing.T) {
	for name, tt := range map[string]struct {
		fault func(int) (bool, error)
		want  error
	}{
		"stored, lost":            {attempt(true, errLost), nil},
		"not stored, lost":        {attempt(false, errLost), nil},
		"unavailable":             {attempt(false, eventstore.ErrUnavailable), eventstore.ErrUnavailable},
		"stored, not settled":     {attempt(true, eventstore.ErrUncertain), eventstore.ErrUncertain},
		"not stored, not settled": {attempt(false, eventstore.ErrUncertain), eventstore.ErrUncertain},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			left := orphans(n, 3)
			w.faults(on(domain.TypeKeyDestroyed, tt.fault))
			if err := n.reconciler.Reconcile(w.ctx); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v", err)
			}
			w.faults(nil)
			if err := n.reconciler.Reconcile(w.ctx); err != nil {
				t.Fatal(err)
			}
			finished(w, left)
		})
	}
}

// TestReconcileConflict: a node that lost the race and can't see what came
// first stops, instead of trying again and again what it can't know.
func TestReconcileConflict(t *testing.T) {
	w := newWorld(t)
	n, other := w.node(), w.node()
	left := orphans(n, 2)
	other.caughtUp()
	n.seams.at(awaiting, func() error { return context.DeadlineExceeded })
	n.seams.once(appending, func() {
		if err := other.reconciler.Reconcile(w.ctx); err != nil {
			t.Error(err)
		}
	})
	wantCode(t, n.reconciler.Reconcile(w.ctx), domain.CodeUnavailable)
	n.seams.at(awaiting, nil)
	if err := n.reconciler.Reconcile(w.ctx); err != nil {
		t.Fatal(err)
	}
	finished(w, left)
}

// TestReconcileWaits: no destruction is recorded while the keys can't be
// erased, nor by a node whose clock is behind.
func TestReconcileWaits(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	left := orphans(n, 2)
	w.unchanged(func() {
		w.faulty.SetFault(func(op kmstest.Op, _ string) (bool, error) { return op != kmstest.OpEraseSecretKey, errLost })
		if err := n.reconciler.Reconcile(w.ctx); !errors.Is(err, errLost) {
			t.Errorf("got %v", err)
		}
		w.faulty.SetFault(nil)
		w.wait(-6 * time.Second)
		wantCode(t, n.reconciler.Reconcile(w.ctx), domain.CodeUnavailable)
		w.wait(6 * time.Second)
	})
	if err := n.reconciler.Reconcile(w.ctx); err != nil {
		t.Fatal(err)
	}
	finished(w, left)
}

// TestReconcileGoesOn: a key that can't be erased does not keep other secrets'
// keys alive, and is not recorded as destroyed.
func TestReconcileGoesOn(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	left := orphans(n, 4)
	stuck := left[1]
	w.faulty.SetFault(func(op kmstest.Op, id string) (bool, error) {
		if op == kmstest.OpEraseSecretKey && id == stuck.KekIDs[0].String() {
			return false, errLost
		}
		return true, nil
	})
	if err := n.reconciler.Reconcile(w.ctx); !errors.Is(err, errLost) {
		t.Errorf("got %v", err)
	}
	pending, err := n.state.PendingDestructions(10)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "pending", []domain.KeyDestroyed{stuck}, pending)
	w.faulty.SetFault(nil)
	if err := n.reconciler.Reconcile(w.ctx); err != nil {
		t.Fatal(err)
	}
	finished(w, left)
}

// TestReconcilerRuns: Run finishes what is pending when it starts and what a
// delete wakes it for, goes on after a failure, and ends with its context.
func TestReconcilerRuns(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	left := orphans(n, 2)
	failed := make(chan struct{})
	var once sync.Once
	w.faulty.SetFault(func(op kmstest.Op, _ string) (bool, error) {
		if op == kmstest.OpEraseSecretKey {
			once.Do(func() { close(failed) })
			return false, errLost
		}
		return true, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.reconciler.Run(ctx) }()
	<-failed
	w.faulty.SetFault(nil)
	n.reconciler.Wake()
	n.reconciler.Wake() // never blocks
	destroyed(w, 2)
	ref := secretRef("another")
	res := n.as(alice).do(ref, create(plain("p", "x")))
	left = append(left, domain.KeyDestroyed{Ref: ref, KekIDs: res.Secret.KekIDs})
	n.as(alice).do(ref, domain.DeleteSecret{})
	destroyed(w, 3)
	cancel()
	<-done
	finished(w, left)
}

// destroyed waits for that many key.destroyed in the log, for less than the
// interval of a reconciler that nobody wakes.
func destroyed(w *world, count int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 25*time.Second)
	defer cancel()
	for r, err := range w.log.Follow(ctx, 0) {
		if err != nil {
			w.Fatal(err)
		}
		if _, ok := r.Event.(domain.KeyDestroyed); ok {
			count--
		}
		if count == 0 {
			return
		}
	}
	w.Fatal("the reconciler did not finish")
}
