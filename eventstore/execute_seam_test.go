package eventstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/projections"
)

// place is a moment between two steps of an executor or reconciler.
type place string

const (
	lookedUp    place = "looked up"    // after asking for an idempotency key
	loaded      place = "loaded"       // after reading the state
	opening     place = "opening"      // before a stored value is opened
	sealing     place = "sealing"      // before an event is sealed
	appending   place = "appending"    // before an append
	appended    place = "appended"     // after an append
	applying    place = "applying"     // before the projection tells of events
	awaiting    place = "awaiting"     // before waiting for the projection
	destroying  place = "destroying"   // before keys are erased
	reading     place = "reading"      // before a stream is read from the log
	headRead    place = "head read"    // after reading a stream's head
	pendingRead place = "pending read" // after listing what must be destroyed
)

// seams let something happen between two steps. What the parts do is real; a
// seam may only come before or after, or take a part's place with an error.
type seams struct {
	mu sync.Mutex
	do map[place]func() error
}

// at sets what happens at a place from now on, nil for nothing.
func (s *seams) at(p place, do func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.do == nil {
		s.do = map[place]func() error{}
	}
	s.do[p] = do
}

// once lets something happen at the first passing of a place.
func (s *seams) once(p place, do func()) {
	var done atomic.Bool
	s.at(p, func() error {
		if done.CompareAndSwap(false, true) {
			do()
		}
		return nil
	})
}

func (s *seams) pass(p place) error {
	s.mu.Lock()
	do := s.do[p]
	s.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

type seamedLog struct {
	eventstore.Log
	*seams
}

func (l seamedLog) Append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error) {
	if err := l.pass(appending); err != nil {
		return domain.Recorded{}, err
	}
	r, err := l.Log.Append(ctx, stream, after, p)
	if failed := l.pass(appended); failed != nil {
		return domain.Recorded{}, failed
	}
	return r, err
}

func (l seamedLog) Get(ctx context.Context, stream domain.Stream, position uint64) (domain.Recorded, error) {
	if err := l.pass(reading); err != nil {
		return domain.Recorded{}, err
	}
	return l.Log.Get(ctx, stream, position)
}

type seamedState struct {
	*projections.Store
	*seams
}

func (s seamedState) Secret(ref domain.SecretRef) (domain.Secret, error) {
	secret, err := s.Store.Secret(ref)
	if failed := s.pass(loaded); failed != nil {
		return secret, failed
	}
	return secret, err
}

// Directory passes its seam after the directory was shown: what happens there
// may apply events to it.
func (s seamedState) Directory(org domain.OrgID, show func(*domain.Directory) error) error {
	err := s.Store.Directory(org, show)
	if failed := s.pass(loaded); failed != nil {
		return failed
	}
	return err
}

func (s seamedState) Idempotent(agent domain.AgentID, operation, key string) (domain.IdempotentEvent, bool, error) {
	e, ok, err := s.Store.Idempotent(agent, operation, key)
	if failed := s.pass(lookedUp); failed != nil {
		return e, ok, failed
	}
	return e, ok, err
}

func (s seamedState) StreamHead(stream domain.Stream) (version, position uint64, err error) {
	version, position, err = s.Store.StreamHead(stream)
	if failed := s.pass(headRead); failed != nil {
		return version, position, failed
	}
	return version, position, err
}

func (s seamedState) PendingDestructions(limit int) ([]domain.KeyDestroyed, error) {
	pending, err := s.Store.PendingDestructions(limit)
	if failed := s.pass(pendingRead); failed != nil {
		return pending, failed
	}
	return pending, err
}

type seamedAwaiter struct {
	*projections.Store
	*seams
}

func (a seamedAwaiter) WaitFor(ctx context.Context, position uint64) error {
	if err := a.pass(awaiting); err != nil {
		return err
	}
	return a.Store.WaitFor(ctx, position)
}

type seamedSealer struct {
	*kms.Keyring
	*seams
}

func (s seamedSealer) Seal(ctx context.Context, ref domain.SecretRef, agent domain.AgentID, keys []domain.KekID,
	eventID ulid.ULID, event domain.Event,
) (domain.Event, error) {
	if err := s.pass(sealing); err != nil {
		return nil, err
	}
	return s.Keyring.Seal(ctx, kms.SealRequest{Ref: ref, Agent: agent, Keys: keys, EventID: eventID, Event: event})
}

func (s seamedSealer) Open(ctx context.Context, ref domain.SecretRef, fields []domain.Field) ([]domain.Field, error) {
	if len(fields) > 0 {
		if err := s.pass(opening); err != nil {
			return nil, err
		}
	}
	return s.Keyring.Open(ctx, ref, fields)
}

func (s seamedSealer) Destroy(ctx context.Context, keys []domain.KekID) error {
	if err := s.pass(destroying); err != nil {
		return err
	}
	return s.Keyring.Destroy(ctx, keys)
}

// logStatus shows log and projection to the keyring, the log first: a head
// that is applied was applied before the answer.
type logStatus struct {
	log   eventstore.Log
	state *projections.Store
}

func (l logStatus) Status(ctx context.Context) (s kms.LogStatus, err error) {
	status, err := l.log.Status(ctx)
	if err != nil {
		return s, err
	}
	s.Head, s.Stored = status.Head, status.Stored
	if s.Applied, s.AppliedEvent = l.state.Applied(); s.Applied == 0 {
		// A real log has an organization before its first key; many of these
		// tests begin without. They sweep nothing.
		s.FirstEvent, s.Applied = ulid.ULID{1}, 1
		return s, nil
	}
	s.FirstEvent, err = l.EventAt(ctx, 1)
	return s, err
}

func (l logStatus) EventAt(ctx context.Context, position uint64) (id ulid.ULID, err error) {
	for r, err := range l.log.Read(ctx, position-1) {
		return r.ID, err
	}
	return id, errors.New("there is no such position")
}
