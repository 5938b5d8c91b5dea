package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chancery-dev/chancery/domain"
)

// meter is an AccessObserver that counts.
type meter struct {
	messages, records, failures, summarised atomic.Int64
	largest                                 atomic.Int64
}

func (m *meter) AccessAppended(records, bytes int, _ time.Duration, err error) {
	if err != nil {
		m.failures.Add(1)
		return
	}
	m.messages.Add(1)
	m.records.Add(int64(records))
	m.largest.Store(max(m.largest.Load(), int64(bytes)))
}

func (m *meter) AccessSummarised() { m.summarised.Add(1) }

// runRecorder gives a recorder that runs until stop, which gives what Run
// returned; the end of the test stops it too.
func runRecorder(t testing.TB, log AccessAppender, c AccessRecorderConfig) (r *AccessRecorder, stop func() error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	r = NewAccessRecorder(log, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return r, stop
}

// recorded gives every record of a log, in order.
func recorded(t testing.TB, l AccessReadWriter) (all []domain.Access) {
	t.Helper()
	for m, err := range l.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Raw) > MaxAccessMessage {
			t.Errorf("message %d has %d bytes", m.Position, len(m.Raw))
		}
		all = append(all, m.Records...)
	}
	return all
}

// TestRecord: every record that was acknowledged is there once, and records
// that wait together share messages.
func TestRecord(t *testing.T) {
	for backend, open := range accessBackends {
		t.Run(backend, func(t *testing.T) {
			l, m := open(t), &meter{}
			r, stop := runRecorder(t, l, AccessRecorderConfig{Observer: m})
			const callers, each = 64, 20
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := range each {
						if err := r.Record(t.Context(), accessOf(c*each+i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			seen := map[string]int{}
			for _, a := range recorded(t, l) {
				seen[a.Origin.RequestID]++
			}
			for i := range callers * each {
				if n := seen[fmt.Sprint("r", i)]; n != 1 {
					t.Errorf("record %d is there %d times", i, n)
				}
			}
			status, err := l.Status(t.Context())
			if err != nil || m.messages.Load() != int64(status.Head) || m.records.Load() != callers*each {
				t.Errorf("%d messages, %d records, %+v, %v", m.messages.Load(), m.records.Load(), status, err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
			if err := r.Record(t.Context(), accessOf(1)); !errors.Is(err, ErrUnavailable) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// gate is an appender whose appends wait until they are let through.
type gate struct {
	AccessReadWriter
	entered chan struct{}
	pass    chan struct{}
}

func newGate(l AccessReadWriter) *gate {
	return &gate{AccessReadWriter: l, entered: make(chan struct{}, 1000), pass: make(chan struct{})}
}

func (g *gate) Append(ctx context.Context, data []byte, records []domain.Access) (uint64, error) {
	g.entered <- struct{}{}
	<-g.pass
	return g.AccessReadWriter.Append(ctx, data, records)
}

// TestRecordTogether: while messages are under way everything that comes waits
// and then goes together, in messages that keep their limit.
func TestRecordTogether(t *testing.T) {
	g := newGate(NewMemoryAccessLog(time.Now, nil))
	m := &meter{}
	r, stop := runRecorder(t, g, AccessRecorderConfig{Observer: m})
	big := accessSamples()["read"]
	const waiting = 150 // some 100 KiB
	errs := make(chan error, waiting+1)
	record := func() { errs <- r.Record(t.Context(), big) }
	go record()
	<-g.entered
	for range waiting {
		go record()
	}
	waitFor(t, func() bool { return len(r.queue) == waiting })
	close(g.pass)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := len(recorded(t, g)); got != cap(errs) || m.messages.Load() > 4 || m.largest.Load() > MaxAccessMessage {
		t.Errorf("%d records in %d messages, the largest of %d bytes", got, m.messages.Load(), m.largest.Load())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestRecordFails: everybody whose record went into a message that failed is
// told, whether or not it is there; the next message is another chance
// (invariant 8).
func TestRecordFails(t *testing.T) {
	for _, tt := range []struct {
		apply     bool
		err, want error
	}{{false, ErrUnavailable, ErrUnavailable}, {true, errLost, ErrUncertain}, {false, errLost, ErrUncertain}} {
		var failing atomic.Bool
		failing.Store(true)
		l := NewMemoryAccessLog(time.Now, func(Op) (bool, error) {
			if failing.Load() {
				return tt.apply, tt.err
			}
			return true, nil
		})
		m := &meter{}
		r, _ := runRecorder(t, l, AccessRecorderConfig{Observer: m})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := r.Record(t.Context(), accessOf(i)); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		}
		wg.Wait()
		if m.failures.Load() == 0 || m.records.Load() != 0 {
			t.Errorf("%d failures, %d records", m.failures.Load(), m.records.Load())
		}
		failing.Store(false)
		if err := r.Record(t.Context(), accessOf(99)); err != nil || m.records.Load() != 1 {
			t.Errorf("the next: %v", err)
		}
	}
}

// TestRecordLeft: who leaves gets an error, and what had not been packed by
// then is not recorded.
func TestRecordLeft(t *testing.T) {
	g := newGate(NewMemoryAccessLog(time.Now, nil))
	r, stop := runRecorder(t, g, AccessRecorderConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	go func() { errs <- r.Record(ctx, accessOf(1)) }()
	<-g.entered
	go func() { errs <- r.Record(ctx, accessOf(77)) }()
	waitFor(t, func() bool { return len(r.queue) == 1 })
	cancel()
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if err := r.Record(ctx, accessOf(78)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended before: %v", err)
	}
	close(g.pass)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := len(recorded(t, g)); got != 1 {
		t.Errorf("%d records", got)
	}
}

// TestRecordStop: an orderly stop stores what waits.
func TestRecordStop(t *testing.T) {
	g := newGate(NewMemoryAccessLog(time.Now, nil))
	r, stop := runRecorder(t, g, AccessRecorderConfig{})
	errs := make(chan error, 11)
	go func() { errs <- r.Record(t.Context(), accessOf(1)) }()
	<-g.entered
	for i := range 10 {
		go func() { errs <- r.Record(t.Context(), accessOf(100+i)) }()
	}
	waitFor(t, func() bool { return len(r.queue) == 10 })
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(g.pass)
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := <-stopped; err != nil || len(recorded(t, g)) != cap(errs) {
		t.Errorf("%d records, %v", len(recorded(t, g)), err)
	}
}

// TestRecordTime: the recorder's clock stands in where the caller has none.
func TestRecordTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewMemoryAccessLog(time.Now, nil)
		r, stop := runRecorder(t, l, AccessRecorderConfig{})
		if err := r.Record(t.Context(), domain.Access{Outcome: domain.OutcomeAllowed}); err != nil {
			t.Fatal(err)
		}
		if got := recorded(t, l); len(got) != 1 || !got[0].Time.Equal(time.Now()) {
			t.Errorf("%+v", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestRecordKilled: the server goes away in the middle of 64 callers. What was
// acknowledged is found after the restart; a record without an acknowledgement
// may be there or not, but never twice.
func TestRecordKilled(t *testing.T) {
	dir := t.TempDir()
	e, nc := startEmbedded(t, dir)
	r, stop := runRecorder(t, openAccessLog(t, nc, 0), AccessRecorderConfig{})
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var failed atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for c := range 64 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a := accessOf(c<<32 | i)
				if err := r.Record(t.Context(), a); err != nil {
					failed.Add(1)
					return
				}
				mu.Lock()
				acknowledged[a.Origin.RequestID] = true
				mu.Unlock()
			}
		})
	}
	waitFor(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) > 1000
	})
	if err := e.Shutdown(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	cancel()
	if failed.Load() != 64 {
		t.Errorf("%d callers saw the end", failed.Load())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	nc.Close()
	_, again := startEmbedded(t, dir)
	found := map[string]int{}
	for _, a := range recorded(t, openAccessLog(t, again, 0)) {
		found[a.Origin.RequestID]++
	}
	for id := range acknowledged {
		if found[id] != 1 {
			t.Errorf("%s is there %d times", id, found[id])
		}
	}
	for id, n := range found {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

// TestRecordedIsFollowedUndecoded: a follower of this process gets the records
// as they were packed, and they are those of the message.
func TestRecordedIsFollowedUndecoded(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openAccessLog(t, nc, 0)
	r, _ := runRecorder(t, l, AccessRecorderConfig{})
	record := func(n int) {
		if err := r.Record(t.Context(), accessOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	record(1)
	for m, err := range l.Follow(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		want, err := DecodeAccess(m.Raw)
		if diff := cmp.Diff(want, m.Records); err != nil || diff != "" {
			t.Errorf("message %d: %v\n%s", m.Position, err, diff)
		}
		// The first one was read from the log, where following begins.
		kept, _, _, _, _ := l.tail.after(m.Position - 1)
		if m.Position > 1 && (len(kept[0].Records) == 0 || &kept[0].Records[0] != &m.Records[0]) {
			t.Errorf("message %d was decoded", m.Position)
		}
		if m.Position == 3 {
			break
		}
		record(int(m.Position) + 1)
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			m := &meter{}
			_, nc := startEmbedded(b, b.TempDir())
			r, _ := runRecorder(b, openAccessLog(b, nc, 0), AccessRecorderConfig{Observer: m})
			a := accessSamples()["read"]
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := r.Record(b.Context(), a); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(m.records.Load())/float64(m.messages.Load()), "records/message")
		})
	}
}
