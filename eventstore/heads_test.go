package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

func mustEnter(t *testing.T, h *knownHeads, subject string, after, known uint64) (bool, func(uint64, headOutcome)) {
	t.Helper()
	certain, leave, err := h.enter(t.Context(), subject, after, known)
	noError(t, err)
	return certain, leave
}

// TestKnownHeads: an append is certain only where the caller and what was
// appended since leave no other possibility.
func TestKnownHeads(t *testing.T) {
	h := newKnownHeads(100)
	for _, tt := range []struct {
		name         string
		after, known uint64
		want         bool
	}{
		{"nothing is known", 50, 0, false},
		{"all before the start is known", 50, 100, true},
		{"something before the start is not known", 50, 99, false},
		{"a new subject", 0, 100, true},
	} {
		certain, leave := mustEnter(t, h, tt.name, tt.after, tt.known)
		if leave(0, headStays); certain != tt.want {
			t.Errorf("%s: %v", tt.name, certain)
		}
	}

	_, leave := mustEnter(t, h, "s", 50, 100)
	leave(101, headMoved)
	for after, want := range map[uint64]bool{50: false, 101: true} {
		certain, leave := mustEnter(t, h, "s", after, 100)
		if leave(0, headStays); certain != want {
			t.Errorf("behind %d, with 101 there: %v", after, certain)
		}
	}

	_, leave = mustEnter(t, h, "s", 101, 101)
	leave(0, headDoubtful)
	certain, leave := mustEnter(t, h, "s", 101, 200)
	if certain {
		t.Error("certain, though nobody knows whether the one before is stored")
	}
	leave(103, headMoved)
	if certain, leave = mustEnter(t, h, "s", 103, 103); !certain {
		t.Error("what the server has checked since is still doubtful")
	}
	leave(0, headStays)

	h.raise(500)
	if certain, leave = mustEnter(t, h, "other", 0, 499); certain {
		t.Error("certain, though it may be among what was not seen")
	}
	leave(0, headStays)
}

// TestKnownHeadsWait: nobody is beside an append that is certain; those that
// the server checks may be beside each other.
func TestKnownHeadsWait(t *testing.T) {
	h := newKnownHeads(10)
	certain, leave := mustEnter(t, h, "s", 5, 10)
	if !certain {
		t.Fatal("not certain")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.enter(ctx, "s", 5, 10); !errors.Is(err, ErrUnavailable) {
		t.Errorf("beside a certain one: %v", err)
	}
	entered := make(chan bool)
	go func() {
		certain, leave, err := h.enter(context.Background(), "s", 5, 10)
		if err == nil {
			leave(0, headStays)
		}
		entered <- certain
	}()
	leave(11, headMoved)
	if <-entered {
		t.Error("certain behind a head that has moved")
	}

	certain, one := mustEnter(t, h, "s", 5, 0)
	again, two := mustEnter(t, h, "s", 11, 11)
	if certain || again {
		t.Error("certain beside another")
	}
	one(12, headMoved)
	two(0, headStays)
	if certain, leave = mustEnter(t, h, "s", 12, 12); !certain {
		t.Error("not certain once alone")
	}
	leave(0, headStays)
}

// TestKnownHeadsOfOneFlight: appends that the server checks leave in any
// order, long after they were stored. Nothing that was stored before a doubt
// settles it, and the newest position counts, not the last to leave.
func TestKnownHeadsOfOneFlight(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second headOutcome
		want          bool // whether one behind 25 is certain
	}{
		"in doubt, then the older one": {headDoubtful, headMoved, false},
		"the older one, then in doubt": {headMoved, headDoubtful, false},
		"refused, then the older one":  {headStays, headMoved, false},
	} {
		h := newKnownHeads(10)
		_, older := mustEnter(t, h, "s", 5, 0)
		_, newer := mustEnter(t, h, "s", 20, 20)
		positions := map[headOutcome]uint64{headMoved: 20}
		newer(positions[tt.first], tt.first)
		older(positions[tt.second], tt.second)
		certain, leave := mustEnter(t, h, "s", 25, 25)
		if leave(0, headStays); certain != tt.want {
			t.Errorf("%s: %v", name, certain)
		}
		if certain, leave = mustEnter(t, h, "s", 20, 25); certain && tt.first == headDoubtful {
			t.Errorf("%s: certain behind what another may have followed", name)
		}
		leave(0, headStays)
	}

	h := newKnownHeads(10)
	_, one := mustEnter(t, h, "s", 5, 0)
	_, two := mustEnter(t, h, "s", 20, 20)
	two(25, headMoved)
	one(20, headMoved)
	for after, want := range map[uint64]bool{20: false, 25: true} {
		certain, leave := mustEnter(t, h, "s", after, 25)
		if leave(0, headStays); certain != want {
			t.Errorf("behind %d of 20 and 25: %v", after, certain)
		}
	}
}

// TestFoundIsNoHead: an event that an earlier call had stored says nothing of
// what came behind it.
func TestFoundIsNoHead(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	stream, first := secretStream("s"), fieldSet(1, 1)
	one := mustAppend(t, l, stream, 0, first)
	two := mustAppend(t, l, stream, one.Position, fieldSet(2, 2))
	if again := mustAppend(t, l, stream, 0, first); again.Position != one.Position {
		t.Fatalf("stored again at %d", again.Position)
	}
	for after, want := range map[uint64]error{one.Position: ErrConflict, two.Position: nil} {
		p := fieldSet(3, 3)
		p.Known = two.Position
		certain, leave := mustEnter(t, l.heads, stream.Subject(), after, p.Known)
		if leave(0, headStays); certain {
			t.Errorf("certain behind %d", after)
		}
		if want == nil {
			continue
		}
		if _, err := l.Append(t.Context(), stream, after, p); !errors.Is(err, want) {
			t.Errorf("behind %d: %v", after, err)
		}
	}
}

// TestKnownHeadsForget: what a generation drops must be known by the caller.
func TestKnownHeadsForget(t *testing.T) {
	h := newKnownHeads(0)
	_, leave := mustEnter(t, h, "doubtful", 0, 1)
	leave(0, headDoubtful)
	for i := uint64(1); i <= 3*headsKept; i++ {
		h.put(i, i)
	}
	if len(h.young)+len(h.old) > 2*headsKept+1 || h.from == 0 || h.from > 2*headsKept {
		t.Errorf("%d and %d are kept, from %d", len(h.young), len(h.old), h.from)
	}
	for known, want := range map[uint64]bool{h.from - 1: false, h.from: true} {
		certain, leave := mustEnter(t, h, "s", 0, known)
		if leave(0, headStays); certain != want {
			t.Errorf("known to %d, kept from %d: %v", known, h.from, certain)
		}
	}
	certain, leave := mustEnter(t, h, "doubtful", 0, 4*headsKept)
	if leave(0, headStays); certain {
		t.Error("a doubt was forgotten")
	}
}

// TestRivalsBehindKnownHeads: whatever callers know and however old it is, no
// two events follow the same one, and most are stored without the server's
// check.
func TestRivalsBehindKnownHeads(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	mustAppend(t, l, secretStream("before"), 0, fieldSet(1, 1))
	const subjects, callers, appends = 5, 8, 60

	type state struct{ head, version, known uint64 }
	var mu sync.Mutex
	var states [subjects]state // as of the last success; callers take it whole
	var all sync.WaitGroup
	conflicts := 0
	for caller := range uint64(callers) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(caller, 1))
			var stale [subjects]state
			for n := range uint64(appends) {
				s := random.IntN(subjects)
				mu.Lock()
				if random.IntN(4) > 0 {
					stale = states
				}
				mine := stale[s]
				mu.Unlock()
				p := fieldSet(1000*caller+n+10, mine.version+1)
				p.Known = mine.known
				r, err := l.Append(context.Background(), secretStream(domain.SecretID(fmt.Sprint("s", s))), mine.head, p)
				mu.Lock()
				switch {
				case err == nil:
					for i := range states { // a projection that has applied it
						states[i].known = max(states[i].known, r.Position)
					}
					if states[s].head < r.Position {
						states[s].head, states[s].version = r.Position, mine.version+1
					}
				case errors.Is(err, ErrConflict):
					conflicts++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()

	versions, unchecked, checked := map[string]uint64{}, 0, 0
	for r, err := range l.Read(t.Context(), 1) {
		noError(t, err)
		if subject := r.Stream.Subject(); r.Version == versions[subject]+1 {
			versions[subject] = r.Version
		} else {
			t.Errorf("position %d: version %d of %s follows %d", r.Position, r.Version, subject, versions[subject])
		}
		m, _, _, err := l.get(t.Context(), getRequest{Sequence: r.Position})
		noError(t, err)
		if len(m.headers[jetstream.ExpectedLastSubjSeqHeader]) == 0 {
			unchecked++
		} else {
			checked++
		}
	}
	if unchecked == 0 || conflicts == 0 {
		t.Errorf("%d were stored unchecked, %d checked, %d conflicted", unchecked, checked, conflicts)
	}
}

// TestPanicKeepsNoSubject: an append that panicked leaves its subject to others,
// in doubt.
func TestPanicKeepsNoSubject(t *testing.T) {
	_, nc := startEmbedded(t, t.TempDir())
	l := openLog(t, nc)
	after := mustAppend(t, l, secretStream("s"), 0, fieldSet(1, 1)).Position
	l.jetStreamBroker.fault = func(Op) (bool, error) { panic("in the middle") }
	func() {
		defer func() { _ = recover() }()
		p := fieldSet(2, 2)
		p.Known = after
		_, _ = l.Append(t.Context(), secretStream("s"), after, p)
		t.Error("no panic")
	}()
	l.jetStreamBroker.fault = nil
	p := fieldSet(3, 2)
	p.Known = after
	position := mustAppend(t, l, secretStream("s"), after, p).Position
	m, _, _, err := l.get(t.Context(), getRequest{Sequence: position})
	noError(t, err)
	if len(m.headers[jetstream.ExpectedLastSubjSeqHeader]) == 0 {
		t.Error("it was stored unchecked, though in doubt")
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
