package projections

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/chancery-dev/chancery/domain"
)

func rowCount(t testing.TB, s *Store, of table) (n int) {
	t.Helper()
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(of.String())).ForEach(func(_, _ []byte) error { n++; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// A data key is known while it is young, and as long as its envelope is the
// current one.
func TestDataKeysAgeOut(t *testing.T) {
	ctx := context.Background()
	w, ref := plain()
	s := caughtUp(t, w.log)
	first := w.deks[0]
	expect := func(dek domain.DekID, want bool) {
		t.Helper()
		if err := s.CatchUp(ctx, w.log); err != nil {
			t.Fatal(err)
		}
		if used, err := s.DataKeyUsed(dek); err != nil || used != want {
			t.Errorf("used %v, %v", used, err)
		}
	}
	expect(first, true)
	w.now = w.now.Add(time.Hour)
	w.change(ref, extra(w))
	expect(first, true) // old, but current
	w.change(ref, domain.SetField{Field: w.envelope("secret")})
	second := w.deks[1]
	expect(first, false)
	expect(second, true)
	w.change(ref, domain.RemoveField{Key: "secret"})
	expect(second, true) // removed, but young
	w.now = w.now.Add(dataKeyKept)
	w.change(ref, extra(w))
	expect(second, false)
	w.change(ref, domain.SetField{Field: w.envelope("secret")})
	third := w.deks[2]
	w.change(ref, domain.DeleteSecret{})
	expect(third, true)
	w.now = w.now.Add(dataKeyKept + time.Hour)
	w.change(ref, domain.CreateSecret{Name: "n", Category: "c"})
	expect(third, false)
	if n := rowCount(t, s, tableDeksRecent) + rowCount(t, s, tableDeksCurrent); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// An Idempotency-Key is known for 24 hours by the wall clock, its rows for a
// little longer by event time.
func TestIdempotencyKeysAgeOut(t *testing.T) {
	ctx := context.Background()
	w, ref := plain()
	clock := w.now
	s := openStore(t, w.log, func(o *Options) { o.Now = func() time.Time { return clock } })
	stream := domain.SecretStream{Ref: ref}
	set := func(key string) domain.Recorded {
		return w.commit(domain.Recorded{
			ID: w.ulid(w.now), Stream: stream, Position: w.log.head() + 1, Version: w.secret(ref).Version + 1, Time: w.now,
			Event:  domain.FieldSet{Field: w.sealed("plain")},
			Actor:  domain.Actor{Kind: domain.ActorAgent, ID: "agt_1"},
			Origin: domain.Origin{IdempotencyKey: key},
		})
	}
	operation := domain.EventOperation(stream, domain.FieldSet{Field: domain.Field{Key: "plain"}})
	expect := func(agent domain.AgentID, operation, key string, want *domain.Recorded) {
		t.Helper()
		if err := s.CatchUp(ctx, w.log); err != nil {
			t.Fatal(err)
		}
		e, ok, err := s.Idempotent(agent, operation, key)
		switch {
		case err != nil || ok != (want != nil):
			t.Errorf("found %v, %v", ok, err)
		case ok && (e.Position != want.Position || e.Version != want.Version || !e.At.Equal(want.At) || e.Stream != want.Stream):
			t.Errorf("got %v", e)
		}
	}
	one := set("one")
	clock = one.At
	expect("agt_1", operation, "one", &one)
	expect("agt_2", operation, "one", nil)
	expect("agt_1", operation+"x", "one", nil)
	expect("agt_1", operation, "two", nil)
	clock = one.At.Add(IdempotencyWindow - 1)
	expect("agt_1", operation, "one", &one)
	clock = one.At.Add(IdempotencyWindow)
	expect("agt_1", operation, "one", nil)

	// The row goes with the first event that is late enough.
	rows := rowCount(t, s, tableIdempotency)
	w.now = one.At.Add(idempotencyKept)
	set("")
	expect("agt_1", operation, "one", nil)
	if n := rowCount(t, s, tableIdempotency); n < rows {
		t.Error("a row went too early")
	}
	w.now = w.now.Add(time.Millisecond)
	// A later event under the same key stays when the first one's turn comes.
	again := set("one")
	clock = again.At
	expect("agt_1", operation, "one", &again)
	if n := rowCount(t, s, tableIdempotencyTimes); n != 1 {
		t.Errorf("%d rows are left", n)
	}
}

// One event removes a bounded number of rows, and the rest follows.
func TestExpiryIsBounded(t *testing.T) {
	ctx := context.Background()
	w, ref := plain()
	for i := range 2*expiredAtOnce + 10 {
		w.commit(domain.Recorded{
			ID: w.ulid(w.now), Stream: domain.SecretStream{Ref: ref}, Position: w.log.head() + 1,
			Version: w.secret(ref).Version + 1, Time: w.now, Event: domain.FieldSet{Field: w.envelope("secret")},
			Actor: domain.Actor{Kind: domain.ActorAgent, ID: "agt_1"}, Origin: domain.Origin{IdempotencyKey: fmt.Sprint(i)},
		})
	}
	s := caughtUp(t, w.log)
	deks, keys := rowCount(t, s, tableDeksRecent), rowCount(t, s, tableIdempotency)
	w.now = w.now.Add(48 * time.Hour)
	for range 3 {
		w.commit(domain.Recorded{
			ID: w.ulid(w.now), Stream: domain.SecretStream{Ref: ref}, Position: w.log.head() + 1,
			Version: w.secret(ref).Version + 1, Time: w.now, Event: domain.FieldSet{Field: w.sealed("plain")},
		})
		if err := s.CatchUp(ctx, w.log); err != nil {
			t.Fatal(err)
		}
		deks, keys = max(0, deks-expiredAtOnce), max(0, keys-expiredAtOnce)
		if d, k := rowCount(t, s, tableDeksRecent), rowCount(t, s, tableIdempotency); d != deks || k != keys {
			t.Errorf("%d and %d rows instead of %d and %d", d, k, deks, keys)
		}
	}
	if deks+keys != 0 {
		t.Errorf("%d and %d rows are left", deks, keys)
	}
}
