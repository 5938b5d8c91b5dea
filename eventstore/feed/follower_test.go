package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// stage is a log, its feed and the file of the positions, without a follower.
type stage struct {
	t    testing.TB
	nc   *nats.Conn
	log  *eventstore.JetStream
	feed *Feed
	path string
	user feedUser
	head uint64
}

// newStage has n events and a consumer.
func newStage(t testing.TB, n uint64) *stage {
	t.Helper()
	_, nc := startEmbedded(t, t.TempDir())
	return stageOn(t, nc, n)
}

// externalStage is a stage on a server of its own.
func externalStage(t testing.TB, n uint64) *stage {
	t.Helper()
	return stageOn(t, dialExternal(t, startExternal(t, server.Options{})), n)
}

func dialExternal(t testing.TB, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := eventstore.Connect(t.Context(), eventstore.Server{URL: s.ClientURL(), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stageOn(t testing.TB, nc *nats.Conn, n uint64) *stage {
	t.Helper()
	s := &stage{t: t, nc: nc, log: openLog(t, nc), feed: openFeed(t, nc, Options{Epoch: "one"}), user: newFeedUser(t, "billing")}
	s.path = filepath.Join(t.TempDir(), "feed.json")
	s.append(n)
	if err := s.feed.Add(t.Context(), s.user.Consumer); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) append(n uint64) {
	s.t.Helper()
	if n > 0 {
		s.head = appendMany(s.t, s.log, secretStream("db-password"), s.head, s.head+1, n)
	}
}

// filled runs a follower until the feed has everything, and stops it.
func (s *stage) filled(f *Follower) {
	s.t.Helper()
	r := runFollower(s.t, f)
	s.await(r.Follower)
	r.stop()
}

func (s *stage) await(f *Follower) {
	s.t.Helper()
	waitFor(s.t, "the feed", func() bool {
		position, ok := f.Position()
		if err := f.Problem(); err != nil {
			s.t.Logf("the follower says %v", err)
		}
		return ok && position == s.head
	})
	s.check()
}

// check compares the feed with the log.
func (s *stage) check() *Report {
	s.t.Helper()
	report, err := s.feed.Check(s.t.Context(), s.log)
	if err != nil || report == nil || report.Skipped != "" {
		s.t.Fatalf("check: %+v, %v", report, err)
	}
	return report
}

func (s *stage) follower(consumers ...Consumer) *Follower {
	return NewFollower(Config{
		Feed: s.feed, Log: s.log, Path: s.path, Embedded: len(consumers) > 0, Consumers: consumers, Now: time.Now, Logger: logger(s.t),
	})
}

// acknowledge reads and acknowledges the next n events as the service itself.
func (s *stage) acknowledge(n int) {
	s.t.Helper()
	c, err := s.feed.js.Consumer(s.t.Context(), Stream, s.user.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	for range n {
		m, err := c.Next(jetstream.FetchContext(s.t.Context()))
		if err == nil {
			err = m.DoubleAck(s.t.Context())
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// next is the position of the event that the consumer is given next.
func (s *stage) next() uint64 {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	c, err := s.feed.js.Consumer(ctx, Stream, s.user.Name)
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchContext(ctx))
	if err != nil {
		s.t.Fatal(err)
	}
	meta, err := m.Metadata()
	if err != nil {
		s.t.Fatal(err)
	}
	return meta.Sequence.Stream
}

func (s *stage) info() *jetstream.StreamInfo {
	s.t.Helper()
	info, err := s.feed.info(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

// TestFollowerKeepsUp: a feed is filled and then follows, over more events than
// may be in flight (invariant 2).
func TestFollowerKeepsUp(t *testing.T) {
	for name, make := range map[string]func(testing.TB, uint64) *stage{"embedded": newStage, "external": externalStage} {
		t.Run(name, func(t *testing.T) {
			s := make(t, inFlight+50)
			r := runFollower(t, s.follower())
			s.await(r.Follower)
			s.append(20)
			s.await(r.Follower)
			r.stop()
			s.append(5)
			s.filled(s.follower())
			if report := s.check(); report.First != 1 || report.Last != s.head {
				t.Errorf("%+v", report)
			}
		})
	}
}

// TestFollowerIsLazy: nobody wants a feed, so there is none; it comes with the
// first consumer, while the follower runs, and goes with the last one of an
// embedded node.
func TestFollowerIsLazy(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	s := &stage{t: t, nc: nc, log: openLog(t, nc), feed: openFeed(t, nc, Options{Epoch: "one"}), path: filepath.Join(t.TempDir(), "feed.json")}
	s.append(3)
	f := s.follower()
	if err := f.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Position(); ok {
		t.Error("there is a feed")
	}
	r := runFollower(t, f)
	if err := s.feed.Add(t.Context(), newFeedUser(t, "billing").Consumer); err != nil {
		t.Fatal(err)
	}
	s.await(r.Follower)
	r.stop()
	alone := s.follower()
	alone.cfg.Embedded = true
	if err := alone.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.feed.info(t.Context()); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a feed without consumers: %v", err)
	}
}

// heldLog shows an event only once it is let go.
type heldLog struct {
	Log
	durable func(uint64) bool
}

func (l heldLog) Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		for r, err := range l.Log.Follow(ctx, after) {
			for err == nil && !l.durable(r.Position) {
				if !wait(ctx, time.Millisecond) {
					return
				}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// TestFollowerWaitsForTheLog: what the log does not yield is in no feed
// (invariant 1).
func TestFollowerWaitsForTheLog(t *testing.T) {
	s := newStage(t, 5)
	var mu sync.Mutex
	limit := uint64(3)
	f := s.follower()
	f.cfg.Log = heldLog{Log: s.log, durable: func(p uint64) bool {
		mu.Lock()
		defer mu.Unlock()
		return p <= limit
	}}
	r := runFollower(t, f)
	waitFor(t, "three events", func() bool { position, _ := f.Position(); return position == 3 })
	if last := s.info().State.LastSeq; last != 3 {
		t.Errorf("the feed has %d positions", last)
	}
	mu.Lock()
	limit = 5
	mu.Unlock()
	s.await(f)
	r.stop()
}

// TestFollowersTogether: several nodes append at once, and each position is
// there once; when the one that appends stops, another goes on (invariant 2).
func TestFollowersTogether(t *testing.T) {
	s := externalStage(t, 300)
	var nodes []runningFollower
	for i := range 3 {
		f := s.follower()
		f.cfg.Path = filepath.Join(t.TempDir(), fmt.Sprintf("feed-%d.json", i))
		nodes = append(nodes, runFollower(t, f))
	}
	for len(nodes) > 0 {
		s.append(50)
		for _, n := range nodes {
			s.await(n.Follower)
		}
		nodes[0].stop()
		nodes = nodes[1:]
	}
}

// TestFollowerLosesItsConnection: the feed is the same when the server was away
// in between.
func TestFollowerLosesItsConnection(t *testing.T) {
	s := externalStage(t, 100)
	r := runFollower(t, s.follower())
	for range 3 {
		if err := s.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the connection", s.nc.IsConnected)
		s.append(40)
	}
	s.await(r.Follower)
}

// TestRemade: whatever makes a feed doubtful, it is made anew, agrees with the
// log, and its consumer goes on at the position that it has acknowledged
// (invariant 3).
func TestRemade(t *testing.T) {
	replace := func(s *stage, first uint64, messages ...*nats.Msg) {
		s.t.Helper()
		if err := s.feed.Drop(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.feed.create(s.t.Context(), s.feed.config(first, false)); err != nil {
			s.t.Fatal(err)
		}
		for _, m := range messages {
			if _, err := s.feed.js.PublishMsg(s.t.Context(), m); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	all := func(s *stage) (ms []*nats.Msg) {
		for _, r := range collect(s.t, s.log.Read(s.t.Context(), 0)) {
			ms = append(ms, message(r))
		}
		return ms
	}
	for name, damage := range map[string]func(s *stage){
		"an unclean stop": func(s *stage) { s.feed = openFeed(s.t, s.nc, Options{Epoch: "two"}) },
		"no stream":       func(s *stage) { _ = s.feed.Drop(s.t.Context()) },
		"no event":        func(s *stage) { replace(s, 1) },
		"another last record": func(s *stage) {
			ms := all(s)
			ms[len(ms)-1].Data = ms[0].Data
			replace(s, 1, ms...)
		},
		"another first record": func(s *stage) {
			ms := all(s)
			ms[0].Data = []byte("{}")
			replace(s, 1, ms...)
		},
		"another subject": func(s *stage) {
			ms := all(s)
			ms[len(ms)-1].Subject = subjectPrefix + "x"
			replace(s, 1, ms...)
		},
		"a shift": func(s *stage) { replace(s, 1, all(s)[1:]...) },
		"a gap": func(s *stage) {
			config := s.feed.config(1, false)
			config.DenyDelete = false
			if err := s.feed.Drop(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
			if _, err := s.feed.js.CreateStream(s.t.Context(), config); err != nil {
				s.t.Fatal(err)
			}
			for _, m := range all(s) {
				if _, err := s.feed.js.PublishMsg(s.t.Context(), m); err != nil {
					s.t.Fatal(err)
				}
			}
			stream, err := s.feed.js.Stream(s.t.Context(), Stream)
			if err == nil {
				err = stream.DeleteMsg(s.t.Context(), 4)
			}
			if err == nil {
				_, err = s.feed.js.UpdateStream(s.t.Context(), s.feed.config(1, false))
			}
			if err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 10)
			s.filled(s.follower(s.user.Consumer))
			s.acknowledge(6)
			s.filled(s.follower(s.user.Consumer)) // copies the position when it ends
			damage(s)
			s.append(2)
			s.filled(s.follower(s.user.Consumer))
			if next := s.next(); next != 7 {
				t.Errorf("the consumer goes on at %d", next)
			}
		})
	}
}

// TestPlacesUnknown: without the file a consumer goes on at the beginning, and
// a consumer of the same name with another user does, too.
func TestPlacesUnknown(t *testing.T) {
	s := newStage(t, 10)
	s.filled(s.follower(s.user.Consumer))
	s.acknowledge(6)
	s.path = filepath.Join(t.TempDir(), "another.json")
	if err := s.feed.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.filled(s.follower(s.user.Consumer))
	if next := s.next(); next != 1 {
		t.Errorf("without a file it goes on at %d", next)
	}
	if err := writeFile(s.path, []Place{{Consumer: s.user.Consumer, Acknowledged: 9}}); err != nil {
		t.Fatal(err)
	}
	again := newFeedUser(t, s.user.Name)
	if err := s.feed.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.filled(s.follower(again.Consumer))
	if next := s.next(); next != 1 {
		t.Errorf("another user goes on at %d", next)
	}
}

// TestRemakeCrashes: whichever step of making the feed anew is the last one
// before a crash, the next start ends with the whole feed and the consumer at
// its position, on the embedded server and on another one (invariant 3).
func TestRemakeCrashes(t *testing.T) {
	crash := errors.New("test: a crash")
	for _, kind := range []string{"embedded", "external"} {
		for step := stepKept; step <= stepRestored; step++ {
			t.Run(fmt.Sprintf("%s-%d", kind, step), func(t *testing.T) {
				s, consumers := newStage(t, 10), []Consumer(nil)
				if kind == "embedded" {
					consumers = []Consumer{s.user.Consumer}
				}
				s.filled(s.follower(consumers...))
				s.acknowledge(4)
				s.feed = openFeed(t, s.nc, Options{Epoch: "two"})
				f := s.follower(consumers...)
				f.atStep = func(at int) error {
					if at == step {
						return crash
					}
					return nil
				}
				if err := f.round(t.Context()); !errors.Is(err, crash) {
					t.Fatalf("step %d: %v", step, err)
				}
				s.filled(s.follower(consumers...))
				if _, making := s.info().Config.Metadata[makingKey]; making {
					t.Error("the feed is still being made")
				}
				if next := s.next(); next != 5 {
					t.Errorf("the consumer goes on at %d", next)
				}
			})
		}
	}
}

// TestRemadeTwice: a server that is told to delete the stream again, while it
// still removes the files of the one before, leaves the files: the old messages
// come back in the new stream, and are not taken for the feed (invariant 3).
func TestRemadeTwice(t *testing.T) {
	dir := t.TempDir()
	_, nc := startEmbedded(t, dir)
	s := stageOn(t, nc, 10)
	s.filled(s.follower(s.user.Consumer))
	s.acknowledge(7)
	removing := filepath.Join(dir, "jetstream", "$G", "streams", "."+Stream)
	if err := os.MkdirAll(filepath.Join(removing, "msgs"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.feed = openFeed(t, s.nc, Options{Epoch: "two"})
	f := s.follower(s.user.Consumer)
	if err := f.round(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) || !strings.Contains(err.Error(), "did not delete") {
		t.Fatalf("the first try: %v", err)
	}
	if err := f.round(t.Context()); err == nil {
		t.Error("the second try passed, while the files are still being removed")
	}
	if err := os.RemoveAll(removing); err != nil {
		t.Fatal(err)
	}
	s.filled(f)
	if next := s.next(); next != 8 {
		t.Errorf("the consumer goes on at %d", next)
	}
}

// TestRemadeTogether: several nodes miss the stream at once, and whoever makes
// it, its consumer is there in the end, in the stream and in every node's file
// (invariant 3).
func TestRemadeTogether(t *testing.T) {
	s := externalStage(t, 50)
	s.filled(s.follower())
	s.acknowledge(7)
	var nodes []*Follower
	for i := range 4 {
		f := s.follower()
		f.cfg.Path = filepath.Join(t.TempDir(), fmt.Sprintf("feed-%d.json", i))
		s.filled(f) // has a file
		nodes = append(nodes, f)
	}
	if err := s.feed.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var running []runningFollower
	for _, f := range nodes {
		again := s.follower()
		again.cfg.Path = f.cfg.Path
		running = append(running, runFollower(t, again))
	}
	for _, r := range running {
		s.await(r.Follower)
		waitFor(t, "no problem", func() bool { return r.Problem() == nil })
	}
	for _, r := range running {
		r.stop()
		s.kept(r.cfg.Path, 7)
	}
	if next := s.next(); next != 8 {
		t.Errorf("the consumer goes on at %d", next)
	}
}

// kept checks that a node's file has the consumer at a position.
func (s *stage) kept(path string, position uint64) {
	s.t.Helper()
	if kept, err := ReadPlaces(path); err != nil || len(kept) != 1 || kept[0].Acknowledged != position {
		s.t.Errorf("%s: %+v, %v", path, kept, err)
	}
}

// TestRemadeByAnother: while one node has replaced the stream and not added its
// consumer, another one neither replaces it again nor forgets the consumer; it
// finishes the work (invariant 3).
func TestRemadeByAnother(t *testing.T) {
	s := externalStage(t, 10)
	s.filled(s.follower())
	s.acknowledge(7)
	late, first, crash := s.follower(), s.follower(), errors.New("test: a crash")
	late.cfg.Path = filepath.Join(t.TempDir(), "late.json")
	s.filled(late)
	late.ready.Store(true)
	stale := s.info()
	first.atStep = func(at int) error {
		if at == stepMade {
			return crash
		}
		return nil
	}
	if _, err := first.remake(t.Context(), stale, s.head, "a test"); !errors.Is(err, crash) {
		t.Fatal(err)
	}
	if _, err := late.remake(t.Context(), stale, s.head, "a test"); !errors.Is(err, errReplaced) {
		t.Errorf("the other node: %v", err)
	}
	if err := late.copyOnce(t.Context()); err != nil {
		t.Error(err)
	}
	s.kept(late.cfg.Path, 7)
	if err := first.settle(t.Context(), stale); !errors.Is(err, errReplaced) {
		t.Errorf("the mark of another stream: %v", err)
	}
	late.ready.Store(false)
	s.filled(late)
	if next := s.next(); next != 8 {
		t.Errorf("the consumer goes on at %d", next)
	}
}

// TestRefused: a stream that is not the feed's, or is ahead of the log, stays as
// it is, and the follower says why and goes on once that is gone (invariant 4).
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(s *stage) error
		want   error
		words  string
	}{
		"ahead of the log": {func(s *stage) error {
			_, err := s.feed.js.PublishMsg(s.t.Context(), &nats.Msg{Subject: subjectPrefix + "x"})
			return err
		}, ErrAhead, "the feed has position 6 and the log ends at 5"},
		"another's stream": {func(s *stage) error {
			_ = s.feed.Drop(s.t.Context())
			_, err := s.feed.js.CreateStream(s.t.Context(), jetstream.StreamConfig{Name: Stream, Subjects: []string{"theirs"}})
			return err
		}, eventstore.ErrConfiguration, "made by Chancery"},
		"a limit": {func(s *stage) error {
			config := s.feed.config(1, false)
			config.MaxMsgs = 100
			_, err := s.feed.js.UpdateStream(s.t.Context(), config)
			return err
		}, eventstore.ErrConfiguration, "max_msgs"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 5)
			s.filled(s.follower(s.user.Consumer))
			if err := c.break_(s); err != nil {
				t.Fatal(err)
			}
			before := s.info()
			r := runFollower(t, s.follower(s.user.Consumer))
			waitFor(t, "a refusal", func() bool { return r.Problem() != nil })
			if err := r.Problem(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("it says %v", err)
			}
			if now := s.info(); !now.Created.Equal(before.Created) || now.State.LastSeq != before.State.LastSeq {
				t.Errorf("the stream was changed: %+v", now)
			}
			if report, err := s.feed.Check(t.Context(), s.log); !errors.Is(err, c.want) && !errors.Is(err, ErrDiffers) {
				t.Errorf("check: %+v, %v", report, err)
			}
			if err := s.feed.Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.await(r.Follower)
			if err := r.Problem(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRetention: a feed begins at the first event inside the retention, by the
// events' own time, with the sequence of its position; one whose next event is
// older than that is made anew; and the age limit follows the option.
func TestRetention(t *testing.T) {
	s := newStage(t, 100) // a minute apart
	s.feed = openFeed(t, s.nc, Options{Epoch: "one", Retention: time.Hour})
	f := s.follower(s.user.Consumer)
	now := sampleTime.Add(100 * time.Minute)
	f.cfg.Now = func() time.Time { return now }
	s.filled(f)
	if report := s.check(); report.First != 40 || report.Last != 100 {
		t.Errorf("%+v", report)
	}
	if age := s.info().Config.MaxAge; age != time.Hour {
		t.Errorf("max_age %v", age)
	}
	if next := s.next(); next != 40 {
		t.Errorf("the consumer begins at %d", next)
	}
	s.feed = openFeed(t, s.nc, Options{Epoch: "one", Retention: 2 * time.Hour})
	created := s.info().Created
	f = s.follower(s.user.Consumer)
	f.cfg.Now = func() time.Time { return now }
	s.filled(f)
	if i := s.info(); i.Config.MaxAge != 2*time.Hour || !i.Created.Equal(created) {
		t.Errorf("%+v", i)
	}
	s.append(10)
	now = now.Add(24 * time.Hour)
	f = s.follower(s.user.Consumer)
	f.cfg.Now = func() time.Time { return now }
	s.filled(f)
	if i := s.info(); i.State.FirstSeq != 111 || i.State.LastSeq != 110 || i.State.Msgs != 0 {
		t.Errorf("all is older than the retention: %+v", i.State)
	}
	s.append(1)
	f = s.follower(s.user.Consumer)
	f.cfg.Now = func() time.Time { return sampleTime.Add(2 * time.Hour) }
	s.filled(f)
	if next := s.next(); next != 111 {
		t.Errorf("the consumer goes on at %d", next)
	}
}

// TestForeignPosition: a proven foreign message has its position in the feed,
// and shows nothing of it there (invariant 2).
func TestForeignPosition(t *testing.T) {
	stream := secretStream("db-password")
	for name, r := range map[string]domain.Recorded{
		"on a stream's subject": {Position: 7, Stream: stream, Raw: []byte("content")},
		"elsewhere":             {Position: 7, Raw: []byte("content")},
	} {
		m := message(r)
		want := &nats.Msg{
			Subject: map[bool]string{true: subjectPrefix + stream.Subject(), false: "chancery.feed.foreign"}[r.Stream != nil],
			Header:  nats.Header{"Content-Type": {"application/cloudevents+json"}},
			Data:    []byte(`{"id":"foreign-7","source":"chancery","specversion":"1.0","type":"chancery.foreign"}`),
		}
		if diff := cmp.Diff(want.Subject+string(want.Data), m.Subject+string(m.Data)); diff != "" || bytes.Contains(m.Data, r.Raw) {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(want.Header, m.Header); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestCheckFinds: one changed byte anywhere is found, with its position.
func TestCheckFinds(t *testing.T) {
	for _, position := range []uint64{1, 4, 8} {
		s := newStage(t, 8)
		for _, r := range collect(t, s.log.Read(t.Context(), 0)) {
			m := message(r)
			if r.Position == position {
				m.Data = bytes.Replace(m.Data, []byte("1.0"), []byte("1.1"), 1)
			}
			if _, err := s.feed.js.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		_, err := s.feed.Check(t.Context(), s.log)
		if d, ok := errors.AsType[*Difference](err); !ok || d.Position != position {
			t.Errorf("position %d: %v", position, err)
		}
	}
}
