package eventstore_test

import (
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestNothingFollowsFromWhatIsNotDurable: while the sync of a deletion is held
// no node shows it, nobody erases its keys, and a rival who lost to it is not
// answered. Released, the rival is decided anew by what is durable then.
func TestNothingFollowsFromWhatIsNotDurable(t *testing.T) {
	w := newWorld(t)
	nodes, ref := []*node{w.node(), w.node()}, secretRef("s")
	kek := nodes[0].as(alice).do(ref, create(plain("p", "x"))).Secret.KekIDs[0]
	for _, n := range nodes {
		n.caughtUp()
	}
	held, lost := make(chan struct{}), make(chan struct{})
	release, looked := sync.OnceFunc(func() { close(held) }), sync.OnceFunc(func() { close(lost) })
	defer release()
	w.faults(func(op eventstore.Op) (bool, error) {
		switch op.Kind {
		case eventstore.OpSync:
			<-held
		case eventstore.OpLookUp:
			looked()
		case eventstore.OpAppend, eventstore.OpBootstrap:
		}
		return true, nil
	})
	var running sync.WaitGroup
	running.Go(func() {
		if res := nodes[0].as(alice).do(ref, domain.DeleteSecret{}); !res.KeyDestroyed {
			t.Error("the key was left")
		}
	})
	for stored := uint64(0); stored < 2; {
		status, err := w.log.Status(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		stored = status.Stored
	}
	running.Go(func() {
		_, err := nodes[1].as(alice).try(ref, set(plain("p", "y")))
		select {
		case <-held:
		default:
			t.Error("the rival was answered before the deletion is durable")
		}
		wantCode(t, err, domain.CodeSecretNotFound)
	})
	<-lost
	for i, n := range nodes {
		if err := n.reconciler.Reconcile(w.ctx); err != nil {
			t.Error(err)
		}
		if at := n.state.Position(); at != 1 || !n.opened(ref).Exists || !w.stored(kek) {
			t.Errorf("node %d is at %d, its secret there %v, its key there %v", i, at, n.opened(ref).Exists, w.stored(kek))
		}
	}
	release()
	running.Wait()
	for _, n := range nodes {
		n.caughtUp()
		if n.opened(ref).Exists || w.stored(kek) {
			t.Error("the secret or its key is still there")
		}
	}
	if err := nodes[1].reconciler.Reconcile(w.ctx); err != nil {
		t.Error(err)
	}
}
