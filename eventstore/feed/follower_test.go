package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

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
