package accessjournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openLog gives an access log on an embedded server that ends with the test.
func openLog(t testing.TB) *eventstore.AccessLog {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	e, err := eventstore.StartEmbedded(t.Context(), t.TempDir(), logger)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		if err := e.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	l, err := eventstore.OpenAccessLog(t.Context(), nc, eventstore.AccessOptions{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// running runs something until stop.
func running(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func mustOpen(t testing.TB, path string, l Log) *Journal {
	t.Helper()
	j, err := Open(t.Context(), path, l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func recorderOn(t testing.TB, a eventstore.AccessAppender) (r *eventstore.AccessRecorder, stop func()) {
	r = eventstore.NewAccessRecorder(a, eventstore.AccessRecorderConfig{Now: time.Now})
	return r, running(t, r.Run)
}

func accessOf(n int) domain.Access {
	return domain.Access{
		Action: string(domain.ActionRead), Outcome: domain.OutcomeAllowed, Origin: domain.Origin{RequestID: fmt.Sprint("r", n)},
		Actor: domain.Actor{Kind: domain.ActorAgent, ID: "agt_01K0000000000000000000000A"},
		Scope: domain.Scope{Kind: domain.ScopeTeam, ID: "tem_01K0000000000000000000000B"}, Secret: "database", Rule: "role",
	}
}

// requests returns how often each request's record is in the log.
func requests(t testing.TB, l Log) (seen map[string]int, messages int) {
	t.Helper()
	seen = map[string]int{}
	for m, err := range l.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		messages++
		for _, a := range m.Records {
			seen[a.Origin.RequestID]++
		}
	}
	return seen, messages
}

// TestRecord: records of many callers are in the file before they are in the log,
// then in the log once, in fewer messages; an orderly stop leaves nothing, and a
// crash leaves what the next start forwards.
func TestRecord(t *testing.T) {
	t.Parallel()
	l, path := openLog(t), filepath.Join(t.TempDir(), "access.journal")
	j := mustOpen(t, path, l)
	r, stopRecorder := recorderOn(t, j)
	const callers, each = 16, 50
	record := func(from int) {
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for i := range each {
					if err := r.Record(t.Context(), accessOf(from+c*each+i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	check := func(want int) (messages int) {
		t.Helper()
		seen, messages := requests(t, l)
		for i := range want {
			if n := seen[fmt.Sprint("r", i)]; n != 1 {
				t.Errorf("record %d is there %d times", i, n)
			}
		}
		if len(seen) != want {
			t.Errorf("%d records, not %d", len(seen), want)
		}
		return messages
	}

	record(0) // nothing forwards
	check(0)
	if n, err := Inspect(t.Context(), path, l); n != callers*each || err != nil {
		t.Errorf("%d records wait, %v", n, err)
	}
	if n := j.Backlog(); n == 0 {
		t.Error("there is no backlog")
	}
	stopForwarder := running(t, j.Run)
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := check(callers * each); n > 10 {
		t.Errorf("%d messages for %d records", n, callers*each)
	}

	record(callers * each)
	stopRecorder()
	stopForwarder()
	check(2 * callers * each)
	if n, err := Inspect(t.Context(), path, l); n != 0 || err != nil || j.Backlog() != 0 {
		t.Errorf("after an orderly end %d records wait, %v", n, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	j = mustOpen(t, path, l)
	r, stopRecorder = recorderOn(t, j)
	record(2 * callers * each)
	stopRecorder()
	if err := j.Close(); err != nil { // nothing was forwarded
		t.Fatal(err)
	}
	j = mustOpen(t, path, l)
	check(3 * callers * each)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || info.Size() != 2*segmentSize {
		t.Errorf("%v, %v", info, err)
	}
}

// TestFull: while the access log takes nothing, appends go on until the journal is
// full, then they fail, and a caller is told in time; nothing is lost when the log
// takes messages again (invariant 5).
func TestFull(t *testing.T) {
	t.Parallel()
	l := &memoryLog{}
	var refuses atomic.Bool
	refuses.Store(true)
	l.fault = func() (bool, error) {
		if refuses.Load() {
			return false, eventstore.ErrUnavailable
		}
		return true, nil
	}
	j, err := open(t.Context(), newDisk(nil), testSegment, l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	j.full = 0
	stop := running(t, j.Run)
	want := ""
	for n := 0; ; n++ {
		text := fmt.Sprint(n, "\n")
		if _, err = j.Append(t.Context(), []byte(text), nil); err != nil {
			break
		}
		want += text
	}
	if !errors.Is(err, eventstore.ErrUnavailable) || j.Backlog() != len(want) {
		t.Errorf("full: %v with %d bytes", err, j.Backlog())
	}
	for j.Problem() == nil { // until the forwarder has tried
		time.Sleep(time.Millisecond)
	}
	refuses.Store(false)
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(t.Context(), []byte("last\n"), nil); err != nil || j.Problem() != nil {
		t.Errorf("the next: %v, %v", err, j.Problem())
	}
	stop()
	if got := l.text(); got != want+"last\n" {
		t.Errorf("the log has %q", got)
	}
}

// TestFailed: a failed sync is final. What was durable before is forwarded still
// (invariant 4).
func TestFailed(t *testing.T) {
	t.Parallel()
	d, l := newDisk(nil), &memoryLog{}
	j, err := open(t.Context(), d, testSegment, l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	appended := func() error {
		_, err := j.Append(t.Context(), []byte("a\n"), nil)
		return err
	}
	if err := appended(); err != nil || j.Problem() != nil {
		t.Fatal(err, j.Problem())
	}
	d.broken = true
	if err := appended(); !errors.Is(err, eventstore.ErrUncertain) || !errors.Is(err, errDisk) {
		t.Errorf("the failed one: %v", err)
	}
	d.broken = false
	for range 2 {
		if err := appended(); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("after it: %v", err)
		}
	}
	if err := j.Problem(); !errors.Is(err, errDisk) {
		t.Errorf("the problem is %v", err)
	}
	running(t, j.Run)()
	if got := l.text(); got != "a\n" {
		t.Errorf("the log has %q", got)
	}
}

// TestAppendRefused: what no message can hold, and what nobody waits for any more.
func TestAppendRefused(t *testing.T) {
	t.Parallel()
	j, err := open(t.Context(), newDisk(nil), testSegment, &memoryLog{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, eventstore.MaxAccessMessage + 1} {
		if _, err := j.Append(t.Context(), make([]byte, size), nil); !errors.Is(err, eventstore.ErrRefused) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Append(ctx, []byte("a\n"), nil); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("an ended context: %v", err)
	}
}

// BenchmarkRecord compares recording with and without the journal.
func BenchmarkRecord(b *testing.B) {
	for _, with := range []bool{false, true} {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("journal=%v/callers=%d", with, callers), func(b *testing.B) {
				l := openLog(b)
				var appender eventstore.AccessAppender = l
				if with {
					j := mustOpen(b, filepath.Join(b.TempDir(), "access.journal"), l)
					stop := running(b, j.Run)
					defer func() { stop(); _ = j.Close() }()
					appender = j
				}
				r, stop := recorderOn(b, appender)
				defer stop()
				var left atomic.Int64
				left.Store(int64(b.N))
				before := cpu(b)
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if err := r.Record(b.Context(), accessOf(1)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// cpu returns the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
