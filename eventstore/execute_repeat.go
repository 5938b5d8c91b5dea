package eventstore

import (
	"context"
	"errors"

	"github.com/chancery-dev/chancery/domain"
)

// repeated looks up the event that an earlier request with the same
// Idempotency-Key appended. It is asked anew after every conflict: the rival
// may have been the same request.
func (x *Executor) repeated(who domain.Principal, operation string, origin domain.Origin) (domain.IdempotentEvent, bool, error) {
	if origin.IdempotencyKey == "" {
		return domain.IdempotentEvent{}, false, nil
	}
	return x.State.Idempotent(who.Agent, operation, origin.IdempotencyKey)
}

// repeatSecret answers a repeated request. No fingerprint of the first one is
// stored: it is the same request if, decided on the state just before the
// recorded event, it means the same event.
func (x *Executor) repeatSecret(ctx context.Context, req domain.SecretRequest, hit domain.IdempotentEvent) (domain.SecretResult, error) {
	current, err := x.State.Secret(req.Ref)
	if err != nil {
		return domain.SecretResult{}, err
	}
	if goneSince(current, hit, req.Command) {
		return domain.SecretResult{}, domain.Errorf(domain.CodeIdempotencyExpired, "what this request wrote is gone")
	}
	before, _, err := x.State.SecretAtVersion(req.Ref, hit.Version-1)
	if err != nil {
		return domain.SecretResult{}, err
	}
	recorded, err := x.event(ctx, hit)
	if err != nil {
		return domain.SecretResult{}, err
	}
	opened, err := x.openEvent(ctx, req.Ref, recorded.Event)
	if err != nil {
		return domain.SecretResult{}, err
	}
	if !domain.RepeatsSecret(before, req.Command, opened) {
		return domain.SecretResult{}, errKeyReused()
	}
	res := domain.SecretResult{Event: recorded.Event.Type(), Position: hit.Position, Version: hit.Version, At: hit.At, Replayed: true}
	if deleted, ok := recorded.Event.(domain.SecretDeleted); ok {
		res.KeyDestroyed = x.Sealer.Destroy(ctx, deleted.KekIDs) == nil
		res.Secret = domain.Secret{Ref: req.Ref, Version: hit.Version, Head: hit.Position, DeletedAt: hit.At}
		return res, nil
	}
	res.Secret, err = x.openAll(ctx, current)
	return res, err
}

// goneSince says whether what the first request wrote no longer exists. A
// DELETE repeats its own result, whatever has come since.
func goneSince(current domain.Secret, hit domain.IdempotentEvent, c domain.SecretCommand) bool {
	switch c := c.(type) {
	case domain.RemoveField, domain.DeleteSecret:
		return false
	case domain.SetField:
		if _, ok := current.Field(c.Field.Key); !ok {
			return true
		}
	case domain.CreateSecret, domain.UpdateMetadata:
	}
	return !current.Exists || current.Incarnation > hit.Version
}

func (x *Executor) repeatDirectory(ctx context.Context, req domain.DirectoryRequest, hit domain.IdempotentEvent) (domain.DirectoryResult, error) {
	recorded, err := x.event(ctx, hit)
	if err != nil {
		return domain.DirectoryResult{}, err
	}
	if !domain.RepeatsDirectory(req.Command, recorded.Event) {
		return domain.DirectoryResult{}, errKeyReused()
	}
	if issued, ok := recorded.Event.(domain.APIKeyIssued); ok {
		return domain.DirectoryResult{}, domain.Errorf(domain.CodeKeyAlreadyIssued, "this request issued the key %s; a key is shown once", issued.ID)
	}
	return domain.DirectoryResult{Event: recorded.Event, Position: hit.Position, Replayed: true}, nil
}

// event reads the event of a hit: it alone, not its stream, so that a
// repetition costs the same however long the history is.
func (x *Executor) event(ctx context.Context, hit domain.IdempotentEvent) (domain.Recorded, error) {
	r, err := x.Log.Get(ctx, hit.Stream, hit.Position)
	if errors.Is(err, ErrUnavailable) {
		return r, unavailable("the log cannot be read")
	}
	return r, err
}

// openEvent gives a recorded event with its sealed values opened.
func (x *Executor) openEvent(ctx context.Context, ref domain.SecretRef, event domain.Event) (domain.Event, error) {
	fields, err := x.Sealer.Open(ctx, ref, domain.BodyOf(event).Fields)
	if err != nil {
		return nil, err
	}
	switch e := event.(type) { //nolint:gochecksumtype // only these two hold values.
	case domain.SecretCreated:
		e.Fields = fields
		return e, nil
	case domain.FieldSet:
		e.Field = fields[0]
		return e, nil
	default:
		return event, nil
	}
}

func errKeyReused() error {
	return domain.Errorf(domain.CodeIdempotencyKeyReused, "the idempotency key was used for another request")
}
