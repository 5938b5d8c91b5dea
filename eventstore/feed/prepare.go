package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

// maxSkew bounds how far an event's own time lies before the time of an event
// that comes earlier in the log: a node whose clock is further behind the head
// refuses writes.
const maxSkew = 5 * time.Second

// prepare looks at the stream, makes it or makes it anew where that is needed,
// and returns the feed's last position. ok is false where nobody wants a feed.
func (f *Follower) prepare(ctx context.Context) (last uint64, ok bool, err error) {
	info, err := f.info(ctx)
	missing := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !missing {
		return 0, false, err
	}
	if missing {
		wanted, err := f.wanted(nil, true)
		if err != nil || len(wanted) == 0 {
			return 0, false, err
		}
	} else if err := f.verify(info.Config); err != nil {
		return 0, false, err
	}
	status, err := f.cfg.Log.Status(ctx)
	switch {
	case err != nil:
		return 0, false, err
	case missing:
		info, err = f.remake(ctx, nil, status.Head, "there is none")
	case info.State.LastSeq > status.Head:
		return 0, false, fmt.Errorf("%w: the feed has position %d and the log ends at %d. Events that consumers were given are lost: "+
			"restore the log, or remove the stream %s to accept the loss", ErrAhead, info.State.LastSeq, status.Head, Stream)
	case f.cfg.Embedded && len(f.cfg.Consumers) == 0:
		return 0, false, f.Drop(ctx) // the last consumer was removed
	default:
		info, err = f.trust(ctx, info, status.Head)
	}
	if err != nil {
		return 0, false, err
	}
	f.places.Lock()
	f.made = info.Created
	f.places.Unlock()
	return info.State.LastSeq, true, nil
}

// trust returns the stream's state once the stream agrees with the log and has
// all consumers, anew if it must be.
func (f *Follower) trust(ctx context.Context, info *jetstream.StreamInfo, head uint64) (*jetstream.StreamInfo, error) {
	reason, err := f.distrust(ctx, info, head)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return f.remake(ctx, info, head, reason)
	}
	_, making := info.Config.Metadata[makingKey]
	if making || f.cfg.Embedded {
		if err := f.restore(ctx, head); err != nil {
			return nil, err
		}
	}
	if making || info.Config.MaxAge != f.o.Retention {
		return info, f.settle(ctx, info)
	}
	return info, nil
}

// distrust returns why the stream must be made anew, "" if it need not be.
func (f *Follower) distrust(ctx context.Context, info *jetstream.StreamInfo, head uint64) (reason string, err error) {
	state := info.State
	if info.Config.Metadata[epochKey] != f.o.Epoch {
		return "the machine stopped uncleanly", nil
	}
	if _, making := info.Config.Metadata[makingKey]; making && !empty(info) {
		return "it was not empty when it was made", nil
	}
	if state.Lost != nil || state.LastSeq > 0 && state.Msgs != state.LastSeq+1-state.FirstSeq {
		return "it has a gap", nil
	}
	if old, err := f.expired(ctx, state.LastSeq+1, head); err != nil || old {
		return "what it lacks is older than the retention", err
	}
	if state.Msgs == 0 {
		return "", nil
	}
	for _, position := range []uint64{state.FirstSeq, state.LastSeq} {
		same, err := f.same(ctx, position)
		if err != nil || !same {
			return fmt.Sprintf("its position %d is not the log's", position), err
		}
	}
	return "", nil
}

// empty reports whether a stream in making is as it must be: nothing is appended
// to it before its mark is gone. A server that is told to delete a stream while
// it still removes the files of an earlier one of the name (nats-server 2.15)
// acknowledges that and leaves the files, and the next stream begins with the
// messages of the old one.
func empty(info *jetstream.StreamInfo) bool {
	return info.State.Msgs == 0 && info.State.LastSeq+1 == max(1, info.Config.FirstSeq)
}

// same compares one position of the feed with the log.
func (f *Follower) same(ctx context.Context, position uint64) (bool, error) {
	s, err := f.js.Stream(ctx, Stream)
	if err != nil {
		return false, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	m, err := s.GetMsg(ctx, position)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	r, err := f.event(ctx, position)
	return err == nil && equal(m.Subject, m.Data, r), err
}

// event reads one position of the log.
func (f *Follower) event(ctx context.Context, position uint64) (domain.Recorded, error) {
	for r, err := range f.cfg.Log.Read(ctx, position-1) {
		return r, err
	}
	return domain.Recorded{}, fmt.Errorf("%w: the log has no position %d", ErrAhead, position)
}

// expired reports whether the event at a position is older than the retention.
func (f *Follower) expired(ctx context.Context, position, head uint64) (bool, error) {
	if f.o.Retention == 0 || position > head {
		return false, nil
	}
	for r, err := range f.cfg.Log.Read(ctx, position-1) {
		if err != nil {
			return false, err
		}
		if r.Event != nil { // a foreign message has no time: the next event's
			return r.Time.Before(f.cfg.Now().Add(-f.o.Retention - maxSkew)), nil
		}
	}
	return false, nil
}

// first returns the first position inside the retention, by event time. Events
// of the log have nearly ascending times; the search allows for maxSkew, so it
// leaves out no event inside, and may take in a few from just outside.
func (f *Follower) first(ctx context.Context, head uint64) (uint64, error) {
	low, high := uint64(1), head+1
	if f.o.Retention == 0 {
		return low, nil
	}
	for low < high {
		middle := low + (high-low)/2
		old, err := f.expired(ctx, middle, head)
		if err != nil {
			return 0, err
		}
		if old {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// The steps of remake, after each of which a test can stop.
const (
	stepKept = iota + 1
	stepDropped
	stepMade
	stepRestored
)

// remake replaces the stream: an empty one that begins at the first position
// inside the retention, and every consumer at its last known acknowledged
// position. info is nil where there is no stream.
//
// A crash leaves, step by step: (1) nothing new; (2) the positions in the
// node's file, which the next start reads beside the old stream's; (3) no
// stream, and the next start makes it from the file; (4) an empty stream marked
// as making, to which the next start adds the consumers of the file that are
// missing; (5) the same with some of them; (6) a whole one.
func (f *Follower) remake(ctx context.Context, info *jetstream.StreamInfo, head uint64, reason string) (*jetstream.StreamInfo, error) {
	f.places.Lock()
	defer f.places.Unlock()
	first, err := f.first(ctx, head) // (1)
	if err != nil {
		return nil, err
	}
	var there []Status
	making := info == nil
	if info != nil {
		_, making = info.Config.Metadata[makingKey]
		if there, err = f.listOf(ctx, info.Created); err != nil {
			return nil, err
		}
	}
	wanted, err := f.place(ctx, there, making, head)
	if err := errors.Join(err, f.reached(stepKept)); err != nil { // (2)
		return nil, err
	}
	f.cfg.Logger.InfoContext(ctx, "the feed is made anew", slog.String("reason", reason), slog.Uint64("first", first), slog.Int("consumers", len(wanted)))
	if info != nil {
		if err := f.Drop(ctx); err != nil { // (3)
			return nil, err
		}
	}
	if err := f.reached(stepDropped); err != nil {
		return nil, err
	}
	made, err := f.create(ctx, f.config(first, true)) // (4)
	if err := errors.Join(err, f.reached(stepMade)); err != nil {
		return nil, err
	}
	if !empty(made) { // the next round begins again
		return nil, fmt.Errorf("%w: the server did not delete the stream %s", eventstore.ErrUnavailable, Stream)
	}
	if err := errors.Join(f.restorePlaces(ctx, wanted), f.reached(stepRestored)); err != nil { // (5)
		return nil, err
	}
	return made, f.settle(ctx, made) // (6)
}

func (f *Follower) reached(step int) error {
	if f.atStep == nil {
		return nil
	}
	return f.atStep(step)
}

// settle takes the mark of a stream in making away, and sets the retention.
func (f *Follower) settle(ctx context.Context, made *jetstream.StreamInfo) error {
	now, err := f.info(ctx)
	if err != nil {
		return err
	}
	if !now.Created.Equal(made.Created) {
		return errReplaced // its consumers are not there yet
	}
	first := made.Config.FirstSeq
	if _, err := f.js.UpdateStream(ctx, f.config(first, false)); err != nil {
		return fmt.Errorf("%w: stream %s: %w", eventstore.ErrUnavailable, Stream, err)
	}
	return nil
}
