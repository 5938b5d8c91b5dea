package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/proof"
)

// provedStreams are the streams of the logs and of what proves them, with the
// names of the logs.
func provedStreams() map[string]string {
	return map[string]string{
		eventstore.EventsStream: proof.LogEvents, eventstore.AccessStream: proof.LogAccess, eventstore.ProofStream: "proof",
	}
}

// checkStates finds what a stream itself says that is missing from it.
func (l *logsToVerify) checkStates(ctx context.Context) (found error) {
	for stream, log := range provedStreams() {
		s, err := l.js.Stream(ctx, stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			found = errors.Join(found, &proof.Fault{Log: log, Position: 1, Through: 1, Reason: "there is no stream " + stream})
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, stream, err)
		}
		info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
		if err != nil {
			return fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, stream, err)
		}
		if fault := missingFrom(log, info); fault != nil {
			found = errors.Join(found, fault)
		}
	}
	return found
}

// missingFrom names the first position that is gone. The oldest messages of
// the access log may be: whether they were signed is seen later.
func missingFrom(log string, info *jetstream.StreamInfo) *proof.Fault {
	state := info.State
	first := uint64(0)
	reason := ""
	missing := func(position uint64, why string) {
		if position > 0 && (first == 0 || position < first) {
			first, reason = position, why
		}
	}
	if state.LastSeq > 0 && state.FirstSeq > 1 && log != proof.LogAccess {
		missing(1, fmt.Sprintf("the leaf is missing: the stream begins at position %d", state.FirstSeq))
	}
	for _, position := range state.Deleted {
		missing(position, "the leaf is missing: it was deleted")
	}
	if lost := state.Lost; lost != nil {
		at := state.LastSeq + 1
		if len(lost.Msgs) > 0 {
			at = lost.Msgs[0]
		}
		missing(at, fmt.Sprintf("the leaf is missing: the log's server could not read it, and lost %d bytes", lost.Bytes))
	}
	if first == 0 {
		return nil
	}
	return &proof.Fault{Log: log, Position: first, Through: first, Reason: reason}
}

// accessAge gives how long the access log keeps messages, so that opening it
// does not change that.
func accessAge(ctx context.Context, js jetstream.JetStream) (time.Duration, error) {
	s, err := js.Stream(ctx, eventstore.AccessStream)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	return s.CachedInfo().Config.MaxAge, nil
}
