package eventstore_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestConcurrentWriters: N writers to one secret, on two nodes, each with a
// field of its own, all succeed; versions are dense, and each answer is about
// its own event.
func TestConcurrentWriters(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		const writers = 24
		nodes, ref := []*node{w.node(), w.node()}, secretRef("contended")
		nodes[0].as(alice).do(ref, create())
		nodes[1].caughtUp()
		results, errs := make([]domain.SecretResult, writers), make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				key := domain.FieldKey(fmt.Sprintf("f%02d", i))
				results[i], errs[i] = nodes[i%2].as(alice).try(ref, set(plain(key, fmt.Sprint("value ", i))))
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		events := w.stream(stream(ref))
		var versions []uint64
		for i, res := range results {
			versions = append(versions, res.Version)
			f, ok := res.Secret.Field(domain.FieldKey(fmt.Sprintf("f%02d", i)))
			value, open := f.Value.(domain.Plaintext)
			if !ok || !open || value.Reveal() != fmt.Sprint("value ", i) || f.Version != res.Version || res.Secret.Version != res.Version {
				t.Errorf("writer %d: %+v", i, res)
			}
			if r := events[res.Version-1]; r.Position != res.Position || r.Event.Type() != res.Event {
				t.Errorf("writer %d was told of position %d, which is %d", i, res.Position, r.Position)
			}
		}
		slices.Sort(versions)
		for i, v := range versions {
			if v != uint64(i+2) {
				t.Fatalf("versions %v", versions)
			}
		}
		nodes[0].caughtUp()
		for i, f := range nodes[0].opened(ref).Fields {
			same(t, string(f.Key), domain.Value(domain.NewPlaintext(fmt.Sprint("value ", i))), f.Value)
		}
	})
}

// TestRivalCreators: of several who create different secrets under one id one
// wins and the others get secret_exists; who asks for the winner's very
// secret is told that it is so.
func TestRivalCreators(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		const rivals = 8
		nodes := []*node{w.node(), w.node()}
		for _, different := range []bool{true, false} {
			ref := secretRef(domain.SecretID(fmt.Sprint("different-", different)))
			results, errs := make([]domain.SecretResult, rivals), make([]error, rivals)
			var wg sync.WaitGroup
			for i := range rivals {
				wg.Go(func() {
					c := create(plain("p", "the same"))
					if different {
						c.Fields[0] = plain("p", fmt.Sprint("mine ", i))
					}
					results[i], errs[i] = nodes[i%2].as(alice).try(ref, c)
				})
			}
			wg.Wait()
			won := 0
			for i, err := range errs {
				switch {
				case err == nil && results[i].Event == domain.TypeSecretCreated:
					won++
				case err == nil && !different:
					same(t, "an identical create", uint64(1), results[i].Version)
				case different:
					wantCode(t, err, domain.CodeSecretExists)
				default:
					t.Error(err)
				}
			}
			if stored := w.stream(stream(ref)); won != 1 || len(stored) != 1 {
				t.Errorf("different %v: %d won, %d events", different, won, len(stored))
			}
		}
	})
}

// TestConflictForEver: who loses again and again is told so, and nothing was
// stored.
func TestConflictForEver(t *testing.T) {
	w := newWorld(t)
	c, ref := w.node().as(alice), secretRef("s")
	sent := 0
	w.faults(func(op eventstore.Op) (bool, error) {
		if op.Kind == eventstore.OpAppend {
			sent++
			return false, eventstore.ErrConflict
		}
		return true, nil
	})
	c.refused(ref, create(), domain.CodeConflict)
	c.refusedDirectory(home, createOrg, domain.CodeConflict)
	if sent < 2*2 {
		t.Errorf("tried %d times", sent)
	}
	w.faults(nil)
	c.do(ref, create())
}

// TestSameBetween: the same request comes between any two steps of another,
// with and without a common Idempotency-Key. One event is stored. With the key
// both get that event; without it the later one is answered as if it had come
// after: never by what it saw before.
func TestSameBetween(t *testing.T) {
	rename := domain.UpdateMetadata{Name: ptr("Another"), Tags: ptr([]string{"z"})}
	for name, tt := range map[string]struct {
		command func(caller, domain.SecretRef) domain.SecretCommand
		missing bool // the secret, before
		alone   domain.Code
	}{
		"create": {missing: true, command: func(caller, domain.SecretRef) domain.SecretCommand { return create(plain("p", "x")) }},
		"create with an envelope": {missing: true, command: func(c caller, ref domain.SecretRef) domain.SecretCommand {
			return create(plain("p", "x"), c.encrypted(ref, "e", "y"))
		}},
		"create after a mint": {missing: true, command: func(c caller, ref domain.SecretRef) domain.SecretCommand {
			c.encrypted(ref, "e", "y")
			return create(plain("p", "x"))
		}},
		"set plaintext": {command: func(caller, domain.SecretRef) domain.SecretCommand { return set(plain("p", "other")) }},
		"set envelope": {command: func(c caller, ref domain.SecretRef) domain.SecretCommand {
			return set(c.encrypted(ref, "e", "other"))
		}},
		"remove": {alone: domain.CodeFieldNotFound, command: func(caller, domain.SecretRef) domain.SecretCommand {
			return domain.RemoveField{Key: "e"}
		}},
		"rename": {command: func(caller, domain.SecretRef) domain.SecretCommand { return rename }},
		"delete": {alone: domain.CodeSecretNotFound, command: func(caller, domain.SecretRef) domain.SecretCommand {
			return domain.DeleteSecret{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			for _, p := range []place{lookedUp, loaded, opening, sealing, appending} {
				for _, key := range []string{"", "key"} {
					ref := secretRef(domain.SecretID(string(p[:4]) + key))
					c := n.as(alice).with(key)
					if !tt.missing {
						n.as(bob).do(ref, create(plain("p", "x"), c.encrypted(ref, "e", "y")))
					}
					command := tt.command(c, ref)
					before := len(w.stream(stream(ref)))
					var first domain.SecretResult
					n.seams.once(p, func() { first = c.do(ref, command) })
					second, err := c.try(ref, command)
					n.seams.at(p, nil)
					if first.Event == "" && first.Position == 0 {
						if p != opening && (p != lookedUp || key != "") {
							t.Errorf("%s is not passed", p)
						}
						continue // a command that has no such step
					}
					if stored := w.stream(stream(ref)); len(stored) != before+1 || stored[before].Position != first.Position {
						t.Errorf("%s %s: %d events", p, key, len(stored)-before)
					}
					switch {
					case key != "":
						if err != nil || !second.Replayed {
							t.Errorf("%s: %+v, %v", p, second, err)
						}
						first.Replayed, first.Secret = true, domain.Secret{}
						second.Secret = domain.Secret{}
						same(t, string(p), first, second)
					case tt.alone != "":
						if domain.CodeOf(err) != tt.alone {
							t.Errorf("%s: %v, want %s", p, err, tt.alone)
						}
					case err != nil || second.Event != "" || second.Version != first.Version:
						t.Errorf("%s: %+v, %v", p, second, err)
					}
				}
			}
		})
	}
}

// TestDeletedBetween: the secret is deleted, and its keys with it, between
// any two steps of another command: that finds no secret, or makes a new one.
func TestDeletedBetween(t *testing.T) {
	for name, command := range map[string]domain.SecretCommand{
		"create": create(plain("p", "x")),
		"set":    set(plain("p", "other")),
		"rename": rename("Another"),
		"remove": domain.RemoveField{Key: "p"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			n := w.node()
			for _, p := range []place{loaded, opening, sealing, appending} {
				ref := secretRef(domain.SecretID(p[:4]))
				c := n.as(alice)
				c.do(ref, create(plain("p", "x")))
				passed := false
				n.seams.once(p, func() {
					passed = true
					n.as(bob).do(ref, domain.DeleteSecret{})
				})
				res, err := c.try(ref, command)
				n.seams.at(p, nil)
				if !passed {
					continue // an identical create has no later steps, a removal opens nothing
				}
				if name != "create" {
					wantCode(t, err, domain.CodeSecretNotFound)
					continue
				}
				if p == loaded && err == nil && res.Event == "" {
					t.Errorf("%s: a deleted secret was shown", p)
				}
				if err != nil || res.Version != 3 || res.Secret.Incarnation != 3 {
					t.Errorf("%s: %+v, %v", p, res, err)
				}
			}
		})
	}
}
