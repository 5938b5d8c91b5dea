package eventstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// attempt makes a fault of what happens to the first sending.
func attempt(apply bool, err error) func(int) (bool, error) {
	return func(n int) (bool, error) {
		if n == 1 {
			return apply, err
		}
		return true, nil
	}
}

func always(apply bool, err error) func(int) (bool, error) {
	return func(int) (bool, error) { return apply, err }
}

// TestOutcomes: whatever becomes of an append and its acknowledgement, success
// means stored once, a failure means not stored, and outcome_unknown names the
// event that may be. Then the same request with its key finds out.
func TestOutcomes(t *testing.T) {
	commands := map[domain.EventType]domain.SecretCommand{
		domain.TypeSecretCreated: create(plain("p", "x")),
		domain.TypeFieldSet:      set(plain("p", "y")),
		domain.TypeFieldRemoved:  domain.RemoveField{Key: "p"},
		domain.TypeSecretRenamed: rename("Another"),
		domain.TypeSecretDeleted: domain.DeleteSecret{},
	}
	for name, tt := range map[string]struct {
		fault  func(int) (bool, error)
		code   domain.Code
		stored bool
	}{
		"stored, lost":             {attempt(true, errLost), "", true},
		"not stored, lost":         {attempt(false, errLost), "", true},
		"stored, always lost":      {always(true, errLost), "", true},
		"unavailable":              {attempt(false, eventstore.ErrUnavailable), domain.CodeUnavailable, false},
		"not stored, always lost":  {always(false, errLost), domain.CodeOutcomeUnknown, false},
		"stored, not settled":      {attempt(true, eventstore.ErrUncertain), domain.CodeOutcomeUnknown, true},
		"not stored, not settled":  {attempt(false, eventstore.ErrUncertain), domain.CodeOutcomeUnknown, false},
		"stored, lost, unreadable": {nil, domain.CodeOutcomeUnknown, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			for kind, command := range commands {
				ref := secretRef(domain.SecretID(kind[7:]))
				if kind != domain.TypeSecretCreated {
					n.as(alice).do(ref, create(plain("p", "x")))
				}
				before := len(w.stream(stream(ref)))
				fault := on(kind, tt.fault)
				if tt.fault == nil { // settling can neither send nor read
					fault = func(op eventstore.Op) (bool, error) { return true, errLost }
				}
				w.faults(fault)
				c := n.as(alice).with("key")
				res, err := c.try(ref, command)
				w.faults(nil)
				events := w.stream(stream(ref))
				if stored := len(events) - before; tt.stored != (stored == 1) || stored > 1 {
					t.Fatalf("%s: stored %d times, %v", kind, stored, err)
				}
				if domain.CodeOf(err) != tt.code {
					t.Fatalf("%s: %v, want %q", kind, err, tt.code)
				}
				if err != nil {
					retryable(t, err)
				}
				if tt.code == domain.CodeOutcomeUnknown {
					var refusal *domain.Error
					if !errors.As(err, &refusal) || len(refusal.EventID) != 26 || tt.stored && refusal.EventID != events[before].ID.String() {
						t.Errorf("%s: %v does not name the event", kind, err)
					}
				}
				// Found out by asking again, once the projection has the event.
				n.caughtUp()
				again := c.do(ref, command)
				events = w.stream(stream(ref))
				if len(events) != before+1 || again.Replayed != tt.stored {
					t.Errorf("%s: asked again: replayed %v, %d events", kind, again.Replayed, len(events)-before)
				}
				if r := events[before]; again.Position != r.Position || again.Version != r.Version || !again.At.Equal(r.At) || again.Event != kind ||
					err == nil && (res.Position != r.Position || res.Version != r.Version || !res.At.Equal(r.At) || res.Event != kind || res.Replayed) {
					t.Errorf("%s: answered %+v, then %+v", kind, res, again)
				}
				if kind == domain.TypeSecretDeleted && !again.KeyDestroyed {
					t.Error("the key was left")
				}
			}
		})
	}
}

// TestRivalAtTheAppend: a rival's event comes before or behind ours while the
// acknowledgement is lost. Both are stored, and each is answered for its own.
func TestRivalAtTheAppend(t *testing.T) {
	for name, tt := range map[string]struct {
		before bool // the rival's event
		err    error
		want   uint64 // version of ours
	}{
		"before":                {true, nil, 3},
		"before, answer lost":   {true, errLost, 3},
		"behind, answer lost":   {false, errLost, 2},
		"before, by a conflict": {true, eventstore.ErrConflict, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n, rival, ref := w.node(), w.node(), secretRef("s")
			n.as(alice).do(ref, create())
			rival.caughtUp()
			n.seams.once(appending, func() {
				w.faults(on(domain.TypeFieldSet, func(sent int) (bool, error) {
					// The rival passes once without faults, before our first
					// sending or between it and the second.
					if first := sent == 1; first == tt.before {
						w.faults(nil)
						rival.caughtUp()
						rival.as(bob).do(ref, rename("Rival's"))
					}
					if tt.before {
						return false, tt.err
					}
					if sent == 1 {
						return true, tt.err
					}
					return true, nil
				}))
			})
			res := n.as(alice).do(ref, set(plain("p", "mine")))
			if res.Version != tt.want || res.Event != domain.TypeFieldSet {
				t.Errorf("%+v", res)
			}
			same(t, "stored", 3, len(w.stream(stream(ref))))
			n.caughtUp()
			if s := n.opened(ref); s.Name != "Rival's" || len(s.Fields) != 1 || s.Version != 3 {
				t.Errorf("state %+v", s)
			}
		})
	}
}

// TestCallerGoesAway: a caller whose context ends before the append stores
// nothing; one whose context ends later changes nothing of the outcome.
func TestCallerGoesAway(t *testing.T) {
	for name, command := range map[string]domain.SecretCommand{"set": set(plain("p", "y")), "delete": domain.DeleteSecret{}} {
		for _, fault := range []func(int) (bool, error){nil, attempt(true, errLost), attempt(false, errLost)} {
			w := newWorld(t)
			n, ref := w.node(), secretRef("s")
			made := n.as(alice).do(ref, create(plain("p", "x")))

			ended, end := context.WithCancel(t.Context())
			end()
			n.as(alice).within(ended).refused(ref, command, domain.CodeUnavailable)

			// It ends with the first sending.
			ctx, cancel := context.WithCancel(t.Context())
			w.faults(func(op eventstore.Op) (bool, error) {
				cancel()
				if fault == nil || op.Kind != eventstore.OpAppend {
					return true, nil
				}
				return fault(op.Attempt)
			})
			res, err := n.as(alice).within(ctx).try(ref, command)
			w.faults(nil)
			if err != nil || ctx.Err() == nil || res.Version != 2 || len(w.events()) != 2 || !res.At.Equal(w.events()[1].At) {
				t.Fatalf("%s: %+v, %v", name, res, err)
			}
			if n.state.Position() != 2 {
				t.Errorf("%s: answered before this node shows it", name)
			}
			if name == "delete" && (!res.KeyDestroyed || w.stored(made.Secret.KekIDs[0])) {
				t.Error("the key was left")
			}
		}
	}
}

// TestCallerGoesAwayBetween: the context ends after the append, or while a
// lost race is decided anew.
func TestCallerGoesAwayBetween(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	n.as(alice).do(ref, create(plain("p", "x")))

	ctx, cancel := context.WithCancel(t.Context())
	n.seams.at(appended, func() error { cancel(); return nil })
	if res := n.as(alice).within(ctx).do(ref, set(plain("p", "y"))); res.Version != 2 || n.opened(ref).Version != 2 {
		t.Errorf("ended after the append: %+v", res)
	}
	ctx, cancel = context.WithCancel(t.Context())
	if res := n.as(alice).within(ctx).direct(home, createOrg); n.state.Position() != res.Position {
		t.Errorf("a directory: ended after the append: %+v", res)
	}
	n.seams.at(appended, nil)

	ctx, cancel = context.WithCancel(t.Context())
	n.seams.once(appending, func() {
		n.as(bob).do(ref, rename("Rival's"))
		cancel()
	})
	res, err := n.as(alice).within(ctx).try(ref, set(plain("p", "z")))
	wantCode(t, err, domain.CodeUnavailable)
	if events := w.stream(stream(ref)); len(events) != 3 || res.Position != 0 {
		t.Errorf("%+v, %d events", res, len(events))
	}
}

// TestProjectionLate: a change that this node can't show in time is no
// failure: it is stored.
func TestProjectionLate(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	n.as(alice).do(ref, create(plain("p", "x")))
	head := w.clock()
	w.wait(-time.Second) // so that its own time is not the folded one
	n.seams.at(awaiting, func() error { return context.DeadlineExceeded })
	res := n.as(alice).do(ref, set(plain("p", "y")))
	if res.Version != 2 || res.Position != 2 || !res.At.Equal(head) {
		t.Errorf("%+v", res)
	}
	n.caughtUp()
	if res := n.as(alice).direct(home, createOrg); res.Position != 3 {
		t.Errorf("%+v", res)
	}
	// Of a lost race it can't be told what to do next: nothing was stored.
	n.caughtUp()
	n.seams.once(appending, func() { n.as(bob).do(ref, rename("Rival's")) })
	_, err := n.as(alice).try(ref, set(plain("p", "z")))
	wantCode(t, err, domain.CodeUnavailable)
	retryable(t, err)
	same(t, "stored", 3, len(w.stream(stream(ref))))
	n.seams.at(awaiting, nil)
	n.caughtUp()
}

// TestClockBehind: a node whose clock is more than 5 s behind the log's head
// stores nothing; within that its events get the head's time.
func TestClockBehind(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	n.as(alice).do(ref, create(plain("p", "x")))
	n.as(alice).direct(home, createOrg)
	head := w.clock()
	w.wait(-5*time.Second - time.Millisecond)
	for _, command := range []domain.SecretCommand{set(plain("p", "y")), rename("n"), domain.RemoveField{Key: "p"}, domain.DeleteSecret{}} {
		n.as(alice).refused(ref, command, domain.CodeUnavailable)
	}
	n.as(alice).refused(secretRef("t"), create(), domain.CodeUnavailable)
	n.as(alice).refusedDirectory(home, domain.RenameScope{Scope: createOrg.Scope, Name: "n"}, domain.CodeUnavailable)
	_, err := n.as(alice).try(ref, rename("n"))
	retryable(t, err)
	if !w.stored(n.opened(ref).KekIDs[0]) {
		t.Error("the key of a refused delete is gone")
	}
	w.wait(time.Millisecond)
	if res := n.as(alice).do(ref, set(plain("p", "y"))); !res.At.Equal(head) || !w.events()[2].Time.Equal(head.Add(-5*time.Second)) {
		t.Errorf("%+v", res)
	}
}

// TestFoldedTime: the answer's time is the folded one, also where the node
// learns of the event that moved it only while it waits for its own.
func TestFoldedTime(t *testing.T) {
	w := newWorld(t)
	n, other := w.node(), w.node()
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	n.seams.at(applying, func() error { <-gate; return nil })
	n.seams.once(appending, func() {
		w.wait(2 * time.Second)
		other.as(bob).do(secretRef("other"), create())
		w.wait(-2 * time.Second)
	})
	n.seams.once(awaiting, open)
	res := n.as(alice).do(secretRef("s"), create())
	if later := w.clock().Add(2 * time.Second); !res.At.Equal(later) || !res.Secret.CreatedAt.Equal(later) || res.Position != 2 {
		t.Errorf("%+v", res)
	}
	same(t, "the state", n.opened(secretRef("s")), res.Secret)
}
