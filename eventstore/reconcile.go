package eventstore

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	reconcileInterval = 30 * time.Second
	reconcileBatch    = 1024
)

// Reconciler finishes what deletes began: for every deleted incarnation
// without a key.destroyed it erases the keys and then appends that event. It
// is the only writer of key.destroyed on its node, so deletes never queue for
// the organization's keys stream.
//
// It relies on [Log]: what the projection shows is durable, so no power loss
// brings back a secret whose keys it erased. A crash after the secret.deleted
// leaves the keys to the next run; a crash after the erasure leaves the event to
// it: both steps are idempotent.
type Reconciler struct {
	executor *Executor
	logger   *slog.Logger
	wake     chan struct{}
}

// NewReconciler returns a reconciler that works through the executor's parts.
func NewReconciler(x *Executor, logger *slog.Logger) *Reconciler {
	return &Reconciler{executor: x, logger: logger, wake: make(chan struct{}, 1)}
}

// Wake asks for a run soon. It never blocks.
func (r *Reconciler) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run reconciles when woken and at an interval, until ctx ends. What fails is
// tried again soon, and logged unless the node is only catching up.
func (r *Reconciler) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause := reconcileInterval
		if err := r.Reconcile(ctx); err != nil && ctx.Err() == nil {
			pause = retryAfter
			level := slog.LevelError
			if domain.CodeOf(err) == domain.CodeUnavailable {
				level = slog.LevelDebug
			}
			r.logger.LogAttrs(ctx, level, "destroying the keys of deleted secrets failed; it will be tried again", slog.Any("error", err))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
		timer.Stop()
	}
}

// Reconcile works until nothing is pending. On nil every deleted secret that
// the projection knows has its keys destroyed and recorded as such.
func (r *Reconciler) Reconcile(ctx context.Context) error {
	for {
		pending, err := r.executor.State.PendingDestructions(reconcileBatch)
		if err != nil || len(pending) == 0 {
			return err
		}
		if err := r.destroy(ctx, pending); err != nil {
			return err
		}
	}
}

// destroy erases keys and records that. Keys that can't be erased do not hold
// up those of other secrets; the first such failure is the result.
func (r *Reconciler) destroy(ctx context.Context, pending []domain.KeyDestroyed) error {
	var failed error
	for _, d := range pending {
		if err := r.executor.Sealer.Destroy(ctx, d.KekIDs); err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		if err := r.record(ctx, d); err != nil {
			return err
		}
	}
	return failed
}

// record appends what has been erased, unless another node did.
func (r *Reconciler) record(ctx context.Context, d domain.KeyDestroyed) error {
	x := r.executor
	stream := domain.KeysStream{Org: d.Ref.Org}
	version, head, err := x.State.StreamHead(stream)
	if err != nil {
		return err
	}
	// Asked after the head was read: another node's event is then seen here or
	// makes the append conflict, so that no destruction is recorded twice.
	if pending, err := x.State.DestructionPending(d.Ref, d.KekIDs); err != nil || !pending {
		return err
	}
	p, err := x.proposeAs(domain.Actor{Kind: domain.ActorSystem, ID: "reconciler"}, domain.Origin{}, version)
	if err != nil {
		return err
	}
	p.Event = d
	recorded, err := x.Log.Append(ctx, stream, head, p)
	if errors.Is(err, ErrConflict) {
		// Another node was first, perhaps with this very event: look again.
		return x.catchUp(ctx)
	}
	if err != nil {
		return err
	}
	return x.Awaiter.WaitFor(ctx, recorded.Position)
}
