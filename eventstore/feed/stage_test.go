package feed

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// kept checks that a node's file has the consumer at a position.
func (s *stage) kept(path string, position uint64) {
	s.t.Helper()
	if kept, err := ReadPlaces(path); err != nil || len(kept) != 1 || kept[0].Acknowledged != position {
		s.t.Errorf("%s: %+v, %v", path, kept, err)
	}
}
