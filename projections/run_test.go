package projections

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// extra is a command that always appends.
func extra(w *world) domain.SecretCommand { return domain.SetField{Field: w.sealed("plain")} }

func TestRunFollows(t *testing.T) {
	w, ref := plain()
	var mu sync.Mutex
	var told []uint64
	s := openStore(t, w.log, func(o *Options) {
		o.Applied = func(batch []domain.Recorded) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range batch {
				told = append(told, r.Position)
			}
		}
	})
	stop := start(t, s, w.log)
	for range 50 {
		w.change(ref, extra(w))
		waitFor(t, s, w.log.head())
		secret, err := s.Secret(ref)
		if err != nil || secret.Head != w.log.head() {
			t.Fatalf("head %d of %d: %v", secret.Head, w.log.head(), err)
		}
	}
	mu.Lock()
	for i, position := range told {
		if position != uint64(i)+1 {
			t.Errorf("told of %d after %d events", position, i)
		}
	}
	if len(told) != int(w.log.head()) {
		t.Errorf("told of %d events", len(told))
	}
	mu.Unlock()
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	if err := stop(); err != nil {
		t.Errorf("run gave %v", err)
	}
	if err := s.WaitFor(context.Background(), w.log.head()+1); !errors.Is(err, ErrStopped) || domain.CodeOf(err) != domain.CodeUnavailable {
		t.Errorf("waiting gave %v", err)
	}
	if err := s.Ready(); !errors.Is(err, ErrStopped) {
		t.Errorf("ready says %v", err)
	}
	// It can be taken up again.
	start(t, s, w.log)
	w.change(ref, extra(w))
	eventually(t, "followed again", func() bool { return s.Position() == w.log.head() })
}

// TestStops holds invariant 3. The events before the one at fault are applied.
func TestStops(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*world, domain.SecretRef)
		says  string
	}{
		"unreadable event": {func(w *world, ref domain.SecretRef) {
			w.log.unreadable = w.log.head() + 1
			w.change(ref, extra(w))
		}, errUnreadable.Error()},
		"gap": {func(w *world, ref domain.SecretRef) {
			r := w.last
			r.Position, r.Version = w.log.head()+2, r.Version+1
			w.log.append(r)
		}, "gap"},
		"repeat": {func(w *world, ref domain.SecretRef) {
			w.log.append(w.last)
		}, "gap"},
		"a secret's version left out": {func(w *world, ref domain.SecretRef) {
			w.record(domain.SecretStream{Ref: ref}, w.secret(ref).Version+2, domain.FieldSet{Field: w.sealed("plain")})
		}, "follows version"},
		"a secret's version again": {func(w *world, ref domain.SecretRef) {
			w.record(domain.SecretStream{Ref: ref}, w.secret(ref).Version, domain.FieldSet{Field: w.sealed("plain")})
		}, "follows version"},
		"a directory's version": {func(w *world, ref domain.SecretRef) {
			w.record(domain.DirectoryStream{Org: ref.Org}, 7, domain.ScopeRestored{Scope: w.directory(ref.Org).OrgScope()})
		}, "version 7 of"},
		"a keys stream's version": {func(w *world, ref domain.SecretRef) {
			w.record(domain.KeysStream{Org: ref.Org}, 2, domain.KeyDestroyed{Ref: ref, KekIDs: []domain.KekID{w.kek()}})
		}, "version 2 of"},
		"a message without event": {func(w *world, ref domain.SecretRef) {
			w.log.append(domain.Recorded{Stream: domain.SecretStream{Ref: ref}, Version: 3})
		}, "no event"},
		"a message with an id and no event": {func(w *world, ref domain.SecretRef) {
			w.log.append(domain.Recorded{ID: w.ulid(w.now), Stream: domain.SecretStream{Ref: ref}})
		}, "no event"},
		"an event without stream": {func(w *world, _ domain.SecretRef) {
			w.log.append(domain.Recorded{ID: w.ulid(w.now), Version: 1, Event: domain.SecretDeleted{}})
		}, "no stream"},
	} {
		t.Run(name, func(t *testing.T) {
			w, ref := plain()
			good := w.log.head()
			s := openStore(t, w.log, nil)
			tt.spoil(w, ref)
			err := s.Run(context.Background(), w.log)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("run gave %v", err)
			}
			if ready := s.Ready(); !errors.Is(ready, ErrStopped) || !strings.Contains(ready.Error(), tt.says) {
				t.Errorf("ready says %v", ready)
			}
			if s.Position() != good {
				t.Errorf("position %d instead of %d", s.Position(), good)
			}
			if err := s.Fresh(time.Now()); domain.CodeOf(err) != domain.CodeUnavailable {
				t.Errorf("fresh says %v", err)
			}
			if err := s.WaitFor(context.Background(), good+1); !errors.Is(err, ErrStopped) {
				t.Errorf("waiting gave %v", err)
			}
			w.log.unreadable = 0
		})
	}
}

// A spoiled event in the middle of following ends Run and frees who waits.
func TestStopsWhileFollowing(t *testing.T) {
	w, ref := plain()
	s := openStore(t, w.log, nil)
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background(), w.log) }()
	waitFor(t, s, w.log.head())
	waiting := make(chan error, 1)
	go func() { waiting <- s.WaitFor(context.Background(), w.log.head()+100) }()
	w.record(domain.SecretStream{Ref: ref}, 9, domain.FieldSet{Field: w.sealed("plain")})
	if err := <-done; err == nil {
		t.Error("run gave nil")
	}
	if err := <-waiting; !errors.Is(err, ErrStopped) {
		t.Errorf("waiting gave %v", err)
	}
}

// TestOtherLog holds invariant 4, at the start and while following, whether
// the log names its replacement or the heartbeat has to find out.
func TestOtherLog(t *testing.T) {
	other := func() *world { // the same organization, another secret, more events
		w, ref := plain()
		w.log.lose(1)
		w.serial += 1000
		*w.secret(ref) = domain.Secret{Ref: ref}
		w.change(ref, domain.CreateSecret{Name: "another name", Category: "category"})
		for range 10 {
			w.change(ref, extra(w))
		}
		return w
	}
	for name, replace := range map[string]func(*world, domain.SecretRef){
		"head below the checkpoint": func(w *world, _ domain.SecretRef) { w.log.lose(2) },
		"emptied":                   func(w *world, _ domain.SecretRef) { w.log.lose(0) },
		"tail given out again": func(w *world, _ domain.SecretRef) {
			tail := slices.Clone(w.log.events[2:])
			for i := range tail {
				tail[i].ID = w.ulid(w.now)
			}
			w.log.change(func() { w.log.events, w.log.epoch = append(slices.Clone(w.log.events[:2]), tail...), w.log.epoch+1 })
		},
		"another creation time": func(w *world, _ domain.SecretRef) {
			w.log.change(func() { w.log.created, w.log.epoch = w.log.created.Add(time.Nanosecond), w.log.epoch+1 })
		},
		"another log": func(w *world, _ domain.SecretRef) {
			events := other().log.events
			w.log.change(func() { w.log.events, w.log.epoch = events, w.log.epoch+1 })
		},
	} {
		for _, named := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w, ref := plain()
				w.change(ref, extra(w))
				w.change(ref, domain.RemoveField{Key: "secret"})
				w.log.named = named
				s := openStore(t, w.log, nil)
				stop := start(t, s, w.log)
				eventually(t, "confirmed by a heartbeat", func() bool { _, anchor := s.checkpoint(); return anchor.position == w.log.head() })
				replace(w, ref)
				same := func() bool {
					return s.Position() == w.log.head() && s.Ready() == nil && Check(context.Background(), s, w.log) == nil
				}
				eventually(t, "folded anew while following", same)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				// The same with a store that was not following.
				w2, ref2 := plain()
				w2.change(ref2, extra(w2))
				w2.change(ref2, domain.RemoveField{Key: "secret"})
				s2 := caughtUp(t, w2.log)
				replace(w2, ref2)
				if err := s2.CatchUp(context.Background(), w2.log); err != nil {
					t.Fatal(err)
				}
				if s2.Position() != w2.log.head() {
					t.Errorf("position %d of %d", s2.Position(), w2.log.head())
				}
			})
		}
	}
}

// TestRefusesUntilCaughtUp holds invariant 6.
func TestRefusesUntilCaughtUp(t *testing.T) {
	ctx := context.Background()
	w := full(t)
	s := caughtUp(t, w.log)
	stale := openStore(t, w.log, nil) // opened, but nothing followed
	org, agent := w.orgs[0], domain.AgentID("")
	for _, k := range sortedKeys(w.directory(org)) {
		agent = k.Agent
	}
	questions := map[string]func(*Store) error{
		"Secret":         func(s *Store) error { _, err := s.Secret(domain.SecretRef{}); return err },
		"SecretMetadata": func(s *Store) error { _, err := s.SecretMetadata(domain.SecretRef{}); return err },
		"ListSecrets":    func(s *Store) error { _, _, err := listSecrets(ctx, s, domain.SecretQuery{}); return err },
		"Effective":      func(s *Store) error { _, err := s.Effective(ctx, domain.EffectiveQuery{}); return err },
		"History":        func(s *Store) error { _, _, err := historyOf(s, domain.HistoryQuery{}); return err },
		"Directory": func(s *Store) error {
			return s.Directory(org, func(*domain.Directory) error { return nil })
		},
		"Scopes":     func(s *Store) error { _, _, err := s.Scopes(org, domain.ScopeTeam, "", 1); return err },
		"KekClaimed": func(s *Store) error { _, err := s.KekClaimed(domain.KekID{}); return err },
		"LivingKeks": func(s *Store) error {
			for _, err := range s.LivingKeks(ctx) {
				return err
			}
			return nil
		},
		"DataKeyUsed":         func(s *Store) error { _, err := s.DataKeyUsed(domain.DekID{}); return err },
		"PendingDestructions": func(s *Store) error { _, err := s.PendingDestructions(1); return err },
		"Idempotent":          func(s *Store) error { _, _, err := s.Idempotent("", "", ""); return err },
		"Serving":             func(s *Store) error { return s.Serving() },
		"Fresh":               func(s *Store) error { return s.Fresh(time.Now()) },
		"Principal": func(s *Store) error {
			if p, ok := s.Principal(org, agent); !ok || p.Agent != agent {
				return domain.Errorf(domain.CodeUnavailable, "nobody")
			}
			return nil
		},
	}
	for name, ask := range questions {
		if err := ask(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := ask(stale); domain.CodeOf(err) != domain.CodeUnavailable {
			t.Errorf("%s before catching up: %v", name, err)
		}
	}
	// A rebuild that fails half way leaves nothing that answers.
	w.log.unreadable = w.log.head() / 2
	if err := s.Rebuild(ctx, w.log); !errors.Is(err, errUnreadable) {
		t.Fatalf("rebuilding gave %v", err)
	}
	for name, ask := range questions {
		if err := ask(s); domain.CodeOf(err) != domain.CodeUnavailable {
			t.Errorf("%s in a rebuild: %v", name, err)
		}
	}
	w.log.unreadable = 0
	if err := s.CatchUp(ctx, w.log); err != nil {
		t.Fatal(err)
	}
}

// A log that does not answer at the start is asked until it does.
func TestSilentLog(t *testing.T) {
	w, _ := plain()
	w.log.silent = true
	s := openStore(t, w.log, nil)
	start(t, s, w.log)
	eventually(t, "says so", func() bool { return errors.Is(s.Ready(), errSilent) })
	w.log.change(func() { w.log.silent = false })
	eventually(t, "ready", func() bool { return s.Ready() == nil })
}

// Fresh counts from the last heartbeat whose head was applied.
func TestFresh(t *testing.T) {
	w, _ := plain()
	clock := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	s := openStore(t, w.log, func(o *Options) { o.Now = func() time.Time { return clock } })
	w.log.clock = clock.Add(-7 * time.Second)
	if err := s.CatchUp(context.Background(), w.log); err != nil {
		t.Fatal(err)
	}
	for after, fresh := range map[time.Duration]bool{0: true, time.Minute: true, time.Minute + 1: false} {
		if err := s.Fresh(clock.Add(after)); (err == nil) != fresh {
			t.Errorf("after %v: %v", after, err)
		}
	}
	if s.ClockSkew() != 7*time.Second {
		t.Errorf("skew %v", s.ClockSkew())
	}
	// A heartbeat alone is not enough: its head must be applied.
	later := clock.Add(time.Hour)
	s.progress.beat(domain.LogStatus{Head: w.log.head() + 1}, later, later)
	if s.Fresh(later) == nil {
		t.Error("fresh without the head")
	}
	s.progress.beat(domain.LogStatus{Head: w.log.head()}, later, later)
	if err := s.Fresh(later); err != nil {
		t.Error(err)
	}
}

// Falling behind shows: two heartbeats, and the head of the first not reached.
func TestBehind(t *testing.T) {
	w, _ := plain()
	s := caughtUp(t, w.log)
	s.progress.begin()
	now := time.Now()
	s.progress.beat(domain.LogStatus{Head: w.log.head()}, now, now)
	if err := s.Ready(); err != nil {
		t.Fatal(err)
	}
	for i, ready := range []bool{true, false} {
		s.progress.beat(domain.LogStatus{Head: w.log.head() + 5}, now, now)
		if err := s.Ready(); (err == nil) != ready {
			t.Errorf("heartbeat %d: %v", i, err)
		}
	}
	mark := s.mark
	mark.position += 5
	s.progress.reached(mark)
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	s.progress.rest()
}

// One follower at a time.
func TestBusy(t *testing.T) {
	w, _ := plain()
	s := openStore(t, w.log, nil)
	start(t, s, w.log)
	waitFor(t, s, w.log.head())
	if err := s.CatchUp(context.Background(), w.log); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	if err := s.Rebuild(context.Background(), w.log); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

// The queue never holds more than its bounds, and one event of any size.
func TestQueueIsBounded(t *testing.T) {
	w := full(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, q := range []*queue{newQueue(3, 1<<30), newQueue(1000, 2000), newQueue(1000, 1)} {
		var filling sync.WaitGroup
		filling.Go(func() { q.fill(ctx, w.log.Read(ctx, 0)) })
		var got []uint64
		var batch []domain.Recorded
		for {
			var err error
			if batch, err = q.take(ctx, batch); err != nil {
				if !errors.Is(err, errEnded) {
					t.Fatal(err)
				}
				break
			}
			size := 0
			for _, r := range batch {
				got, size = append(got, r.Position), size+sizeOf(r)
			}
			if len(batch) > q.events || size > q.bytes && len(batch) > 1 {
				t.Errorf("%d events of %d bytes at once", len(batch), size)
			}
		}
		filling.Wait()
		if want := positions(w.log.head()); cmp.Diff(want, got) != "" {
			t.Errorf("%d events of %d", len(got), len(want))
		}
	}
}

func positions(head uint64) []uint64 {
	var all []uint64
	for p := uint64(1); p <= head; p++ {
		all = append(all, p)
	}
	return all
}
