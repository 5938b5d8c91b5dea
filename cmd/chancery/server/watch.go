package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/eventstore"
)

// verifyInterval is the time between two looks at the streams' configuration:
// no setting of a stream keeps another client of its account from changing it.
const verifyInterval = time.Minute

// streamWatch verifies the streams while the node runs.
type streamWatch struct {
	parts  []verifier
	logger *slog.Logger

	mu    sync.Mutex
	found error
}

func (w *streamWatch) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found
}

func (w *streamWatch) run(ctx context.Context) {
	ticker := time.NewTicker(verifyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.look(ctx)
		}
	}
}

// verifier is a stream that can be looked at.
type verifier interface {
	Verify(ctx context.Context) error
}

// look notes what is wrong with the streams. That the log cannot be reached
// is for others to say.
func (w *streamWatch) look(ctx context.Context) {
	var found []error
	for _, p := range w.parts {
		found = append(found, p.Verify(ctx))
	}
	err := errors.Join(found...)
	if errors.Is(err, eventstore.ErrUnavailable) || ctx.Err() != nil {
		return
	}
	if err != nil {
		w.logger.ErrorContext(ctx, "a stream is not as it must be", slog.Any("error", err))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = err
}
