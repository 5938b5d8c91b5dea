package feed

import "testing"

// Invariant 3: after a loss of the log that was accepted, a consumer goes on at the end of the log. A
// feed that is made anew later does not take it past events that it was never given.
func TestAPlaceBeyondTheLogIsForgotten(t *testing.T) {
	for name, lose := range map[string]func(s *stage){
		"the feed was removed": func(s *stage) { _ = s.feed.Drop(t.Context()) },
		"the durable was lost": func(s *stage) { _, _ = s.feed.Remove(t.Context(), s.user.Name) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 6)
			s.filled(s.follower(s.user.Consumer))
			if err := writeFile(s.path, []Place{{Consumer: s.user.Consumer, Acknowledged: 9}}); err != nil {
				t.Fatal(err)
			}
			lose(s)
			s.filled(s.follower(s.user.Consumer))
			s.append(6)
			s.filled(s.follower(s.user.Consumer))
			s.acknowledge(1) // 7
			s.filled(s.follower(s.user.Consumer))
			s.feed = openFeed(t, s.nc, Options{Epoch: "two"})
			s.filled(s.follower(s.user.Consumer))
			if next := s.next(); next != 8 {
				t.Errorf("after 7 the consumer is given %d", next)
			}
		})
	}
}

// Invariant 3: on an external server, a stream that another one's remains were found in, before its
// consumers were added, is made anew with the consumers of the file.
func TestAHalfMadeStreamForgetsNobody(t *testing.T) {
	s := externalStage(t, 6)
	s.filled(s.follower())
	s.acknowledge(3)
	s.filled(s.follower())
	s.kept(s.path, 3)
	if err := s.feed.Drop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.feed.create(t.Context(), s.feed.config(1, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.feed.js.PublishMsg(t.Context(), message(collect(t, s.log.Read(t.Context(), 0))[0])); err != nil {
		t.Fatal(err)
	}
	s.filled(s.follower())
	s.kept(s.path, 3)
	if next := s.next(); next != 4 {
		t.Errorf("the consumer is given %d", next)
	}
}

// Invariant 3: a node that was away for long does not take an external server's consumer past events.
func TestAnOldPlaceOfAnotherNodeDoesNotCount(t *testing.T) {
	s := externalStage(t, 6)
	s.filled(s.follower())
	s.acknowledge(2)
	if err := writeFile(s.path, []Place{{Consumer: s.user.Consumer, Acknowledged: 5}}); err != nil {
		t.Fatal(err)
	}
	s.filled(s.follower())
	s.kept(s.path, 2)
}
