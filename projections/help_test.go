package projections

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// heldLog has its newest events in memory. Followers get those that were there
// before they began, and the others after release.
type heldLog struct {
	*sliceLog
	released chan struct{}
}

func (l heldLog) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		events, _, _ := l.after(after)
		if !l.give(events, yield) {
			return
		}
		select {
		case <-l.released:
		case <-ctx.Done():
			return
		}
		l.sliceLog.Follow(ctx, after+uint64(len(events)))(yield)
	}
}

func (l heldLog) Recent(after uint64) []domain.Recorded {
	events, _, _ := l.after(after)
	return append([]domain.Recorded(nil), events...)
}

// TestWaitForApplies: whoever waits for an event that the log has in memory
// applies it; the follower, who gets it later, passes over it. Everybody is
// told of each event once and in order.
func TestWaitForApplies(t *testing.T) {
	w, ref := plain()
	log := heldLog{sliceLog: w.log, released: make(chan struct{})}
	var told []uint64 // one call at a time
	s := openStore(t, w.log, func(o *Options) {
		o.Applied = func(batch []domain.Recorded) {
			for _, r := range batch {
				told = append(told, r.Position)
			}
		}
	})
	stop := start(t, s, log)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	for range 20 {
		w.change(ref, extra(w))
		w.change(ref, extra(w))
		head := w.log.head()
		var waiting sync.WaitGroup
		for _, position := range []uint64{head - 1, head, head} {
			waiting.Go(func() {
				if err := s.WaitFor(t.Context(), position); err != nil {
					t.Error(err)
				}
			})
		}
		waiting.Wait()
		if secret, err := s.Secret(ref); err != nil || secret.Head != head {
			t.Fatalf("head %d of %d: %v", secret.Head, head, err)
		}
	}
	close(log.released)
	w.change(ref, extra(w))
	eventually(t, "followed", func() bool { return s.Position() == w.log.head() })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if len(told) != int(w.log.head()) {
		t.Errorf("told of %d events of %d", len(told), w.log.head())
	}
	for i, position := range told {
		if position != uint64(i)+1 {
			t.Fatalf("told of %d after %d events", position, i)
		}
	}
}

// TestWaitForLeavesFaults: an event that cannot be applied stops Run, whoever
// found it first, and those before it are applied.
func TestWaitForLeavesFaults(t *testing.T) {
	w, ref := plain()
	log := heldLog{sliceLog: w.log, released: make(chan struct{})}
	s := openStore(t, w.log, nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background(), log) }()
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	w.change(ref, extra(w))
	good := w.log.head()
	w.record(domain.SecretStream{Ref: ref}, w.secret(ref).Version+2, domain.FieldSet{Field: w.sealed("plain")})
	waitFor(t, s, good)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.WaitFor(gone, w.log.head()); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for what cannot be applied gave %v", err)
	}
	close(log.released)
	if err := <-ended; err == nil {
		t.Error("run went on")
	}
	if s.Position() != good {
		t.Errorf("at %d, not %d", s.Position(), good)
	}
	if err := s.WaitFor(context.Background(), w.log.head()); !errors.Is(err, ErrStopped) {
		t.Errorf("waiting after the end gave %v", err)
	}
}

// TestWaitForHelpsNoContradiction: a log that follows with another event than it
// had in memory is refused.
func TestWaitForHelpsNoContradiction(t *testing.T) {
	w, ref := plain()
	log := heldLog{sliceLog: w.log, released: make(chan struct{})}
	s := openStore(t, w.log, nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background(), log) }()
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	w.change(ref, extra(w))
	waitFor(t, s, w.log.head())
	flip := func() { w.log.change(func() { w.log.events[len(w.log.events)-1].ID[0] ^= 1 }) }
	flip()
	close(log.released)
	if err := <-ended; err == nil {
		t.Error("run went on")
	}
	flip() // for the check
}
