package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/httpapi"
)

// probedHealth is the health of an open store whose clock stands still and
// whose probes are counted and answered by the test.
type probedHealth struct {
	*health
	clock   atomic.Int64 // nanoseconds
	probes  atomic.Int64
	logged  bytes.Buffer
	failing atomic.Pointer[error]
}

func newProbedHealth(t *testing.T) *probedHealth {
	t.Helper()
	p := &probedHealth{}
	cfg := testConfig(t)
	cfg.Logger = slog.New(slog.NewTextHandler(&p.logged, nil))
	s, err := openStore(t.Context(), cfg)
	mustDo(t, err)
	t.Cleanup(func() { mustDo(t, s.close()) })
	mustDo(t, s.state.CatchUp(t.Context(), s.log))
	s.now = func() time.Time { return time.Unix(0, p.clock.Load()) }
	p.health = newHealth(s)
	p.logged.Reset()
	p.askLog = func(context.Context) error {
		p.probes.Add(1)
		if err := p.failing.Load(); err != nil {
			return *err
		}
		return nil
	}
	return p
}

func (p *probedHealth) fail(err error) { p.failing.Store(&err) }

func (p *probedHealth) pass(d time.Duration) { p.clock.Add(int64(d)) }

func failsFor(unready []httpapi.Unready, part string) bool {
	for _, u := range unready {
		if u.Part == part {
			return true
		}
	}
	return false
}

// TestReadyAsksOnceASecond: however often readiness is asked for, the log and
// the key provider are asked once in a second, and the answer is theirs.
func TestReadyAsksOnceASecond(t *testing.T) {
	h := newProbedHealth(t)
	for range 5 {
		if failsFor(h.Ready(t.Context()), "log") {
			t.Error("the log answers and is unready")
		}
	}
	h.fail(errors.New("gone"))
	h.pass(probeFresh - 1)
	if failsFor(h.Ready(t.Context()), "log") || h.probes.Load() != 1 {
		t.Errorf("asked %d times within a second; want once", h.probes.Load())
	}
	h.pass(1)
	if !failsFor(h.Ready(t.Context()), "log") || h.probes.Load() != 2 {
		t.Errorf("asked %d times after a second; want twice, and the log unready", h.probes.Load())
	}
	h.pass(-time.Hour) // a clock that was put back must not keep the answer
	h.Ready(t.Context())
	if h.probes.Load() != 3 {
		t.Errorf("asked %d times after the clock was put back; want 3", h.probes.Load())
	}
}

// TestReadySharesOneProbe: concurrent callers wait for one probe, and one that
// goes away breaks it off for nobody.
func TestReadySharesOneProbe(t *testing.T) {
	h := newProbedHealth(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	h.askLog = func(ctx context.Context) error {
		if h.probes.Add(1) == 1 {
			close(asked)
			<-answer
		}
		return ctx.Err()
	}
	first, leave := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var unready atomic.Int64
	call := func(ctx context.Context) {
		callers.Go(func() {
			if failsFor(h.Ready(ctx), "log") {
				unready.Add(1)
			}
		})
	}
	call(first)
	<-asked
	for range 10 {
		call(t.Context())
	}
	if !failsFor(h.Ready(cancelled(t)), "log") {
		t.Error("a caller that does not wait is told that the log answered")
	}
	leave()
	close(answer)
	callers.Wait()
	if h.probes.Load() != 1 || unready.Load() != 0 {
		t.Errorf("%d probes, %d callers were told that the log is unready; want 1 and 0", h.probes.Load(), unready.Load())
	}
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestReadyLogsChanges: a cause is logged when it comes, when it becomes
// another and when it is gone, not when somebody asks, and not for a number
// that counts.
func TestReadyLogsChanges(t *testing.T) {
	h := newProbedHealth(t)
	logged := func() (lines int) {
		for line := range strings.Lines(h.logged.String()) {
			if strings.Contains(line, "part=log") {
				lines++
			}
		}
		return lines
	}
	for i, step := range []struct {
		cause string // %d is another number each time
		want  int
	}{{"", 0}, {"no answer in %d ms", 1}, {"denied", 2}, {"", 3}, {"denied", 4}} {
		for n := range 3 {
			h.pass(probeFresh)
			switch {
			case step.cause == "":
				h.failing.Store(nil)
			case strings.Contains(step.cause, "%d"):
				h.fail(fmt.Errorf(step.cause, n))
			default:
				h.fail(errors.New(step.cause))
			}
			if got := failsFor(h.Ready(t.Context()), "log"); got != (step.cause != "") {
				t.Errorf("step %d: unready %v", i, got)
			}
			if got := logged(); got != step.want {
				t.Errorf("step %d: %d lines of the log's state; want %d:\n%s", i, got, step.want, h.logged.String())
			}
		}
	}
}
