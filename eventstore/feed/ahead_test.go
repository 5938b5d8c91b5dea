package feed

import (
	"errors"
	"testing"
	"time"
)

// Invariant 4: a feed that is ahead of the log stays, also when its last consumer was removed.
func TestAFeedAheadOutlivesItsConsumers(t *testing.T) {
	s := newStage(t, 5)
	s.filled(s.follower(s.user.Consumer))
	m := message(collect(t, s.log.Read(t.Context(), 4))[0])
	if _, err := s.feed.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r := runFollower(t, NewFollower(Config{Feed: s.feed, Log: s.log, Path: s.path, Embedded: true, Now: time.Now, Logger: logger(t)}))
	waitFor(t, "a refusal", func() bool {
		_, err := s.feed.js.Stream(t.Context(), Stream)
		return r.Problem() != nil || err != nil
	})
	if err := r.Problem(); !errors.Is(err, ErrAhead) {
		t.Errorf("it says %v", err)
	}
	if last := s.info().State.LastSeq; last != 6 {
		t.Errorf("the feed ends at %d", last)
	}
}
