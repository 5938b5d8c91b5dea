package eventstore

import (
	"context"
	"fmt"

	"github.com/chancery-dev/chancery/domain"
)

// Get implements [Log].
func (l *JetStream) Get(ctx context.Context, stream domain.Stream, position uint64) (domain.Recorded, error) {
	return get(ctx, &l.jetStreamBroker, stream, position)
}

// Get implements [Log].
func (l *Memory) Get(ctx context.Context, stream domain.Stream, position uint64) (domain.Recorded, error) {
	return get(ctx, &l.broker, stream, position)
}

func get(ctx context.Context, b broker, stream domain.Stream, position uint64) (domain.Recorded, error) {
	if position == 0 {
		return domain.Recorded{}, &CorruptError{Reason: "there is no position 0"}
	}
	m, ok, err := b.next(ctx, domain.SubjectPrefix+stream.Subject(), position-1)
	if err != nil {
		return domain.Recorded{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if !ok || m.position != position {
		return domain.Recorded{}, &CorruptError{Position: position, Reason: "the event is missing from its stream"}
	}
	if err := awaitDurable(ctx, b, position); err != nil {
		return domain.Recorded{}, err
	}
	return decode(m)
}
