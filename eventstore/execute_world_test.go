package eventstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/kms/kmstest"
	"github.com/chancery-dev/chancery/projections"
)

var (
	errLost  = errors.New("test: the acknowledgement was lost")
	errCrash = errors.New("test: the process ended here")
)

// reporter is what *testing.T and *rapid.T have in common.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Error(args ...any)
	Fatal(args ...any)
}

// world is what nodes share: a clock, a log, a key store and the root key.
type world struct {
	reporter
	ctx  context.Context // ends with the test, or when that hangs
	dir  string          // of one test
	log  eventstore.Log
	keys kms.KeyStore
	// faulty is the key store of a world in memory.
	faulty *kmstest.Store
	root   kms.Provider
	// restart ends the log's server and starts it again, with nodes stopped.
	restart func()

	mu    sync.Mutex
	now   time.Time
	fault eventstore.Fault
	nodes []*node
	// checked is for tests that check before their end.
	checked bool
}

// worlds makes a world over every implementation of Log.
var worlds = map[string]func(*testing.T) *world{"memory": newWorld, "jetstream": newJetStreamWorld}

func onEachLog(t *testing.T, test func(*testing.T, *world)) {
	for name, open := range worlds {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// newWorld gives a world in memory, whose faults are the test's to choose.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := newEmptyWorld(t)
	w.faulty = &kmstest.Store{}
	w.keys = w.faulty
	w.log = eventstore.NewMemory(w.clock, w.inject)
	t.Cleanup(w.check)
	return w
}

func newJetStreamWorld(t *testing.T) *world {
	t.Helper()
	w := newEmptyWorld(t)
	dir := t.TempDir()
	var server *eventstore.Embedded
	var nc *nats.Conn
	start := func() {
		var err error
		must := func(failed error) {
			if failed != nil {
				t.Fatal(failed)
			}
		}
		server, err = eventstore.StartEmbedded(w.ctx, dir, slog.New(slog.DiscardHandler))
		must(err)
		nc, err = server.Connect(w.ctx)
		must(err)
		w.log, err = eventstore.OpenJetStream(w.ctx, nc, eventstore.Options{})
		must(err)
		w.keys, err = eventstore.OpenKeyStore(w.ctx, nc, 1)
		must(err)
	}
	stop := func() {
		nc.Close()
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	}
	w.restart = func() {
		w.stopNodes()
		stop()
		start()
	}
	start()
	t.Cleanup(func() { stop() })
	t.Cleanup(w.check)
	return w
}

func newEmptyWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{reporter: t, ctx: ctx, dir: t.TempDir(), now: time.Now().UTC().Truncate(time.Millisecond)}
	root, err := kms.CreateLocal(filepath.Join(w.dir, "root.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.root = root
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// wait moves the clock, also back.
func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// faults sets what happens to every later operation of a log in memory.
func (w *world) faults(f eventstore.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *world) inject(op eventstore.Op) (bool, error) {
	w.mu.Lock()
	f := w.fault
	w.mu.Unlock()
	if f == nil {
		return true, nil
	}
	return f(op)
}

// on makes a fault of what happens to the sendings of one type of event.
func on(kind domain.EventType, do func(attempt int) (bool, error)) eventstore.Fault {
	return func(op eventstore.Op) (bool, error) {
		if op.Kind == eventstore.OpLookUp || op.Type != kind {
			return true, nil
		}
		return do(op.Attempt)
	}
}

// check ends the nodes. Each must hold exactly what the log means, and the log
// must hold no destruction twice.
func (w *world) check() {
	if w.checked {
		return
	}
	w.checked = true
	w.faults(nil)
	for _, n := range w.nodes {
		if !n.running {
			continue
		}
		n.halt()
		if err := projections.Check(w.ctx, n.state, w.log); err != nil {
			w.Error(err)
		}
	}
	destroyed := map[domain.KekID]bool{}
	for _, r := range w.events() {
		e, ok := r.Event.(domain.KeyDestroyed)
		for _, kek := range e.KekIDs {
			if ok && destroyed[kek] {
				w.Errorf("position %d: the destruction of a key is recorded again", r.Position)
			}
			destroyed[kek] = true
		}
	}
	w.stopNodes()
}

func (w *world) stopNodes() {
	for _, n := range w.nodes {
		n.halt()
		if err := n.state.Close(); err != nil {
			w.Error(err)
		}
	}
}

// events gives the whole log, with folded times.
func (w *world) events() []domain.Recorded {
	w.Helper()
	var events []domain.Recorded
	var at time.Time
	// Also an append of which nobody found out: a follower makes it durable.
	status, err := w.log.Status(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	if status.Stored == 0 {
		return nil
	}
	for r, err := range w.log.Follow(w.ctx, 0) {
		if err != nil {
			w.Fatal(err)
		}
		if r.Time.After(at) {
			at = r.Time
		}
		r.At = at
		if events = append(events, r); r.Position == status.Stored {
			break
		}
	}
	return events
}

// stream gives the events of one stream, with folded times.
func (w *world) stream(stream domain.Stream) []domain.Recorded {
	w.Helper()
	var events []domain.Recorded
	for _, r := range w.events() {
		if r.Stream == stream {
			events = append(events, r)
		}
	}
	return events
}

// unchanged demands that do appends nothing.
func (w *world) unchanged(do func()) {
	w.Helper()
	before := len(w.events())
	do()
	if after := len(w.events()); after != before {
		w.Errorf("%d events were stored", after-before)
	}
}

// stored says whether the key store has a secret key.
func (w *world) stored(kek domain.KekID) bool {
	w.Helper()
	_, err := w.keys.SecretKey(w.ctx, kek.String())
	if err != nil && !errors.Is(err, domain.ErrKeyNotFound) {
		w.Fatal(err)
	}
	return err == nil
}

// node is one process over a world: projection, keyring, executor and
// reconciler as the server wires them, with seams between.
type node struct {
	*eventstore.Executor
	w          *world
	seams      *seams
	state      *projections.Store
	ring       *kms.Keyring
	reconciler *eventstore.Reconciler
	deleted    atomic.Int32 // calls of Deleted
	running    bool
	cancel     context.CancelFunc
	done       chan error
}

func (w *world) node() *node {
	w.Helper()
	n := &node{w: w, seams: &seams{}, done: make(chan error, 1), running: true}
	must := func(err error) {
		if err != nil {
			w.Fatal(err)
		}
	}
	var err error
	n.state, err = projections.Open(projections.Options{
		Path: filepath.Join(w.dir, "state-"+string(rune('a'+len(w.nodes)))+".db"), Now: w.clock, Logger: slog.New(slog.DiscardHandler),
		Applied: func(events []domain.Recorded) {
			for _, r := range events {
				n.ring.Applied(r)
			}
			if err := n.seams.pass(applying); err != nil {
				w.Error(err)
			}
		},
	})
	must(err)
	n.ring, err = kms.New(kms.Config{
		Provider: w.root, Store: w.keys, Log: logStatus{w.log, n.state}, Claims: n.state, Now: w.clock,
	})
	must(err)
	n.Executor = eventstore.NewExecutor(eventstore.Config{
		Log: seamedLog{w.log, n.seams}, State: seamedState{n.state, n.seams}, Awaiter: seamedAwaiter{n.state, n.seams},
		Sealer: seamedSealer{n.ring, n.seams}, Now: w.clock, Rand: rand.Reader,
		Deleted: func() { n.deleted.Add(1); n.reconciler.Wake() },
	})
	n.reconciler = eventstore.NewReconciler(n.Executor, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	w.nodes = append(w.nodes, n)
	must(n.state.CatchUp(ctx, w.log))
	go func() { n.done <- n.state.Run(ctx, w.log) }()
	return n
}

// halt ends the projection. What the node began stays as it is.
func (n *node) halt() {
	if !n.running {
		return
	}
	n.running = false
	n.cancel()
	if err := <-n.done; err != nil {
		n.w.Error(err)
	}
}

// caughtUp waits until the node has applied the whole log.
func (n *node) caughtUp() {
	n.w.Helper()
	ctx, cancel := context.WithTimeout(n.w.ctx, time.Minute)
	defer cancel()
	status, err := n.w.log.Status(ctx)
	if err == nil {
		err = n.state.WaitFor(ctx, status.Stored)
	}
	if err != nil {
		n.w.Fatal(err)
	}
}
