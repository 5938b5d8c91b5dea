package eventstore_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// TestRepeat: an equal request under the same key gets the first answer's
// event, version, position and time, with the aggregate as it stands now, and
// appends nothing. Values are compared opened, envelopes as bytes.
func TestRepeat(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	c := n.as(alice)
	envelope := c.encrypted(ref, "e", "y")
	commands := []domain.SecretCommand{
		create(plain("p", "x"), envelope),
		domain.SetField{Field: plain("p", "z"), Expect: domain.Expectation{Version: 1}},
		rename("Another"),
		domain.UpdateMetadata{Category: ptr("database"), Tags: ptr([]string{"t"})},
		domain.UpdateMetadata{RotateEvery: ptr(domain.RotateEvery(90)), ExpiresAt: ptr(pastExpiry())},
		domain.UpdateMetadata{RotateEvery: ptr(domain.RotateEvery(0)), Name: ptr("A third")},
		domain.RemoveField{Key: "e"},
	}
	var first []domain.SecretResult
	repeat := func(n *node) {
		t.Helper()
		for i, command := range commands[:len(first)] {
			key := string(rune('a' + i))
			w.unchanged(func() {
				want := first[i]
				want.Replayed, want.Secret = true, n.opened(ref)
				same(t, "repeated", want, n.as(alice).with(key).do(ref, command))
			})
		}
	}
	for i, command := range commands {
		first = append(first, c.with(string(rune('a'+i))).do(ref, command))
		w.wait(time.Minute)
		repeat(n)
	}
	// The order of fields in the request is no difference, another API key of
	// the agent neither, and another node folds the same.
	create := to[domain.CreateSecret](commands[0])
	create.Fields = []domain.Field{create.Fields[1], create.Fields[0]}
	commands[0] = create
	repeat(w.node())
	w.wait(24*time.Hour - 7*time.Minute - time.Millisecond)
	repeat(n)
}

// pastExpiry has passed: an expiry is advice.
func pastExpiry() time.Time { return time.Date(2020, 1, 31, 12, 0, 0, 0, time.UTC) }

// TestRepeatOfAnother: the same key with another request.
func TestRepeatOfAnother(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	c := n.as(alice).with("k")
	envelope := c.encrypted(ref, "e", "y")
	c.do(ref, create(plain("p", "x"), envelope))
	for _, other := range []domain.CreateSecret{
		create(plain("p", "other"), envelope),
		create(plain("p", "x")),
		create(plain("p", "x"), c.encrypted(ref, "e", "y")), // the same value in another envelope
		create(plain("p", "x"), plain("e", "y")),
		create(plain("q", "x"), envelope),
		{Name: "Another", Category: "api", Tags: []string{"a", "b"}, Fields: create(plain("p", "x"), envelope).Fields},
		{Name: "Name", Category: "other", Tags: []string{"a", "b"}, Fields: create(plain("p", "x"), envelope).Fields},
		{Name: "Name", Category: "api", Tags: []string{"a"}, Fields: create(plain("p", "x"), envelope).Fields},
		{Name: "Name", Category: "api", Tags: []string{"a", "b"}, Fields: create(plain("p", "x"), envelope).Fields, Expect: domain.Expectation{Any: true}},
	} {
		c.refused(ref, other, domain.CodeIdempotencyKeyReused)
	}
	second := c.encrypted(ref, "e", "z")
	c.do(ref, set(second))
	for _, other := range []domain.SetField{
		set(envelope), set(c.encrypted(ref, "e", "z")), set(plain("e", "z")),
		{Field: second, Expect: domain.Expectation{Version: 7}},
	} {
		c.refused(ref, other, domain.CodeIdempotencyKeyReused)
	}
	// Also when the field holds something else by now, and the other request
	// asks for just that.
	third := c.encrypted(ref, "e", "w")
	n.as(alice).do(ref, set(third))
	c.refused(ref, set(third), domain.CodeIdempotencyKeyReused)
	if res := c.do(ref, set(second)); !res.Replayed || res.Version != 2 || res.Secret.Version != 3 {
		t.Errorf("the first request of the field: %+v", res)
	}
	c.do(ref, rename("Another"))
	for _, other := range []domain.UpdateMetadata{
		rename("Name"), rename("Third"),
		{Category: ptr("api")},
		{Name: ptr("Another"), Tags: ptr([]string{"n"})},
		{Name: ptr("Another"), Expect: domain.Expectation{Version: 4}},
	} {
		c.refused(ref, other, domain.CodeIdempotencyKeyReused)
	}
	if res := c.do(ref, domain.UpdateMetadata{Name: ptr("Another"), Category: ptr("api")}); !res.Replayed {
		t.Error("a member that changes nothing is no difference")
	}
	scheduled := n.as(alice).with("s")
	schedule := domain.UpdateMetadata{RotateEvery: ptr(domain.RotateEvery(90)), ExpiresAt: ptr(pastExpiry())}
	scheduled.do(ref, schedule)
	for _, other := range []domain.UpdateMetadata{
		{RotateEvery: ptr(domain.RotateEvery(91)), ExpiresAt: schedule.ExpiresAt},
		{RotateEvery: ptr(domain.RotateEvery(0)), ExpiresAt: schedule.ExpiresAt},
		{RotateEvery: schedule.RotateEvery, ExpiresAt: ptr(pastExpiry().Add(time.Millisecond))},
		{RotateEvery: schedule.RotateEvery, ExpiresAt: ptr(time.Time{})},
		{RotateEvery: schedule.RotateEvery},
	} {
		scheduled.refused(ref, other, domain.CodeIdempotencyKeyReused)
	}
	if res := scheduled.do(ref, schedule); !res.Replayed || res.Event != domain.TypeSecretScheduled {
		t.Errorf("the first schedule: %+v", res)
	}
	c.do(ref, domain.DeleteSecret{})
	c.refused(ref, domain.DeleteSecret{Expect: domain.Expectation{Version: 2}}, domain.CodeIdempotencyKeyReused)
}

// TestRepeatOfTheGone: what a request wrote is gone with its incarnation or
// its field; a DELETE repeats its own result all the same.
func TestRepeatOfTheGone(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	c, ref := n.as(alice).with("k"), secretRef("s")
	commands := []domain.SecretCommand{create(plain("p", "x"), plain("q", "x")), set(plain("p", "y")), rename("Another")}
	for _, command := range commands {
		c.do(ref, command)
	}
	removed := c.do(ref, domain.RemoveField{Key: "p"})
	c.refused(ref, commands[1], domain.CodeIdempotencyExpired)
	if res := c.do(ref, commands[0]); !res.Replayed || len(res.Secret.Fields) != 1 {
		t.Errorf("the secret of a removed field: %+v", res)
	}
	other := n.as(bob)
	other.do(ref, set(plain("p", "again")))
	if res := c.do(ref, domain.RemoveField{Key: "p"}); !res.Replayed || res.Version != removed.Version {
		t.Errorf("the removal again: %+v", res)
	}
	w.wait(time.Second)
	deleted := c.do(ref, domain.DeleteSecret{})
	w.wait(time.Second)
	check := func() {
		t.Helper()
		for _, command := range commands {
			c.refused(ref, command, domain.CodeIdempotencyExpired)
		}
		w.unchanged(func() {
			if res := c.do(ref, domain.RemoveField{Key: "p"}); !res.Replayed || res.Version != removed.Version || res.Position != removed.Position {
				t.Errorf("the removal again: %+v", res)
			}
			want := deleted
			want.Replayed = true
			same(t, "the deletion again", want, c.do(ref, domain.DeleteSecret{}))
		})
	}
	check()
	other.do(ref, create(plain("p", "x"), plain("q", "x")))
	check()
	if s := n.opened(ref); !s.Exists || s.Version != 7 {
		t.Errorf("the new incarnation: %+v", s)
	}
	// Without the key, or with another, it is another request.
	if res := c.with("k2").do(ref, domain.DeleteSecret{}); res.Replayed || res.Version != 8 {
		t.Errorf("%+v", res)
	}
}

// TestKeyScope: a key is known for one agent and one operation, for what
// appended, for 24 hours.
func TestKeyScope(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	a, b := n.as(alice).with("k"), n.as(bob).with("k")
	fresh := func(res domain.SecretResult, version uint64) {
		t.Helper()
		if res.Replayed || res.Version != version || res.Event == "" {
			t.Errorf("%+v, want a new version %d", res, version)
		}
	}
	a.refused(ref, rename("One"), domain.CodeSecretNotFound) // what is refused is not remembered
	fresh(a.do(ref, create()), 1)
	fresh(a.do(ref, set(plain("p", "x"))), 2)
	fresh(a.do(ref, set(plain("q", "x"))), 3)
	fresh(a.do(ref, rename("One")), 4)
	fresh(b.do(ref, rename("Two")), 5)
	fresh(a.do(secretRef("other"), create()), 1)
	if res := b.do(ref, set(plain("p", "x"))); res.Event != "" || res.Version != 5 {
		t.Errorf("already so: %+v", res)
	}
	fresh(a.with("k2").do(ref, set(plain("p", "y"))), 6)
	fresh(b.do(ref, set(plain("p", "x"))), 7) // what appended nothing is not remembered

	w.wait(24*time.Hour - time.Millisecond)
	if res := a.do(ref, rename("One")); !res.Replayed || res.Version != 4 || res.Secret.Name != "Two" {
		t.Errorf("just before 24 hours: %+v", res)
	}
	w.wait(time.Millisecond)
	fresh(a.do(ref, rename("One")), 8) // done once more
	a.refused(ref, rename("Three"), domain.CodeIdempotencyKeyReused)
	w.wait(24 * time.Hour)
	fresh(a.do(ref, rename("Three")), 9)
	if res := a.do(ref, rename("Three")); !res.Replayed || res.Version != 9 {
		t.Errorf("the newest counts: %+v", res)
	}
}

// TestConcurrentRepeats: of the same request sent many times at once, on two
// nodes, one event is stored and all get its position.
func TestConcurrentRepeats(t *testing.T) {
	onEachLog(t, func(t *testing.T, w *world) {
		const times = 8
		nodes, ref := []*node{w.node(), w.node()}, secretRef("s")
		for i, command := range []domain.SecretCommand{
			create(plain("p", "x")), set(plain("p", "y")), rename("Another"), domain.RemoveField{Key: "p"}, domain.DeleteSecret{},
		} {
			results, errs := make([]domain.SecretResult, times), make([]error, times)
			var wg sync.WaitGroup
			for j := range times {
				wg.Go(func() { results[j], errs[j] = nodes[j%2].as(alice).with("k").try(ref, command) })
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				t.Fatalf("%T: %v", command, err)
			}
			stored, fresh := w.stream(stream(ref)), 0
			if len(stored) != i+1 {
				t.Fatalf("%T: %d events", command, len(stored)-i)
			}
			for _, res := range results {
				if r := stored[i]; res.Position != r.Position || res.Version != r.Version || res.Event != r.Event.Type() || !res.At.Equal(r.At) {
					t.Errorf("%T: %+v", command, res)
				}
				if !res.Replayed {
					fresh++
				}
			}
			same(t, "answers of the first", 1, fresh)
			nodes[0].caughtUp()
			nodes[1].caughtUp()
		}
	})
}

// TestRepeatUnreadable: what the first request wrote can't be found out now.
// That is no fault of the request, and nothing is stored.
func TestRepeatUnreadable(t *testing.T) {
	w := newWorld(t)
	n, ref := w.node(), secretRef("s")
	c := n.as(alice).with("k")
	c.do(ref, create(plain("p", "x")))
	c.direct(home, createOrg)
	n.seams.at(reading, func() error { return eventstore.ErrUnavailable })
	c.refused(ref, create(plain("p", "x")), domain.CodeUnavailable)
	c.refusedDirectory(home, createOrg, domain.CodeUnavailable)
	_, err := c.try(ref, create(plain("p", "x")))
	retryable(t, err)
	n.seams.at(reading, nil)
	if res := c.do(ref, create(plain("p", "x"))); !res.Replayed {
		t.Errorf("%+v", res)
	}
}
