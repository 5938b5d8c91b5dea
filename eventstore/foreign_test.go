package eventstore_test

import (
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestWritesBehindForeign: a proven foreign message on a subject locks nobody
// out. Commands on that stream go on behind it as if it were not there, with
// dense versions; a request repeated across it is still the same one; and the
// keys of a deleted secret are still destroyed and recorded as such.
func TestWritesBehindForeign(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	c := founded(n)
	log, ok := w.log.(*eventstore.Memory)
	if !ok {
		t.Fatalf("the log is a %T", w.log)
	}
	intrude := func(streams ...domain.Stream) {
		for _, s := range streams {
			log.Intrude(domain.SubjectPrefix+s.Subject(), []byte("no event"), true)
		}
		n.caughtUp()
	}
	directory, keys := domain.DirectoryStream{Org: home}, domain.KeysStream{Org: home}

	intrude(stream(ref), directory, keys)
	created := c.with("create").do(ref, create(plain("p", "one"), c.encrypted(ref, "e", "two")))
	issued := c.with("issue").direct(home, issue(1))
	intrude(stream(ref), directory)
	set1 := c.with("set").do(ref, set(plain("p", "three")))
	c.with("rename").direct(home, domain.RenameScope{Scope: teamScope, Name: "Other"})
	intrude(stream(ref), directory)
	revoked := c.direct(home, domain.RevokeKey{ID: issue(1).ID, Agent: alice})
	if created.Version != 1 || set1.Version != 2 || issued.Position == 0 || revoked.Position == 0 {
		t.Errorf("created %d, set %d, issued at %d, revoked at %d", created.Version, set1.Version, issued.Position, revoked.Position)
	}

	w.unchanged(func() {
		if again := c.with("set").do(ref, set(plain("p", "three"))); !again.Replayed || again.Version != set1.Version || again.Position != set1.Position {
			t.Errorf("repeated: %+v", again)
		}
		again := c.with("rename").direct(home, domain.RenameScope{Scope: teamScope, Name: "Other"})
		if !again.Replayed {
			t.Errorf("repeated: %+v", again)
		}
	})
	c.with("issue").refusedDirectory(home, issue(1), domain.CodeKeyAlreadyIssued)
	c.with("set").refused(ref, set(plain("p", "four")), domain.CodeIdempotencyKeyReused)

	deleted := c.do(ref, domain.DeleteSecret{})
	intrude(stream(ref), keys)
	if err := n.reconciler.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pending, err := n.state.PendingDestructions(1); err != nil || len(pending) != 0 {
		t.Errorf("pending %v, %v", pending, err)
	}
	if again := c.do(ref, create(plain("p", "five"))); deleted.Version != 3 || again.Version != 4 {
		t.Errorf("deleted %d, made again %d", deleted.Version, again.Version)
	}
}
