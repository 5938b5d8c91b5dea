package eventstore

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// maxAttempts bounds how often one command is decided anew because a
	// rival's event came first.
	maxAttempts = 64
	// maxClockLag is how far this node's clock may be behind the head's time.
	// Further behind, its times and the ages it judges would be wrong.
	maxClockLag = 5 * time.Second
	// finishTimeout bounds what must go on after an append although the
	// caller may have gone away.
	finishTimeout = 10 * time.Second
	retryAfter    = time.Second
)

// State is what the executor reads of the projection.
type State interface {
	// Secret gives the state with stored values; one that does not exist has
	// its Version and Head all the same.
	Secret(ref domain.SecretRef) (domain.Secret, error)
	// SecretAtVersion gives the metadata as they stood after the stream's
	// n-th event, a zero secret for 0 or where it did not exist then.
	SecretAtVersion(ref domain.SecretRef, version uint64) (domain.Secret, bool, error)
	// Directory shows a directory while no event is applied to it. An unknown
	// organization is an empty directory.
	Directory(org domain.OrgID, show func(*domain.Directory) error) error
	// Entry gives one history entry of a secret that has been applied.
	Entry(ref domain.SecretRef, version uint64) (domain.HistoryEntry, error)
	// Idempotent finds the event that a request with this key appended.
	Idempotent(agent domain.AgentID, operation, key string) (domain.IdempotentEvent, bool, error)
	// PendingDestructions lists deleted incarnations whose key.destroyed is
	// not in the log yet, oldest first.
	PendingDestructions(limit int) ([]domain.KeyDestroyed, error)
	// DestructionPending says whether any of these keys of a deleted secret
	// waits for its key.destroyed.
	DestructionPending(ref domain.SecretRef, keks []domain.KekID) (bool, error)
	// StreamHead gives version and position of a stream's last event.
	StreamHead(stream domain.Stream) (version, position uint64, err error)
	// Position is that of the last applied event.
	Position() uint64
	// Now is the folded time of the last applied event.
	Now() time.Time
}

// Awaiter waits for the projection.
type Awaiter interface {
	// WaitFor returns nil once the event at position has been applied.
	WaitFor(ctx context.Context, position uint64) error
}

// Sealer turns what Decide gave into what may be recorded, and back.
type Sealer interface {
	// Seal verifies the event's envelopes and seals its plaintexts under the
	// secret's first key, bound to eventID. keys are those of the living
	// secret; for a creation there are none, and the event comes back with
	// the keys that it claims. Refusals are data_key_mismatch and
	// data_key_reused.
	Seal(ctx context.Context, ref domain.SecretRef, agent domain.AgentID, keys []domain.KekID,
		eventID ulid.ULID, event domain.Event) (domain.Event, error)
	// Open gives fields of a secret with every sealed value opened.
	Open(ctx context.Context, ref domain.SecretRef, fields []domain.Field) ([]domain.Field, error)
	// Destroy erases keys for good; nil also when they are gone already.
	Destroy(ctx context.Context, keys []domain.KekID) error
}

// Config holds the parts of an [Executor]; all are required.
type Config struct {
	Log     Log
	State   State
	Awaiter Awaiter
	Sealer  Sealer
	Now     func() time.Time
	Rand    io.Reader // safe for concurrent use
	// Deleted is told, without waiting, that a secret was deleted.
	Deleted func()
}

// Executor carries out commands: load, decide, seal, append, await. It is the
// only writer of the log but for the bootstrap. Safe for concurrent use.
type Executor struct {
	Config
}

// NewExecutor gives an executor over the parts.
func NewExecutor(c Config) *Executor { return &Executor{Config: c} }

// ChangeSecret carries out one command on a secret. On nil the change is
// durable, if one was needed, and this node's projection has applied it
// unless that takes longer than ten seconds.
//
// Errors: what [domain.Decide] and the [Sealer] refuse; idempotency_key_reused
// and idempotency_expired; conflict when rivals came first too often;
// unavailable when nothing was stored; outcome_unknown, with the event id,
// when that could not be found out.
func (x *Executor) ChangeSecret(ctx context.Context, req domain.SecretRequest) (domain.SecretResult, error) {
	stream := domain.SecretStream{Ref: req.Ref}
	operation := domain.SecretOperation(req.Ref, req.Command)
	for range maxAttempts {
		// The state is read before the key is looked up: the same request's
		// event, coming between, is then found or makes the append conflict. The
		// other way round it would be taken for a rival's.
		known := x.State.Position()
		before, err := x.State.Secret(req.Ref)
		if err != nil {
			return domain.SecretResult{}, err
		}
		hit, found, err := x.repeated(req.Principal, operation, req.Origin)
		if err != nil {
			return domain.SecretResult{}, err
		}
		if found {
			return x.repeatSecret(ctx, req, hit)
		}
		opened, event, p, err := x.prepare(ctx, req, before)
		if err != nil && x.moved(stream, before.Head) {
			continue
		}
		if err != nil {
			return domain.SecretResult{}, err
		}
		if event == nil {
			return domain.SecretResult{Secret: opened, Position: x.State.Position(), Version: opened.Version, At: opened.UpdatedAt}, nil
		}
		p.Known = known
		recorded, err := x.append(ctx, stream, before.Head, p)
		if errors.Is(err, ErrConflict) {
			if err := x.catchUp(ctx); err != nil {
				return domain.SecretResult{}, err
			}
			continue
		}
		if err != nil {
			return domain.SecretResult{}, err
		}
		return x.finishSecret(ctx, opened, recorded, event)
	}
	return domain.SecretResult{}, errLostRace()
}

// prepare opens what must be compared, decides and seals. event is as Decide
// gave it, nil if nothing has to change, and p holds it sealed.
func (x *Executor) prepare(ctx context.Context, req domain.SecretRequest, before domain.Secret) (
	opened domain.Secret, event domain.Event, p domain.Proposed, err error,
) {
	if opened, err = x.openCompared(ctx, before, req.Command); err != nil {
		return opened, nil, p, err
	}
	if event, err = domain.Decide(opened, req.Command); err != nil || event == nil {
		return opened, nil, p, err
	}
	if p, err = x.propose(req.Principal, req.Origin, before.Version); err != nil {
		return opened, nil, p, err
	}
	p.Event, err = x.Sealer.Seal(ctx, req.Ref, req.Principal.Agent, before.KekIDs, p.ID, event)
	return opened, event, p, err
}

// moved says whether the stream has an event behind head. Keys and their
// claims are asked for later than the state: a refusal may be about what a
// rival, or this very request, wrote in between, and must be decided anew.
func (x *Executor) moved(stream domain.Stream, head uint64) bool {
	_, now, err := x.State.StreamHead(stream)
	return err == nil && now != head
}

// finishSecret runs after the append: the change is durable, so nothing here
// may turn it into a failure. A crash here leaves a deleted secret's keys to
// the reconciler.
func (x *Executor) finishSecret(ctx context.Context, before domain.Secret, r domain.Recorded, event domain.Event) (domain.SecretResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	r.At = later(r.Time, x.State.Now())
	if err := x.Awaiter.WaitFor(ctx, r.Position); err == nil {
		entry, err := x.State.Entry(before.Ref, r.Version)
		if err == nil {
			r.At = entry.At
		}
	}
	after := before.Clone()
	after.Apply(r)
	after = after.WithValues(domain.BodyOf(event).Fields)
	res := domain.SecretResult{Secret: after, Event: event.Type(), Position: r.Position, Version: r.Version, At: r.At}
	if deleted, ok := r.Event.(domain.SecretDeleted); ok {
		res.KeyDestroyed = x.Sealer.Destroy(ctx, deleted.KekIDs) == nil
		x.Deleted()
	}
	return res, nil
}

// openCompared opens the values that Decide compares, and all of them where
// the answer shows the whole aggregate.
func (x *Executor) openCompared(ctx context.Context, s domain.Secret, c domain.SecretCommand) (domain.Secret, error) {
	switch c.(type) {
	case domain.CreateSecret, domain.UpdateMetadata:
		return x.openAll(ctx, s)
	case domain.SetField, domain.RemoveField, domain.DeleteSecret:
	}
	return x.openFields(ctx, s, domain.Compared(s, c))
}

func (x *Executor) openAll(ctx context.Context, s domain.Secret) (domain.Secret, error) {
	keys := make([]domain.FieldKey, len(s.Fields))
	for i, f := range s.Fields {
		keys[i] = f.Key
	}
	return x.openFields(ctx, s, keys)
}

func (x *Executor) openFields(ctx context.Context, s domain.Secret, keys []domain.FieldKey) (domain.Secret, error) {
	var opened []domain.Field
	for _, key := range keys {
		f, _ := s.Field(key)
		opened = append(opened, domain.Field{Key: key, Value: f.Value})
	}
	opened, err := x.Sealer.Open(ctx, s.Ref, opened)
	if err != nil {
		return domain.Secret{}, err
	}
	return s.WithValues(opened), nil
}

// propose makes the envelope of a new event: id, time, next version.
func (x *Executor) propose(who domain.Principal, origin domain.Origin, version uint64) (domain.Proposed, error) {
	return x.proposeAs(domain.Actor{Kind: domain.ActorAgent, ID: string(who.Agent), KeyID: who.Key}, origin, version)
}

func (x *Executor) proposeAs(actor domain.Actor, origin domain.Origin, version uint64) (domain.Proposed, error) {
	now := x.Now().UTC().Truncate(time.Millisecond)
	if now.Add(maxClockLag).Before(x.State.Now()) {
		return domain.Proposed{}, unavailable("this node's clock is behind the log")
	}
	id, err := ulid.New(ulid.Timestamp(now), x.Rand)
	if err != nil {
		return domain.Proposed{}, err
	}
	return domain.Proposed{ID: id, Version: version + 1, Time: now, Actor: actor, Origin: origin}, nil
}

// append maps what the log says to what a caller may be told, except
// ErrConflict, which the callers handle.
func (x *Executor) append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed) (domain.Recorded, error) {
	r, err := x.Log.Append(ctx, stream, after, p)
	switch {
	case errors.Is(err, ErrUncertain):
		e := domain.Errorf(domain.CodeOutcomeUnknown, "the change may or may not have been stored")
		e.EventID, e.RetryAfter = p.ID.String(), retryAfter
		return r, e
	case errors.Is(err, ErrUnavailable):
		return r, unavailable("the log cannot be reached; nothing was stored")
	}
	return r, err
}

// catchUp waits until the projection has seen what a rival appended: the head
// covers it, see [Log.Append].
func (x *Executor) catchUp(ctx context.Context) error {
	status, err := x.Log.Status(ctx)
	if err != nil {
		return unavailable("the log cannot be reached; nothing was stored")
	}
	if err := x.Awaiter.WaitFor(ctx, status.Head); err != nil {
		return unavailable("this node has not caught up with the log; nothing was stored")
	}
	return nil
}

func unavailable(detail string) error {
	e := domain.Errorf(domain.CodeUnavailable, "%s", detail)
	e.RetryAfter = retryAfter
	return e
}

func errLostRace() error {
	return domain.Errorf(domain.CodeConflict, "other writers came first repeatedly; nothing was stored")
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
