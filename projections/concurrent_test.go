package projections

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// Thousands wait for different positions; each wakes when its own is applied
// and never before.
func TestManyWaiters(t *testing.T) {
	w, ref := plain()
	s := openStore(t, w.log, nil)
	head := w.log.head()
	const events, each = 200, 25
	var waiting sync.WaitGroup
	for i := range uint64(events) {
		for range each {
			waiting.Go(func() {
				if err := s.WaitFor(context.Background(), head+i+1); err != nil {
					t.Errorf("waiting gave %v", err)
				}
				if s.Position() < head+i+1 {
					t.Errorf("woken at %d for %d", s.Position(), head+i+1)
				}
			})
		}
	}
	// Some give up.
	ctx, cancel := context.WithCancel(context.Background())
	for i := range uint64(100) {
		waiting.Go(func() {
			if err := s.WaitFor(ctx, head+events+1+i); !errors.Is(err, context.Canceled) {
				t.Errorf("giving up gave %v", err)
			}
		})
	}
	eventually(t, "all wait", func() bool {
		s.progress.mu.Lock()
		defer s.progress.mu.Unlock()
		return len(s.progress.waiters) == events*each+100
	})
	start(t, s, w.log)
	for range events {
		w.change(ref, extra(w))
	}
	waitFor(t, s, head+events)
	cancel()
	waiting.Wait()
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	if n := len(s.progress.waiters); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// Readers of every kind run beside the writer, a check and a rebuild. Run it
// with the race detector. A reader sees its secret whole or is refused.
func TestConcurrentReaders(t *testing.T) {
	f := newStaff()
	ref := domain.SecretRef{Org: f.org, Scope: f.self(), ID: "s"}
	f.change(ref, domain.CreateSecret{Name: "n", Category: "c", Tags: []string{"t"}, Fields: []domain.Field{f.sealed("plain")}})
	f.log.named = true
	s := openStore(t, f.log, nil)
	stop := start(t, s, f.log)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	ctxBG := context.Background()
	for _, read := range []func() error{
		func() error {
			secret, err := s.Secret(ref)
			if err == nil && (!secret.Exists || len(secret.Fields) != 1 || secret.Fields[0].Value == nil) {
				return errors.New("half a secret")
			}
			return err
		},
		func() error {
			page, _, err := listSecrets(ctxBG, s, domain.SecretQuery{Org: f.org, Scope: ref.Scope, Category: "c"})
			if err == nil && len(page) != 1 {
				return errors.New("the list is empty")
			}
			return err
		},
		func() error {
			_, err := s.Effective(ctxBG, domain.EffectiveQuery{Org: f.org, Scopes: []domain.Scope{ref.Scope, f.team}})
			return err
		},
		func() error {
			_, _, err := historyOf(s, domain.HistoryQuery{Ref: ref, Limit: 10})
			return err
		},
		func() error {
			if _, p, ok := s.Authenticate(f.key.LookupID); ok && p.Agent != f.agent {
				return errors.New("somebody else")
			}
			return nil
		},
		func() error {
			return s.Directory(f.org, func(d *domain.Directory) error {
				if len(d.Scopes) < 3 {
					return errors.New("half a directory")
				}
				return nil
			})
		},
		func() error {
			s.Now()
			s.Status()
			s.ClockSkew()
			_ = s.Ready()
			return s.Fresh(time.Now())
		},
	} {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := read(); err != nil && domain.CodeOf(err) != domain.CodeUnavailable {
					t.Error(err)
					return
				}
				time.Sleep(50 * time.Microsecond) // seven that spin leave two processors no time to write
			}
		})
	}
	for i := range 40 {
		f.change(ref, extra(f.world))
		f.command(f.org, domain.RenameScope{Scope: f.self(), Name: string(rune('a' + i%26))})
		waitFor(t, s, f.log.head())
		if i%20 == 10 {
			check(t, s, f.log)
		}
		if i%20 == 15 { // the same events, another stream: fold anew
			f.log.change(func() { f.log.created, f.log.epoch = f.log.created.Add(time.Second), f.log.epoch+1 })
			eventually(t, "folded anew", func() bool {
				mark, _ := s.checkpoint()
				return mark.created.Equal(f.log.created) && s.Ready() == nil
			})
		}
	}
	cancel()
	readers.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}
}
