package eventstore

import (
	"encoding/json"
	"errors"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

// external is a server on the loopback network that can be stopped and
// started while clients stay connected.
type external struct {
	t       testing.TB
	options server.Options
	server  *server.Server
}

func startExternal(t testing.TB, o server.Options) *external {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.SyncAlways = "127.0.0.1", server.RANDOM_PORT, true, true, true, true
	if o.MaxPayload == 0 {
		o.MaxPayload = minPayload
	}
	x := &external{t: t, options: o}
	x.options.StoreDir = t.TempDir()
	x.start()
	t.Cleanup(x.stop)
	return x
}

func (x *external) start() {
	o := x.options
	s, err := server.NewServer(&o)
	if err != nil {
		x.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		x.t.Fatal("the server did not start")
	}
	x.options.Port = o.Port
	x.server = s
}

func (x *external) stop() {
	x.server.Shutdown()
	x.server.WaitForShutdown()
}

func (x *external) connect() *nats.Conn {
	nc, err := Connect(x.t.Context(), Server{URL: x.server.ClientURL(), Logger: logger(x.t)})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(nc.Close)
	return nc
}

// appendMany appends n events to one stream.
func appendMany(t testing.TB, l Log, stream domain.Stream, after, first, n uint64) (last uint64) {
	t.Helper()
	for i := first; i < first+n; i++ {
		after = mustAppend(t, l, stream, after, fieldSet(i, i)).Position
	}
	return after
}

// TestManyEvents reads more than one consumer request delivers.
func TestManyEvents(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	const n = deliverMessages + 300
	mustAppend(t, l, secretStream("other"), 0, fieldSet(1, 1))
	last := appendMany(t, l, secretStream("s"), 0, 1, n)
	for name, events := range map[string][]domain.Recorded{
		"Load": collect(t, l.Load(t.Context(), secretStream("s"))), "Read": collect(t, l.Read(t.Context(), 1)),
	} {
		if len(events) != n || events[n-1].Position != last {
			t.Errorf("%s: %d events", name, len(events))
		}
	}
}

// TestFollowLostConsumer: the server forgets the consumer, and following goes
// on without gap or repeat (invariant 5).
func TestFollowLostConsumer(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := shared(openLog(t, nc))
	f := follow(t.Context(), l, 0)
	var after uint64
	for round := range uint64(3) {
		after = appendMany(t, l, secretStream("s"), after, round*5+1, 5)
		for want := round*5 + 1; want <= after; want++ {
			if got := f.next(t); got.Position != want {
				t.Fatalf("position %d instead of %d", got.Position, want)
			}
		}
		stream, err := l.js.Stream(t.Context(), EventsStream)
		if err != nil {
			t.Fatal(err)
		}
		removed := 0
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if err := stream.DeleteConsumer(t.Context(), name); err != nil {
				t.Error(err)
			}
			removed++
		}
		if removed != 1 {
			t.Errorf("%d consumers", removed)
		}
	}
}

// TestServerRestart: while the server is away appends fail without being
// stored later, and following goes on when it is back (invariants 3 and 5).
func TestServerRestart(t *testing.T) {
	x := startExternal(t, server.Options{})
	nc := x.connect()
	l := openLog(t, nc)
	f := follow(t.Context(), l, 0)
	after := appendMany(t, l, secretStream("s"), 0, 1, 5)
	for want := uint64(1); want <= 5; want++ {
		if got := f.next(t); got.Position != want {
			t.Fatalf("position %d instead of %d", got.Position, want)
		}
	}
	x.stop()
	waitFor(t, func() bool { return !nc.IsConnected() })
	if _, err := l.Append(t.Context(), secretStream("s"), after, fieldSet(6, 6)); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUncertain) {
		t.Errorf("appending offline: %v", err)
	}
	for name, events := range map[string]func(func(domain.Recorded, error) bool){
		"Load": l.Load(t.Context(), secretStream("s")), "Read": l.Read(t.Context(), 0),
	} {
		for _, err := range events {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s offline: %v", name, err)
			}
		}
	}
	if _, err := l.Status(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Status offline: %v", err)
	}
	x.start()
	waitFor(t, nc.IsConnected)
	var rec domain.Recorded
	waitFor(t, func() bool { // JetStream comes up after the connection
		var err error
		rec, err = l.Append(t.Context(), secretStream("s"), after, fieldSet(7, 6))
		return err == nil
	})
	if diff := cmp.Diff(rec, f.next(t)); diff != "" {
		t.Error(diff)
	}
	if all := collect(t, l.Read(t.Context(), 0)); len(all) != 6 {
		t.Errorf("%d events", len(all))
	}
}

// waitFor waits until something that will happen has happened.
func waitFor(t testing.TB, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}

// makeStream makes a stream again, once the server has removed the one before.
func makeStream(t testing.TB, js jetstream.JetStream, config jetstream.StreamConfig) (stream jetstream.Stream) {
	t.Helper()
	waitFor(t, func() bool {
		var err error
		stream, err = js.CreateStream(t.Context(), config)
		return err == nil
	})
	return stream
}

// TestLostTail: positions that were lost and given out again show: a follower
// says so, and who compares sees the same creation time and position with
// another event.
func TestLostTail(t *testing.T) {
	x := startExternal(t, server.Options{})
	nc := x.connect()
	l := openLog(t, nc)
	after := appendMany(t, l, secretStream("s"), 0, 1, 2)
	x.stop()
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(x.options.StoreDir)); err != nil {
		t.Fatal(err)
	}
	x.start()
	waitFor(t, func() bool { _, err := l.Status(t.Context()); return err == nil })
	created, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := mustAppend(t, l, secretStream("s"), after, fieldSet(3, 3))
	f := follow(t.Context(), l, 2)
	if got := f.next(t); got.ID != lost.ID {
		t.Fatalf("got %v", got.ID)
	}
	shorter := follow(t.Context(), l, 3) // has seen position 3 itself, then nothing
	x.stop()
	x.options.StoreDir = backup
	x.start()
	var again domain.Recorded
	waitFor(t, func() bool {
		var err error
		again, err = l.Append(t.Context(), secretStream("s"), after, fieldSet(4, 3))
		return err == nil
	})
	if err := f.end(t); !errors.Is(err, ErrReplaced) {
		t.Errorf("following: %v", err)
	}
	status, err := l.Status(t.Context())
	if err != nil || !status.Created.Equal(created.Created) || status.Head != lost.Position || again.Position != lost.Position || again.ID == lost.ID {
		t.Errorf("%+v, then %+v: %v", created, status, err)
	}
	// Without an event of its own to compare, a follower goes on; its caller
	// compares the checkpoint.
	next := mustAppend(t, l, secretStream("s"), again.Position, fieldSet(5, 4))
	if got := shorter.next(t); got.ID != next.ID {
		t.Errorf("got %v", got.ID)
	}
}

// TestReadInterrupted: a bounded reading ends with an error when the server
// goes away, instead of waiting for it.
func TestReadInterrupted(t *testing.T) {
	x := startExternal(t, server.Options{})
	nc := x.connect()
	l := openLog(t, nc)
	const n = 2 * deliverMessages // more than one request brings
	appendMany(t, l, secretStream("s"), 0, 1, n)
	for name, events := range map[string]iter.Seq2[domain.Recorded, error]{
		"Read": l.Read(t.Context(), 0), "Load": l.Load(t.Context(), secretStream("s")),
	} {
		seen := 0
		var last error
		for r, err := range events {
			if last = err; err != nil {
				break
			}
			if seen++; r.Position == 1 {
				x.stop()
				waitFor(t, func() bool { return !nc.IsConnected() })
			}
		}
		if !errors.Is(last, ErrUnavailable) || seen == 0 || seen >= n {
			t.Errorf("%s: %d events, then %v", name, seen, last)
		}
		x.start()
		waitFor(t, func() bool { _, err := l.Status(t.Context()); return err == nil })
	}
}

// TestStreamMadeAnew: a stream that was deleted and made again is another log.
func TestStreamMadeAnew(t *testing.T) {
	nc := startExternal(t, server.Options{}).connect() // the embedded log would stop at such a file
	l := shared(openLog(t, nc))
	appendMany(t, l, secretStream("s"), 0, 1, 2)
	f, idle := follow(t.Context(), l, 1), follow(t.Context(), l, 2)
	f.next(t)
	waitFor(t, func() bool { // until the idle one has begun, too
		info, err := l.info(t.Context())
		return err == nil && info.State.Consumers == 2
	})
	if err := l.js.DeleteStream(t.Context(), EventsStream); err != nil {
		t.Fatal(err)
	}
	if err := l.Verify(t.Context()); !errors.Is(err, ErrConfiguration) {
		t.Errorf("Verify: %v", err)
	}
	if _, err := l.Append(t.Context(), secretStream("s"), 0, fieldSet(3, 1)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Append: %v", err)
	}
	makeStream(t, l.js, eventsConfig(1))
	appendMany(t, openLog(t, nc), secretStream("s"), 0, 11, 4)
	for name, f := range map[string]*follower{"with an event seen": f, "with none": idle} {
		if err := f.end(t); !errors.Is(err, ErrReplaced) {
			t.Errorf("following %s: %v", name, err)
		}
	}
}

// TestConflictCodes: both codes come from a real server and mean a conflict.
func TestConflictCodes(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	appendMany(t, l, secretStream("s"), 0, 1, 1)
	_, err := l.sendOne(t.Context(), mustEncode(t, sample{secretStream("s"), fieldSet(2, 2)}), 0)
	checkConflict(t, err, 10071)

	// A batch that expects something of a subject it has written already is
	// refused by the code that replicated streams use.
	var answer *nats.Msg
	for i, header := range []nats.Header{
		{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}},
		{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"2"}, "Nats-Batch-Commit": {"1"}, "Nats-Expected-Last-Subject-Sequence": {"0"}},
	} {
		if answer, err = nc.RequestMsg(&nats.Msg{Subject: domain.SubjectPrefix + "x", Header: header}, 5*time.Second); err != nil {
			t.Fatal(i, err)
		}
	}
	var refusal struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &refusal); err != nil {
		t.Fatal(err)
	}
	checkConflict(t, refusal.Error, 10164)
}

func checkConflict(t *testing.T, err error, code jetstream.ErrorCode) {
	t.Helper()
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || api.ErrorCode != code || !errors.Is(outcome(err), ErrConflict) {
		t.Errorf("got %v", err)
	}
}
