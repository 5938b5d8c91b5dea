package accesslog

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/proof"
)

// sample gives a record of one secret; n tells it from others.
func sample(n int) domain.Access {
	return domain.Access{
		Target: "org_a", Actor: domain.Actor{Kind: domain.ActorAgent, ID: "agt_1"}, Action: "read", Outcome: domain.OutcomeAllowed,
		Scope: domain.Scope{Kind: domain.ScopeTeam, ID: "x"}, Secret: "one", Field: "user", Time: epoch.Add(time.Duration(n) * time.Second),
	}
}

func filled(messages, records int) *memLog {
	l := newLog()
	for m := range messages {
		var rs []domain.Access
		for range records {
			rs = append(rs, sample(m))
		}
		l.append(rs...)
	}
	return l
}

// start runs the store until the test ends, or until stop is called, which
// gives what Run gave.
func start(t *testing.T, s *Store, l *memLog) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	var running sync.WaitGroup
	running.Go(func() { err = s.Run(ctx, l) })
	stop = func() error { cancel(); running.Wait(); return err }
	t.Cleanup(func() { stop() }) //nolint:errcheck // the test asks for it where it matters.
	return stop
}

func waitFor(t *testing.T, s *Store, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.WaitFor(ctx, position); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

func all(t *testing.T, s *Store) []domain.AccessEntry {
	t.Helper()
	return pages(t, s, domain.AccessQuery{Target: "org_a", Unowned: true, Ascending: true, Limit: 100})
}

// TestServing holds invariant 7.
func TestServing(t *testing.T) {
	l := filled(3, 30)
	s := mustOpen(t, testConfig(filepath.Join(t.TempDir(), "access.db"), l))
	defer s.Close()
	refused := func(when string) {
		t.Helper()
		_, asked := s.Query(domain.AccessQuery{Target: "org_a"})
		_, read := s.LastReads(domain.SecretRef{})
		for _, err := range []error{asked, read, s.Tree(func(*proof.Tree) error { return nil }), s.Serving()} {
			if e, ok := errors.AsType[*domain.Error](err); !ok || e.Code != domain.CodeUnavailable {
				t.Errorf("%s: got %v", when, err)
			}
		}
	}
	refused("before")
	if err := s.CatchUp(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if n := len(all(t, s)); n != 90 {
		t.Errorf("%d records", n)
	}
	if err := s.discard(); err != nil {
		t.Fatal(err)
	}
	refused("while rebuilding")
	var applied []uint64
	s.c.Applied = func(position uint64) { applied = append(applied, position) }
	if err := s.Rebuild(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if n := len(applied); n == 0 || !slices.IsSorted(applied) || applied[n-1] != s.Position() {
		t.Errorf("told of %v, at %d", applied, s.Position())
	}
	if n := len(all(t, s)); n != 90 {
		t.Errorf("%d records after a rebuild", n)
	}
	mustCheck(t, s, l)
}

// The store follows, readers ask meanwhile, and each sees a beginning of the
// log that only grows.
func TestFollow(t *testing.T) {
	l := filled(1, 1)
	s := mustOpen(t, testConfig(filepath.Join(t.TempDir(), "access.db"), l))
	defer s.Close()
	stop := start(t, s, l)
	waitFor(t, s, 1)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := 0; ; {
				position := s.Position()
				found := pages(fatal{t}, s, domain.AccessQuery{Target: "org_a", Limit: 1000, Ascending: true})
				if n := len(found); n < last || uint64(n) < position*3-2 {
					t.Errorf("%d records at position %d, after %d", n, position, last)
				}
				for i, e := range found {
					if i > 0 && !before(found[i-1].Place, e.Place) {
						t.Errorf("record %d is out of order", i)
					}
				}
				last = len(found)
				if _, err := s.LastReads(refOf(&found[0].Access)); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for n := range 300 {
		l.append(sample(n), sample(n), sample(n))
	}
	waitFor(t, s, 301)
	close(done)
	readers.Wait()
	if lag := s.Lag(); lag != 0 {
		t.Errorf("a lag of %d", lag)
	}
	mustCheck(t, s, l)
	if err := s.Run(t.Context(), l); !errors.Is(err, ErrBusy) {
		t.Errorf("running twice gave %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := s.WaitFor(t.Context(), 302); !errors.Is(err, ErrStopped) {
		t.Errorf("waiting gave %v", err)
	}
	if err := s.Ready(); !errors.Is(err, ErrStopped) {
		t.Errorf("ready gave %v", err)
	}
}

// fatal fails from any goroutine.
type fatal struct{ t *testing.T }

func (f fatal) Fatalf(format string, args ...any) { f.t.Errorf(format, args...) }

// TestOtherLog holds invariant 5: a log that is another one, or lost its tail
// and gave its positions out again, is indexed anew.
func TestOtherLog(t *testing.T) {
	for name, change := range map[string]func(*memLog){
		"made anew":          func(l *memLog) { l.change(func() { l.created = l.created.Add(time.Nanosecond) }) },
		"lost":               func(l *memLog) { l.lose(7) },
		"lost and given out": func(l *memLog) { l.lose(7); l.append(sample(70)); l.append(sample(80)); l.append(sample(90)) },
		"lost and overtaken": func(l *memLog) {
			l.lose(3)
			for n := range 30 {
				l.append(sample(100 + n))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := filled(10, 8)
			s := caughtUp(t, l, nil)
			change(l)
			if err := s.CatchUp(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			mustCheck(t, s, l)
			start(t, s, l)
			change(l)
			l.append(sample(1))
			eventually(t, "indexed anew", func() bool {
				return s.Ready() == nil && s.Position() == l.head() && Check(t.Context(), s, l) == nil &&
					s.Tree(func(tree *proof.Tree) error { return sameRoot(tree, l) }) == nil
			})
			mustCheck(t, s, l)
		})
	}
}

// TestGap holds invariant 4.
func TestGap(t *testing.T) {
	l := filled(5, 2)
	l.change(func() {
		for i := 3; i < 5; i++ {
			l.messages[i].Position++
		}
	})
	s := mustOpen(t, testConfig(filepath.Join(t.TempDir(), "access.db"), l))
	defer s.Close()
	err := s.Run(t.Context(), l)
	if _, ok := errors.AsType[*integrityError](err); !ok || s.Position() != 3 {
		t.Errorf("position %d: %v", s.Position(), err)
	}
	if err := s.Ready(); err == nil {
		t.Error("a stopped store is ready")
	}
}

// A log that does not answer is asked again.
func TestSilence(t *testing.T) {
	l := filled(2, 2)
	l.silent = true
	s := mustOpen(t, testConfig(filepath.Join(t.TempDir(), "access.db"), l))
	defer s.Close()
	start(t, s, l)
	eventually(t, "silence is told", func() bool { return errors.Is(s.Ready(), errSilent) })
	l.change(func() { l.silent = false })
	waitFor(t, s, 2)
	eventually(t, "ready", func() bool { return s.Ready() == nil })
}

// After Close everything is refused, and a second Close does nothing.
func TestClosed(t *testing.T) {
	l := filled(2, 2)
	s := caughtUp(t, l, nil)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Query(domain.AccessQuery{Target: "org_a"}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	l.append(sample(1))
	if err := s.CatchUp(t.Context(), l); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A secret needs its scope; nothing is found by halves.
func TestSecretWithoutScope(t *testing.T) {
	s := caughtUp(t, filled(1, 1), nil)
	if _, err := s.Query(domain.AccessQuery{Target: "org_a", Secret: "one"}); err == nil {
		t.Error("a secret without its scope was asked for")
	}
}
