package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/domain"
)

// TestAppendsTogether holds invariants 3 and 4 where many append at the same
// moment: whatever is sent as a batch, each append has its own outcome. Of the
// rivals for one position one wins, and what was acknowledged lies where it was
// said to, once.
func TestAppendsTogether(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			const streams, rivals, rounds = 24, 3, 6
			var mu sync.Mutex
			stored := map[uint64]domain.Recorded{}
			var conflicts atomic.Int64
			for round := range uint64(rounds) {
				heads := make([]uint64, streams)
				for p, e := range stored {
					var i int
					if _, err := fmt.Sscanf(e.Stream.Subject()[len(e.Stream.Subject())-2:], "%d", &i); err != nil {
						t.Fatal(err)
					}
					heads[i] = max(heads[i], p)
				}
				var all sync.WaitGroup
				for i := range streams {
					for rival := range rivals {
						all.Go(func() {
							id := round<<32 | uint64(i)<<16 | uint64(rival)
							e, err := r.Append(context.Background(), secretStream(domain.SecretID(fmt.Sprintf("s%02d", i))), heads[i], fieldSet(id, round+1))
							switch {
							case errors.Is(err, ErrConflict):
								conflicts.Add(1)
							case err != nil:
								t.Error(err)
							default:
								mu.Lock()
								defer mu.Unlock()
								if before, ok := stored[e.Position]; ok {
									t.Errorf("position %d was given to %v and %v", e.Position, before.ID, e.ID)
								}
								stored[e.Position] = e
							}
						})
					}
				}
				all.Wait()
			}
			if len(stored) != streams*rounds || conflicts.Load() != streams*rounds*(rivals-1) {
				t.Errorf("%d stored and %d conflicts", len(stored), conflicts.Load())
			}
			events := collect(t, r.Read(t.Context(), 0))
			if len(events) != len(stored) {
				t.Errorf("%d events", len(events))
			}
			for _, e := range events {
				if e.ID != stored[e.Position].ID {
					t.Errorf("position %d has %v and was said to have %v", e.Position, e.ID, stored[e.Position].ID)
				}
			}
		})
	}
}

// slowSender stores nothing before it is let go.
type slowSender struct{ release chan struct{} }

func (s slowSender) sendOne(context.Context, message, uint64) (uint64, error) {
	<-s.release
	return 1, nil
}

func (s slowSender) sendGroup(_ context.Context, ws []*groupedWrite) (uint64, error) {
	<-s.release
	return uint64(len(ws)), nil
}

// TestGroupIsBounded: what waits is bounded, and who goes away before being
// sent knows that nothing was.
func TestGroupIsBounded(t *testing.T) {
	s := slowSender{release: make(chan struct{})}
	g := newGroup(s, 1, time.Minute)
	var sending sync.WaitGroup
	send := func(ctx context.Context, subject string, size int) error {
		_, err := g.send(ctx, message{subject: subject, body: make([]byte, size)}, 0)
		return err
	}
	sending.Go(func() { _ = send(context.Background(), "first", 1) })
	waitFor(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.flying == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- send(ctx, "left", 1) }()
	waitFor(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.waiting) == 1 })
	cancel()
	if err := <-left; !errors.Is(err, ErrUnavailable) {
		t.Errorf("left before being sent: %v", err)
	}
	if err := send(t.Context(), "large", groupWaitingBytes); !errors.Is(err, ErrUnavailable) {
		t.Errorf("more than may wait: %v", err)
	}
	close(s.release)
	sending.Wait()
	waitFor(t, func() bool { g.mu.Lock(); defer g.mu.Unlock(); return !g.running && g.bytes == 0 })
}

// TestAppendsAreBounded: one more than may be under way is refused, and stores
// nothing.
func TestAppendsAreBounded(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	l.flying.Store(maxFlying)
	if _, err := l.Append(t.Context(), secretStream("s"), 0, fieldSet(1, 1)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	l.flying.Store(0)
	if r := mustAppend(t, l, secretStream("s"), 0, fieldSet(2, 1)); r.Position != 1 {
		t.Errorf("position %d", r.Position)
	}
}

// TestBatchIsSyncedBeforeItIsShown: a server without replicas shows the messages
// of a batch before its fsync, so a follower yields one, and a status counts it,
// only after a question that the server answers behind the batch.
func TestBatchIsSyncedBeforeItIsShown(t *testing.T) {
	l := openLog(t, startExternal(t, server.Options{}).connect())
	var asked sync.Map // sequences
	sniff, err := l.nc.Subscribe("$JS.API.STREAM.MSG.GET."+EventsStream, func(m *nats.Msg) {
		var req getRequest
		if err := json.Unmarshal(m.Data, &req); err != nil {
			t.Error(err)
		}
		asked.Store(req.Sequence, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sniff.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}()
	wasAsked := func(position uint64) func() bool {
		return func() bool { _, ok := asked.Load(position); return ok }
	}
	f := follow(t.Context(), l, 0)
	alone := mustAppend(t, l, secretStream("alone"), 0, fieldSet(1, 1))
	if got := f.next(t); got.Position != alone.Position || wasAsked(alone.Position)() {
		t.Errorf("position %d, and asked for what the server synced before it showed it: %v", got.Position, wasAsked(alone.Position)())
	}
	var batch []*groupedWrite
	for i := range uint64(3) {
		m := mustEncode(t, sample{secretStream(domain.SecretID("s" + string(rune('a'+i)))), fieldSet(10+i, 1)})
		batch = append(batch, &groupedWrite{message: m})
	}
	last, err := l.sendGroup(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for want := last - 2; want <= last; want++ {
		if got := f.next(t); got.Position != want {
			t.Errorf("position %d instead of %d", got.Position, want)
		}
	}
	waitFor(t, wasAsked(last))
	asked.Clear()
	if s, err := l.Status(t.Context()); err != nil || s.Head != last || s.Stored != last || s.Durability != domain.DurableByServer {
		t.Errorf("%+v, %v", s, err)
	}
	waitFor(t, wasAsked(last))
}
