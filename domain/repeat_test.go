package domain_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/chancery-dev/chancery/domain"
)

// RepeatsSecret says, without any value of the state, what deciding on the
// state just before the event says with all of them.
func TestRepeatsSecretIsDecidingAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawSecretLog(t)
		before := l.state.Clone()
		c := drawSecretCommand(t, before.Version)
		event, err := domain.Decide(before, c)
		if err != nil || event == nil {
			return
		}
		bare := before.Clone()
		for i := range bare.Fields {
			bare.Fields[i].Value = nil
		}
		if !domain.RepeatsSecret(bare, c, event) {
			t.Fatalf("%T does not repeat itself", c)
		}
		other := drawSecretCommand(t, before.Version)
		again, err := domain.Decide(before, other)
		want := err == nil && domain.SameContent(again, event)
		if got := domain.RepeatsSecret(bare, other, event); got != want {
			t.Fatalf("%T for a %T: %t, deciding again says %t", other, c, got, want)
		}
	})
}

// RepeatsDirectory says, without the state, what deciding on the state just
// before the event says. Commands that bring a new id are apart: the id of
// the first request is taken, the one of its repetition is another.
func TestRepeatsDirectoryIsDecidingAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newWorld(t, true)
		for range rapid.IntRange(0, 20).Draw(t, "past") {
			_, _ = l.do(drawDirectoryCommand(t))
		}
		c, other := drawDirectoryCommand(t), drawDirectoryCommand(t)
		event, err := domain.DecideDirectory(l.dir, c)
		if err != nil || event == nil {
			return
		}
		if !domain.RepeatsDirectory(c, event) {
			t.Fatalf("%T does not repeat itself", c)
		}
		again, err := domain.DecideDirectory(l.dir, other)
		same := err == nil && domain.SameContent(again, event)
		got := domain.RepeatsDirectory(other, event)
		_, scope := other.(domain.CreateScope)
		_, key := other.(domain.IssueKey)
		if same != got && (same || !scope && !key) {
			t.Fatalf("%+v for %+v: %t, deciding again says %t", other, c, got, same)
		}
	})
}
