package eventstore

import (
	"slices"
	"testing"

	"github.com/chancery-dev/chancery/domain"
)

// TestTailEarlyIsBounded: what waits for an event before it has a bound in
// bytes, too. The event before is always taken, and what was left out is read
// from the log.
func TestTailEarlyIsBounded(t *testing.T) {
	l := newTail(0, func(m domain.AccessMessage) (uint64, int) { return m.Position, 1024 + 2*len(m.Raw) })
	raw := make([]byte, 1<<20)
	const more = 2 * tailEarlyBytes >> 20
	for position := uint64(2); position < more; position++ {
		l.add(domain.AccessMessage{Position: position, Raw: raw})
		l.add(domain.AccessMessage{Position: position, Raw: raw}) // an append that is repeated
	}
	kept := len(l.early)
	if kept == 0 || l.waiting > tailEarlyBytes+4*len(raw) {
		t.Errorf("%d messages of %d bytes wait", kept, l.waiting)
	}
	if _, last, behind, gap, _ := l.after(0); last != 0 || behind || !gap {
		t.Errorf("at %d, behind %v, gap %v", last, behind, gap)
	}
	l.add(domain.AccessMessage{Position: 1, Raw: raw})
	if l.last != uint64(kept+1) || len(l.early) != 0 || l.waiting != 0 {
		t.Errorf("at %d, %d messages of %d bytes wait", l.last, len(l.early), l.waiting)
	}
	events, _, behind, _, _ := l.after(l.last - 1)
	if behind || len(events) != 1 || events[0].Position != l.last {
		t.Errorf("after the last but one: %d events, behind %v", len(events), behind)
	}
	if _, _, behind, _, _ := l.after(0); !behind {
		t.Error("the first is kept beyond the tail's bound")
	}

	// A follower that has read on frees what it passes.
	at := l.last
	for _, ahead := range []uint64{3, 5} {
		l.add(domain.AccessMessage{Position: at + ahead, Raw: raw})
	}
	l.reached(at + 4)
	if l.last != at+5 || len(l.early) != 0 || l.waiting != 0 {
		t.Errorf("at %d of %d, %d bytes wait", l.last, at+5, l.waiting)
	}
	if !slices.ContainsFunc(l.events, func(m domain.AccessMessage) bool { return m.Position == at+5 }) {
		t.Error("the one behind is gone")
	}
}
