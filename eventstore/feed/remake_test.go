package feed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/chancery-dev/chancery/eventstore"
)

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
