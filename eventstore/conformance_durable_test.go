package eventstore

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// A held sync shows what a log does while the disk has not answered: a log that
// shows what is not durable does so at once, one that does not is given up. An
// external server is left out: a client neither sees nor holds its syncs (see
// domain.DurableByServer).

// briefly bounds a question that must stay without an answer.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// shown returns the positions that a reading yields, and its error.
func shown(events iter.Seq2[domain.Recorded, error]) (positions []uint64, err error) {
	for r, err := range events {
		if err != nil {
			return positions, err
		}
		positions = append(positions, r.Position)
	}
	return positions, nil
}

func checkShown(t *testing.T, what string, events iter.Seq2[domain.Recorded, error], end error, want ...uint64) {
	t.Helper()
	if got, err := shown(events); !slices.Equal(got, want) || !errors.Is(err, end) || (err == nil) != (end == nil) {
		t.Errorf("%s: %v, %v, want %v, %v", what, got, err, want, end)
	}
}

func checkHead(t *testing.T, l interface {
	Status(ctx context.Context) (domain.LogStatus, error)
}, head, storedTo uint64,
) {
	t.Helper()
	s, err := l.Status(t.Context())
	if err != nil || s.Head != head || s.First != min(1, head) || s.Stored != storedTo || s.Durability != domain.DurableHere {
		t.Errorf("%+v, %v, want the head %d of %d", s, err, head, storedTo)
	}
}

// storedUpTo waits until a log that shows nothing of it has stored a position.
func storedUpTo(t *testing.T, l interface {
	Status(ctx context.Context) (domain.LogStatus, error)
}, position uint64,
) {
	t.Helper()
	waitFor(t, func() bool { s, err := l.Status(t.Context()); return err == nil && s.Stored >= position })
}

// testHeldSync: while a sync is held nothing shows the appends that wait for
// it, not even the conflict of who lost to one; what was durable before is
// shown without waiting. Released, everything shows them.
func testHeldSync(t *testing.T, r *rig) {
	if r.hold == nil {
		return
	}
	a, b, c := secretStream("a"), secretStream("b"), secretStream("c")
	mustAppend(t, r, a, 0, fieldSet(1, 1))
	mustAppend(t, r, b, 0, fieldSet(2, 1))
	followed, end := context.WithCancel(t.Context())
	defer end()
	f := follow(followed, r, 1)
	if got := f.next(t); got.Position != 2 {
		t.Fatalf("position %d", got.Position)
	}
	held := r.hold()
	var appending sync.WaitGroup
	for i, stream := range []domain.Stream{a, c} {
		after := []uint64{1, 0}[i]
		appending.Go(func() {
			if _, err := r.Append(t.Context(), stream, after, fieldSet(uint64(10+i), after+1)); err != nil {
				t.Error(err)
			}
		})
		storedUpTo(t, r, uint64(3+i)) // one after the other, so that the positions are known
	}
	<-held.begun
	appending.Go(func() {
		_, err := r.Append(t.Context(), a, 1, fieldSet(20, 2))
		if !errors.Is(err, ErrConflict) {
			t.Errorf("who lost: %v", err)
		}
		if s, err := r.Status(t.Context()); err != nil || s.Head < 3 {
			t.Errorf("who lost to position 3 finds the head %d, %v", s.Head, err)
		}
	})
	checkHead(t, r, 2, 4)
	checkShown(t, "Read", r.Read(t.Context(), 0), nil, 1, 2)
	checkShown(t, "Read behind it", r.Read(t.Context(), 2), nil)
	checkShown(t, "Load", r.Load(briefly(t), a), context.DeadlineExceeded)
	checkShown(t, "Load of a new stream", r.Load(briefly(t), c), context.DeadlineExceeded)
	checkShown(t, "Load of what is durable", r.Load(t.Context(), b), nil, 2)
	if got, err := r.Get(briefly(t), a, 3); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get: %v, %v", got.Position, err)
	}
	if got, err := r.Get(t.Context(), a, 1); err != nil || got.Position != 1 {
		t.Errorf("Get of what is durable: %v, %v", got.Position, err)
	}
	checkShown(t, "Follow", r.Follow(briefly(t), 0), nil, 1, 2)
	checkShown(t, "Follow behind it", r.Follow(briefly(t), 2), nil)
	select {
	case got := <-f.events:
		t.Errorf("a follower from before: %v", got.Position)
	default:
	}
	held.release()
	appending.Wait()
	checkHead(t, r, 4, 4)
	checkShown(t, "Read, released", r.Read(t.Context(), 0), nil, 1, 2, 3, 4)
	checkShown(t, "Load, released", r.Load(t.Context(), a), nil, 1, 3)
	if got, err := r.Get(t.Context(), a, 3); err != nil || got.Position != 3 {
		t.Errorf("Get, released: %v, %v", got.Position, err)
	}
	for want := uint64(3); want <= 4; want++ {
		if got := f.next(t); got.Position != want {
			t.Errorf("followed to %d instead of %d", got.Position, want)
		}
	}
}

// testHeldUnknown: an append of which nobody found out is shown by nothing
// before a follower, or who loads its stream, had it made durable.
func testHeldUnknown(t *testing.T, r *rig) {
	if r.hold == nil {
		return
	}
	stream := secretStream("s")
	mustAppend(t, r, stream, 0, fieldSet(1, 1))
	unknown := func(after uint64) {
		t.Helper()
		r.inject(func(op Op) (bool, error) {
			if op.Kind == OpAppend {
				return true, ErrUncertain
			}
			return true, nil
		})
		if _, err := r.Append(t.Context(), stream, after, fieldSet(after+1, after+1)); !errors.Is(err, ErrUncertain) {
			t.Errorf("got %v", err)
		}
		r.inject(nil)
	}
	unknown(1)
	checkHead(t, r, 1, 2)
	checkShown(t, "Read", r.Read(t.Context(), 0), nil, 1)
	checkShown(t, "Load", r.Load(t.Context(), stream), nil, 1, 2)
	checkHead(t, r, 2, 2)
	unknown(2)
	held := r.hold()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := follow(ctx, r, 2)
	select {
	case <-held.begun: // by the follower
	case got := <-f.events:
		t.Fatalf("followed to %d before it is durable", got.Position)
	}
	checkHead(t, r, 2, 3)
	held.release()
	if got := f.next(t); got.Position != 3 {
		t.Errorf("followed to %d", got.Position)
	}
	checkHead(t, r, 3, 3)
}

// testAccessHeldSync is testHeldSync for the access log.
func testAccessHeldSync(t *testing.T, r *accessRig) {
	if r.rig.hold == nil {
		return
	}
	mustAppendAccess(t, r, 1)
	held := r.rig.hold()
	var appending sync.WaitGroup
	appending.Go(func() { mustAppendAccess(t, r, 2) })
	<-held.begun
	storedUpTo(t, r, 2)
	checkHead(t, r, 1, 2)
	for name, messages := range map[string]iter.Seq2[domain.AccessMessage, error]{
		"Read": r.Read(t.Context(), 0), "Follow": r.Follow(briefly(t), 0),
	} {
		if got, err := positions(t, messages, 2); err != nil || !slices.Equal(got, []uint64{1}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	held.release()
	appending.Wait()
	checkHead(t, r, 2, 2)
	checkPositions(t, "Read, released", r.Read(t.Context(), 0), 1, 2)
	checkPositions(t, "Follow, released", r.Follow(t.Context(), 0), 1, 2)
}

// testProofHeldSync: the newest entry of a kind, and that another came first,
// are told once that entry is durable.
func testProofHeldSync(t *testing.T, p *ProofStore, r *rig) {
	first, err := p.Add(t.Context(), ProofOfEvents, 0, []byte("first"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.AddFrontier(t.Context(), 0, []byte("edge")); err != nil {
		t.Fatal(err)
	}
	held := r.hold()
	var adding sync.WaitGroup
	adding.Go(func() {
		if _, err := p.Add(t.Context(), ProofOfEvents, first, []byte("second")); err != nil {
			t.Error(err)
		}
	})
	<-held.begun
	if note, revision, err := p.Latest(briefly(t), ProofOfEvents); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%q at %d, %v", note, revision, err)
	}
	for note, err := range p.Checkpoints(briefly(t), ProofOfEvents) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", note, err)
		}
	}
	if edge, _, err := p.LatestFrontier(t.Context()); err != nil || string(edge) != "edge" {
		t.Errorf("what is durable: %q, %v", edge, err)
	}
	released := make(chan struct{})
	adding.Go(func() {
		_, err := p.Add(t.Context(), ProofOfEvents, first, []byte("rival"))
		select {
		case <-released:
		default:
			t.Error("who lost was told before the entry was durable")
		}
		if !errors.Is(err, ErrConflict) {
			t.Errorf("who lost: %v", err)
		}
	})
	if note, revision, err := p.Latest(briefly(t), ProofOfEvents); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%q at %d, %v", note, revision, err)
	}
	close(released)
	held.release()
	adding.Wait()
	if note, _, err := p.Latest(t.Context(), ProofOfEvents); err != nil || string(note) != "second" {
		t.Errorf("released: %q, %v", note, err)
	}
	if got := entries(t, p.Checkpoints(t.Context(), ProofOfEvents)); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("released: %q", got)
	}
}
