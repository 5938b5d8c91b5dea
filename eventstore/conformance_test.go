package eventstore

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
)

// TestConformance is the one suite that every Log passes.
func TestConformance(t *testing.T) {
	tests := map[string]func(*testing.T, *rig){
		"append and read":             testAppendRead,
		"expectations":                testExpectations,
		"one winner":                  testOneWinner,
		"outcomes":                    testOutcomes,
		"appending again":             testAppendAgain,
		"ended context":               testEndedContext,
		"incomplete reading":          testIncomplete,
		"refused":                     testRefused,
		"bootstrap":                   testBootstrap,
		"bootstrap, stored, lost":     testBootstrapLost(true),
		"bootstrap, not stored, lost": testBootstrapLost(false),
		"bootstrap, lost, rival":      testBootstrapRival,
		"bootstrap race":              testBootstrapRace,
		"follow":                      testFollow,
		"follow from beyond the head": testFollowBeyond,
		"leaving iterators":           testLeaving,
		"restart":                     testRestart,
		"status":                      testStatus,
		"largest":                     testLargest,
		"held sync":                   testHeldSync,
		"held sync, unknown outcome":  testHeldUnknown,
		"foreign":                     testForeign,
		"foreign, not listed":         testUnlisted,
	}
	for backend, open := range backends {
		for name, test := range tests {
			t.Run(backend+"/"+name, func(t *testing.T) { test(t, open(t)) })
		}
	}
}

// testAppendRead: what is appended comes back by Load, Read and Follow, each
// exactly as Append gave it.
func testAppendRead(t *testing.T, r *rig) {
	heads, loads := map[domain.Stream]uint64{}, map[domain.Stream][]domain.Recorded{}
	var all []domain.Recorded
	for _, s := range samples() {
		rec := mustAppend(t, r, s.stream, heads[s.stream], s.p)
		heads[s.stream] = rec.Position
		loads[s.stream] = append(loads[s.stream], rec)
		all = append(all, rec)
	}
	for i, rec := range all {
		if rec.Position != uint64(i+1) {
			t.Errorf("event %d is at position %d", i+1, rec.Position)
		}
	}
	for stream, want := range loads {
		if diff := cmp.Diff(want, collect(t, r.Load(t.Context(), stream))); diff != "" {
			t.Errorf("Load of %s:\n%s", stream.Subject(), diff)
		}
	}
	for _, after := range []uint64{0, 1, 17, uint64(len(all)), uint64(len(all)) + 9} {
		got := collect(t, r.Read(t.Context(), after))
		if diff := cmp.Diff(all[min(after, uint64(len(all))):], got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Read after %d:\n%s", after, diff)
		}
	}
	if got := collect(t, r.Load(t.Context(), secretStream("none"))); got != nil {
		t.Errorf("Load of an empty stream: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := follow(ctx, r, 3)
	for _, want := range all[3:] {
		if diff := cmp.Diff(want, f.next(t)); diff != "" {
			t.Errorf("Follow:\n%s", diff)
		}
	}
	cancel()
	if err := f.end(t); err != nil {
		t.Errorf("Follow ended with %v", err)
	}
}

// testExpectations: an append succeeds at exactly the stream's last position,
// whatever happens on other streams.
func testExpectations(t *testing.T, r *rig) {
	a, b := secretStream("a"), secretStream("b")
	first := mustAppend(t, r, a, 0, fieldSet(1, 1))
	mustAppend(t, r, b, 0, fieldSet(2, 1))
	second := mustAppend(t, r, a, first.Position, fieldSet(3, 2))
	for _, after := range []uint64{0, first.Position, second.Position - 1, second.Position + 1, 1 << 40} {
		if rec, err := r.Append(t.Context(), a, after, fieldSet(4, 3)); !errors.Is(err, ErrConflict) {
			t.Errorf("after %d: %v, %v", after, rec.Position, err)
		}
	}
	if got := len(collect(t, r.Read(t.Context(), 0))); got != 3 {
		t.Errorf("%d events are stored", got)
	}
}

// testOneWinner: of N concurrent writers with one expectation one wins
// (invariant 4), and the others' events are nowhere.
func testOneWinner(t *testing.T, r *rig) {
	const writers, rounds = 16, 5
	stream := secretStream("contended")
	var after uint64
	for round := range uint64(rounds) {
		var wg sync.WaitGroup
		errs, recs := make([]error, writers), make([]domain.Recorded, writers)
		for w := range writers {
			wg.Go(func() {
				recs[w], errs[w] = r.Append(t.Context(), stream, after, fieldSet(1+round*writers+uint64(w), round+1))
			})
		}
		wg.Wait()
		var won []domain.Recorded
		for w, err := range errs {
			switch {
			case err == nil:
				won = append(won, recs[w])
			case !errors.Is(err, ErrConflict):
				t.Errorf("writer %d: %v", w, err)
			}
		}
		stored := collect(t, r.Load(t.Context(), stream))
		if len(won) != 1 || len(stored) != int(round)+1 || !cmp.Equal(won[0], stored[round]) {
			t.Fatalf("round %d: %d winners, %d stored", round, len(won), len(stored))
		}
		after = won[0].Position
	}
}

// testOutcomes: success means stored, ErrConflict and ErrUnavailable mean not
// stored, and a lost acknowledgement is settled (invariant 3).
func testOutcomes(t *testing.T, r *rig) {
	ctx := t.Context()
	once := func(apply bool, err error) Fault {
		return func(op Op) (bool, error) {
			if op.Kind == OpAppend && op.Attempt == 1 {
				return apply, err
			}
			return true, nil
		}
	}
	always := func(apply bool, err error) Fault {
		return func(op Op) (bool, error) {
			if op.Kind == OpAppend {
				return apply, err
			}
			return true, nil
		}
	}
	var n uint64 = 100
	// A rival appends through another door, which knows no faults.
	rival := func(stream domain.Stream, after uint64) {
		n++
		r.without(func() { mustAppend(t, r, stream, after, fieldSet(n, after+2)) })
	}
	tests := []struct {
		name   string
		fault  func(stream domain.Stream) Fault
		want   error
		stored bool
		sent   int // 0: any number
	}{
		{"no fault", func(domain.Stream) Fault { return nil }, nil, true, 1},
		{"stored, answer lost", func(domain.Stream) Fault { return once(true, errLost) }, nil, true, 2},
		{"not stored, answer lost", func(domain.Stream) Fault { return once(false, errLost) }, nil, true, 2},
		{"stored, every answer lost", func(domain.Stream) Fault { return always(true, errLost) }, nil, true, 2},
		{"stored, then a rival's event, answer lost", func(stream domain.Stream) Fault {
			return func(op Op) (bool, error) {
				if op.Kind == OpAppend && op.Attempt == 2 {
					rival(stream, lastOf(t, r, stream))
				}
				return once(true, errLost)(op)
			}
		}, nil, true, 2},
		{"a rival's event, answer lost", func(stream domain.Stream) Fault {
			return func(op Op) (bool, error) {
				if op.Kind == OpAppend && op.Attempt == 1 {
					rival(stream, 0)
				}
				return once(false, errLost)(op)
			}
		}, ErrConflict, false, 2},
		{"stored, answer and look-up lost once", func(domain.Stream) Fault {
			failed := false
			return func(op Op) (bool, error) {
				if op.Kind == OpLookUp && !failed {
					failed = true
					return false, errLost
				}
				return once(true, errLost)(op)
			}
		}, nil, true, 3},
		{"stored, settling fails", func(domain.Stream) Fault { return func(Op) (bool, error) { return true, errLost } }, ErrUncertain, true, 0},
		{"not stored, settling fails", func(domain.Stream) Fault { return always(false, errLost) }, ErrUncertain, false, 0},
		{"conflict of a single stream", func(domain.Stream) Fault {
			return once(false, &jetstream.APIError{Code: 400, ErrorCode: 10071})
		}, ErrConflict, false, 1},
		{"conflict of a replicated stream", func(domain.Stream) Fault {
			return once(false, &jetstream.APIError{Code: 400, ErrorCode: 10164})
		}, ErrConflict, false, 1},
		{"no room", func(domain.Stream) Fault {
			return once(false, &jetstream.APIError{Code: 500, ErrorCode: 10023})
		}, ErrUnavailable, false, 1},
		{"failed write", func(domain.Stream) Fault {
			return once(true, &jetstream.APIError{Code: 503, ErrorCode: 10077})
		}, nil, true, 2},
		{"unavailable", func(domain.Stream) Fault { return once(false, ErrUnavailable) }, ErrUnavailable, false, 1},
		{"uncertain", func(domain.Stream) Fault { return once(true, ErrUncertain) }, ErrUncertain, true, 1},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stream := secretStream(domain.SecretID("s" + string(rune('a'+i))))
			p := fieldSet(uint64(i+1), 1)
			r.inject(tt.fault(stream))
			rec, err := r.Append(ctx, stream, 0, p)
			sent := r.count(OpAppend)
			r.inject(nil)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			var copies []domain.Recorded
			for _, got := range collect(t, r.Load(ctx, stream)) {
				if got.ID == p.ID {
					copies = append(copies, got)
				}
			}
			if want := map[bool]int{true: 1}[tt.stored]; len(copies) != want {
				t.Fatalf("stored %d times, want %d", len(copies), want)
			}
			if err == nil && !cmp.Equal(rec, copies[0]) {
				t.Error(cmp.Diff(rec, copies[0]))
			}
			if tt.sent != 0 && sent < tt.sent {
				t.Errorf("sent %d times, want at least %d", sent, tt.sent)
			}
		})
	}
}

func lastOf(t *testing.T, l Log, stream domain.Stream) uint64 {
	var last uint64
	for _, rec := range collect(t, l.Load(t.Context(), stream)) {
		last = rec.Position
	}
	return last
}

// testAppendAgain: an event whose outcome was uncertain can be appended again,
// also after a rival's event came behind it.
func testAppendAgain(t *testing.T, r *rig) {
	stream, p := secretStream("s"), fieldSet(1, 1)
	first := mustAppend(t, r, stream, 0, p)
	mustAppend(t, r, stream, first.Position, fieldSet(2, 2))
	again := mustAppend(t, r, stream, 0, p)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error(diff)
	}
	changed := p
	changed.Origin.Reason = "another"
	if _, err := r.Append(t.Context(), stream, 0, changed); !errors.Is(err, ErrConflict) {
		t.Errorf("another event with the same id: %v", err)
	}
	if got := len(collect(t, r.Load(t.Context(), stream))); got != 2 {
		t.Errorf("%d events are stored", got)
	}
}

// testEndedContext: a context that has ended stores nothing; one that ends
// while settling changes nothing.
func testEndedContext(t *testing.T, r *rig) {
	ctx, cancel := context.WithCancel(t.Context())
	r.inject(func(op Op) (bool, error) {
		if op.Attempt == 1 && op.Kind == OpAppend {
			cancel()
			return true, errLost
		}
		return true, nil
	})
	rec, err := r.Append(ctx, secretStream("s"), 0, fieldSet(1, 1))
	if err != nil || rec.Position != 1 {
		t.Errorf("ended while settling: %v, %v", rec.Position, err)
	}
	_, err = r.Append(ctx, secretStream("t"), 0, fieldSet(2, 1))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("ended before: %v", err)
	}
	if got := len(collect(t, r.Read(t.Context(), 0))); got != 1 {
		t.Errorf("%d events are stored", got)
	}
}

// testIncomplete: a bounded reading that did not come to its end says so.
func testIncomplete(t *testing.T, r *rig) {
	stream := secretStream("s")
	first := mustAppend(t, r, stream, 0, fieldSet(1, 1))
	mustAppend(t, r, stream, first.Position, fieldSet(2, 2))
	for name, read := range map[string]func(context.Context) iter.Seq2[domain.Recorded, error]{
		"Load": func(ctx context.Context) iter.Seq2[domain.Recorded, error] { return r.Load(ctx, stream) },
		"Read": func(ctx context.Context) iter.Seq2[domain.Recorded, error] { return r.Read(ctx, 0) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		for _, err := range read(ctx) {
			last = err
			cancel()
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("%s, ended between two events: %v", name, last)
		}
		last = nil
		for _, err := range read(ctx) {
			last = err
		}
		if !errors.Is(last, context.Canceled) {
			t.Errorf("%s, ended before: %v", name, last)
		}
	}
}

// testRefused: what has no encoding is never sent (invariants 1 and 6).
func testRefused(t *testing.T, r *rig) {
	r.inject(func(op Op) (bool, error) { t.Errorf("sent %v", op); return true, nil })
	p := proposed(1, domain.FieldSet{Field: domain.Field{Key: "k", Value: domain.NewPlaintext("canary")}})
	if _, err := r.Append(t.Context(), secretStream("s"), 0, p); !errors.Is(err, ErrRefused) {
		t.Errorf("Append: %v", err)
	}
	if _, err := r.Bootstrap(t.Context(), secretStream("s"), []domain.Proposed{fieldSet(1, 1), p}); !errors.Is(err, ErrRefused) {
		t.Errorf("Bootstrap: %v", err)
	}
	if _, err := r.Bootstrap(t.Context(), secretStream("s"), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("Bootstrap of nothing: %v", err)
	}
}

// testFollow: events come in order, those that were there and those that
// come, while others write.
func testFollow(t *testing.T, r *rig) {
	const events = 60
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := follow(ctx, r, 0)
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			stream := secretStream(domain.SecretID("w" + string(rune('a'+w))))
			var after uint64
			for v := range uint64(events / 3) {
				rec, err := r.Append(t.Context(), stream, after, fieldSet(1+v*3+uint64(w), v+1))
				if err != nil {
					t.Error(err)
					return
				}
				after = rec.Position
			}
		})
	}
	for want := uint64(1); want <= events; want++ {
		if got := f.next(t); got.Position != want {
			t.Fatalf("position %d instead of %d", got.Position, want)
		}
	}
	wg.Wait()
	cancel()
	if err := f.end(t); err != nil {
		t.Error(err)
	}
}

func testFollowBeyond(t *testing.T, r *rig) {
	mustAppend(t, r, secretStream("s"), 0, fieldSet(1, 1))
	if err := follow(t.Context(), r, 2).end(t); !errors.Is(err, ErrReplaced) {
		t.Errorf("got %v", err)
	}
}

// testLeaving: a range that is left early leaves nothing behind (the leak
// check of this package's tests is part of this test).
func testLeaving(t *testing.T, r *rig) {
	stream := secretStream("s")
	first := mustAppend(t, r, stream, 0, fieldSet(1, 1))
	mustAppend(t, r, stream, first.Position, fieldSet(2, 2))
	for _, events := range []func(yield func(domain.Recorded, error) bool){
		r.Load(t.Context(), stream), r.Read(t.Context(), 0), r.Follow(t.Context(), 0),
	} {
		n := 0
		for _, err := range events {
			if err != nil {
				t.Error(err)
			}
			n++
			break
		}
		if n != 1 {
			t.Errorf("%d events", n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for rec, err := range r.Follow(ctx, 0) {
		t.Errorf("an ended context yields %v, %v", rec.Position, err)
	}
}

// testRestart: what was acknowledged is there after a restart, expectations
// hold on, and so does the log's identity.
func testRestart(t *testing.T, r *rig) {
	stream := secretStream("s")
	first := mustAppend(t, r, stream, 0, fieldSet(1, 1))
	mustAppend(t, r, secretStream("other"), 0, fieldSet(2, 1))
	before, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := collect(t, r.Read(t.Context(), 0))
	r.restart()
	after, err := r.Status(t.Context())
	if err != nil || !after.Created.Equal(before.Created) || after.Head != before.Head {
		t.Errorf("status %+v, then %+v, %v", before, after, err)
	}
	if diff := cmp.Diff(all, collect(t, r.Read(t.Context(), 0))); diff != "" {
		t.Error(diff)
	}
	if _, err := r.Append(t.Context(), stream, 0, fieldSet(3, 2)); !errors.Is(err, ErrConflict) {
		t.Errorf("a stale append: %v", err)
	}
	if rec := mustAppend(t, r, stream, first.Position, fieldSet(3, 2)); rec.Position != 3 {
		t.Errorf("position %d", rec.Position)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func testStatus(t *testing.T, r *rig) {
	empty, err := r.Status(t.Context())
	if err != nil || empty.First != 0 || empty.Head != 0 || empty.Created.IsZero() || empty.Clock.Before(empty.Created) {
		t.Errorf("empty: %+v, %v", empty, err)
	}
	mustAppend(t, r, secretStream("a"), 0, fieldSet(1, 1))
	mustAppend(t, r, secretStream("b"), 0, fieldSet(2, 1))
	two, err := r.Status(t.Context())
	if err != nil || two.First != 1 || two.Head != 2 || !two.Created.Equal(empty.Created) || two.Clock.Before(empty.Clock) {
		t.Errorf("two events: %+v, %v", two, err)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// testLargest: the largest legal create and PATCH go in and come out.
func testLargest(t *testing.T, r *rig) {
	all := largest()
	created := mustAppend(t, r, all["create"].stream, 0, all["create"].p)
	patched := mustAppend(t, r, all["PATCH"].stream, created.Position, all["PATCH"].p)
	want := []domain.Recorded{created, patched}
	if diff := cmp.Diff(want, collect(t, r.Load(t.Context(), all["create"].stream))); diff != "" {
		t.Error(diff)
	}
	again := mustAppend(t, r, all["create"].stream, 0, all["create"].p)
	if again.Position != created.Position {
		t.Errorf("found at position %d", again.Position)
	}
}
