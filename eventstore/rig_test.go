package eventstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/chancery-dev/chancery/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a log under test with switchable faults.
type rig struct {
	Log
	// restart stops whatever keeps the log and starts it again.
	restart func()
	// intrude stores bytes that are no event and gives their position. Proven,
	// they are listed as foreign.
	intrude func(subject string, raw []byte, proven bool) uint64

	// hold holds every sync from now on; nil where the server syncs: neither can
	// a test hold what it does, nor can a client see it.
	hold func() *heldSync

	mu    sync.Mutex
	fault Fault
	ops   []Op
	held  *heldSync // of a log in memory
}

// heldSync is a disk that does not answer.
type heldSync struct {
	begun    chan struct{} // closed once a sync waits
	released chan struct{}
	begin    func()
	release  func()
}

func newHeldSync(t testing.TB) *heldSync {
	h := &heldSync{begun: make(chan struct{}), released: make(chan struct{})}
	h.begin = sync.OnceFunc(func() { close(h.begun) })
	h.release = sync.OnceFunc(func() { close(h.released) })
	t.Cleanup(h.release)
	return h
}

func (h *heldSync) wait() {
	h.begin()
	<-h.released
}

// gates holds the fsyncs of embedded servers: *Embedded to
// *atomic.Pointer[heldSync].
var gates sync.Map

// holdFiles holds the fsyncs of the server that a connection leads to.
func holdFiles(t testing.TB, nc *nats.Conn) *heldSync {
	h := newHeldSync(t)
	gate, ok := gates.Load(nc.Opts.InProcessServer)
	if held, right := gate.(*atomic.Pointer[heldSync]); ok && right {
		held.Store(h)
	} else {
		t.Fatal("not a server of startEmbedded")
	}
	return h
}

// holdMemory holds those of a log in memory that has the rig's faults.
func (r *rig) holdMemory(t testing.TB) *heldSync {
	h := newHeldSync(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = h
	return h
}

// inject sets the fault for all later operations.
func (r *rig) inject(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault, r.ops = f, nil
}

// without runs do while there are no faults.
func (r *rig) without(do func()) {
	r.mu.Lock()
	f := r.fault
	r.fault = nil
	r.mu.Unlock()
	do()
	r.mu.Lock()
	r.fault = f
	r.mu.Unlock()
}

func (r *rig) hook(op Op) (bool, error) {
	r.mu.Lock()
	f := r.fault
	r.ops = append(r.ops, op)
	held := r.held
	r.mu.Unlock()
	if op.Kind == OpSync && held != nil {
		held.wait()
	}
	if f == nil {
		return true, nil
	}
	return f(op)
}

// count says how many operations of a kind there were since inject.
func (r *rig) count(kind OpKind) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, op := range r.ops {
		if op.Kind == kind {
			n++
		}
	}
	return n
}

// fastTiming makes giving up quick; nothing else depends on it.
func fastTiming() timing {
	return timing{ack: 3 * time.Second, settle: 300 * time.Millisecond, pause: time.Millisecond}
}

// backends makes every implementation of Log.
var backends = map[string]func(t testing.TB) *rig{
	"memory": func(t testing.TB) *rig {
		r := &rig{restart: func() {}}
		l := NewMemory(time.Now, r.hook)
		r.hold = func() *heldSync { return r.holdMemory(t) }
		r.Log, r.intrude = l, l.Intrude
		return r
	},
	"jetstream": func(t testing.TB) *rig { return newJetStreamRig(t, false) },
	// Nobody else appends: synced here, followed from its tail.
	"embedded": func(t testing.TB) *rig { return newJetStreamRig(t, true) },
}

// logger shows what the server and the log report.
func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// startEmbedded gives a server on dir and a connection; both end with the test.
func startEmbedded(t testing.TB, dir string) (*Embedded, *nats.Conn) {
	t.Helper()
	gate := new(atomic.Pointer[heldSync])
	e, err := StartEmbeddedWith(t.Context(), dir, EmbeddedOptions{Logger: logger(t), Sync: func(f *os.File) error {
		if h := gate.Load(); h != nil {
			h.wait()
		}
		return f.Sync()
	}})
	if err != nil {
		t.Fatal(err)
	}
	gates.Store(e, gate)
	nc, err := e.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopEmbedded(t, e, nc) })
	return e, nc
}

func stopEmbedded(t testing.TB, e *Embedded, nc *nats.Conn) {
	nc.Close()
	if err := e.Shutdown(); err != nil {
		t.Error(err)
	}
}

func openLog(t testing.TB, nc *nats.Conn) *JetStream {
	t.Helper()
	l, err := OpenJetStream(t.Context(), nc, Options{Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	l.appender.timing = fastTiming()
	return l
}

// shared is a log as on an external server: others may append too, so it is
// grouped in batches and followed by consumers, and the server vouches for what
// is durable.
func shared(l *JetStream) *JetStream {
	l.sync = nil
	l.tail, l.group = nil, newGroup(&l.jetStreamBroker, appendedAlone, fastTiming().ack)
	return l
}

func newJetStreamRig(t testing.TB, alone bool) *rig {
	dir := t.TempDir()
	e, nc := startEmbedded(t, dir)
	r := &rig{}
	listed := map[uint64][32]byte{}
	var l *JetStream
	open := func() {
		if l = openLog(t, nc); !alone {
			l = shared(l)
		}
		l.fault, l.foreign = r.hook, maps.Clone(listed)
		r.Log = l
	}
	r.intrude = func(subject string, raw []byte, proven bool) uint64 {
		ack, err := l.js.Publish(t.Context(), subject, raw)
		if err != nil {
			t.Fatal(err)
		}
		if proven {
			listed[ack.Sequence] = sha256.Sum256(raw)
			open()
		}
		return ack.Sequence
	}
	r.restart = func() {
		stopEmbedded(t, e, nc)
		e, nc = startEmbedded(t, dir)
		open()
	}
	if alone {
		r.hold = func() *heldSync {
			l.appender.ack = time.Minute
			return holdFiles(t, nc)
		}
	}
	open()
	return r
}

func collect(t testing.TB, events iter.Seq2[domain.Recorded, error]) []domain.Recorded {
	t.Helper()
	var rs []domain.Recorded
	for r, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func mustAppend(t testing.TB, l Log, stream domain.Stream, after uint64, p domain.Proposed) domain.Recorded {
	t.Helper()
	r, err := l.Append(t.Context(), stream, after, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// follower collects what Follow yields, in the background.
type follower struct {
	events chan domain.Recorded
	done   chan struct{}
	err    error // after done
}

func follow(ctx context.Context, l Log, after uint64) *follower {
	f := &follower{events: make(chan domain.Recorded), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for r, err := range l.Follow(ctx, after) {
			if err != nil {
				f.err = err
				return
			}
			select {
			case f.events <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return f
}

// next waits for one event; a test that waits in vain ends by its deadline.
func (f *follower) next(t testing.TB) domain.Recorded {
	t.Helper()
	select {
	case r := <-f.events:
		return r
	case <-f.done:
		t.Fatalf("following ended: %v", f.err)
	case <-time.After(30 * time.Second):
		t.Fatal("no event came")
	}
	return domain.Recorded{}
}

// end waits until following has ended and gives the reason.
func (f *follower) end(t testing.TB) error {
	t.Helper()
	select {
	case <-f.done:
		return f.err
	case r := <-f.events:
		t.Fatalf("another event: %v", r.Position)
	case <-time.After(30 * time.Second):
		t.Fatal("following did not end")
	}
	return nil
}

var errLost = errors.New("test: the acknowledgement was lost")
