package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/eventstore"
)

const (
	// pollInterval is how often a node looks whether somebody wants a feed, and
	// whether a fault is gone. A node that another one was faster than looks as
	// often whether that one goes on.
	pollInterval = time.Second
	// copyInterval is how often the acknowledged positions are copied into the
	// node's file.
	copyInterval = 5 * time.Second
	// inFlight bounds the appends whose acknowledgements are awaited.
	inFlight       = 256
	publishTimeout = 10 * time.Second
)

// ErrAhead says that the feed has positions that the log does not have: the log
// has lost events that consumers were given.
var ErrAhead = errors.New("feed: the feed is ahead of the log")

// errRival says that another node appended first.
var errRival = errors.New("feed: another node appended first")

// errReplaced says that another node made the stream anew.
var errReplaced = fmt.Errorf("%w: the stream %s was made anew meanwhile", eventstore.ErrUnavailable, Stream)

// Config is what a [Follower] needs. All members are required.
type Config struct {
	Feed *Feed
	Log  Log
	// Path is the file that keeps the acknowledged positions.
	Path string
	// Embedded says that Consumers alone decides who has a durable. Else the
	// stream does, and Path where there is no stream.
	Embedded  bool
	Consumers []Consumer
	Now       func() time.Time
	Logger    *slog.Logger
}

// Follower keeps the feed: it makes the stream when somebody wants one, appends
// every event to it, makes it anew when it cannot be trusted, and keeps the
// consumers' acknowledged positions. Safe for concurrent use.
type Follower struct {
	*Feed
	cfg Config
	// ready is true while the stream has all its consumers.
	ready    atomic.Bool
	position atomic.Uint64
	// places guards the file and made, and is held while the stream is made
	// anew.
	places sync.Mutex
	// made is when the stream was made that was last found sound.
	made time.Time
	// atStep, if set, is called after each step of remake; tests stop there.
	atStep func(step int) error

	mu      sync.Mutex
	problem error
}

// NewFollower returns a follower that does not run yet.
func NewFollower(cfg Config) *Follower { return &Follower{Feed: cfg.Feed, cfg: cfg} }

// Problem is why the feed does not follow the log, nil while it does or nobody
// wants one.
func (f *Follower) Problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem
}

// Position is that of the feed's newest event as last heard. ok is false where
// there is no feed.
func (f *Follower) Position() (position uint64, ok bool) { return f.position.Load(), f.ready.Load() }

// Run keeps the feed until ctx ends. What goes wrong shows in Problem and is
// tried again. At the end it copies the acknowledged positions once more.
func (f *Follower) Run(ctx context.Context) {
	var copying sync.WaitGroup
	copying.Go(func() { f.copyPlaces(ctx) })
	for ctx.Err() == nil {
		err := f.round(ctx)
		if ctx.Err() != nil {
			break
		}
		f.note(ctx, err)
		wait(ctx, pollInterval)
	}
	copying.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
	defer cancel()
	if err := f.copyOnce(last); err != nil {
		f.note(last, err)
	}
}

// round follows the log until something is wrong. Nil: nobody wants a feed, or
// the other node that appends has stopped.
func (f *Follower) round(ctx context.Context) error {
	last, ok, err := f.prepare(ctx)
	f.ready.Store(ok && err == nil)
	if err != nil || !ok {
		return err
	}
	f.position.Store(last)
	f.note(ctx, nil)
	if err := f.append(ctx, last); !errors.Is(err, errRival) {
		return err
	}
	return f.standBy(ctx)
}

// note keeps the problem, and logs it when it is new.
func (f *Follower) note(ctx context.Context, err error) {
	f.mu.Lock()
	before := f.problem
	f.problem = err
	f.mu.Unlock()
	switch {
	case err == nil && before != nil:
		f.cfg.Logger.InfoContext(ctx, "the feed follows the log again")
	case err != nil && (before == nil || before.Error() != err.Error()):
		f.cfg.Logger.WarnContext(ctx, "the feed does not follow the log", slog.Any("error", err))
	}
}

// append appends what lies behind last and what comes, until something is
// wrong. An append that fails makes all later ones in flight fail too, since
// each expects the one before it: nothing is stored out of its place. The next
// round looks how far the feed is, and goes on behind that.
func (f *Follower) append(ctx context.Context, last uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pending := make(chan jetstream.PubAckFuture, inFlight)
	var reaping sync.WaitGroup
	reaping.Go(func() {
		for future := range pending {
			if err := f.acknowledged(ctx, future); err != nil {
				cancel(err)
			}
		}
	})
	err := f.publish(ctx, last, pending)
	close(pending)
	reaping.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// acknowledged waits until the server has stored an event.
func (f *Follower) acknowledged(ctx context.Context, future jetstream.PubAckFuture) error {
	select {
	case ack := <-future.Ok():
		f.position.Store(ack.Sequence)
		return nil
	case err := <-future.Err():
		if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return errRival
		}
		return fmt.Errorf("%w: appending to %s: %w", eventstore.ErrUnavailable, Stream, err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// publish sends events and hands over what acknowledges them, in order.
func (f *Follower) publish(ctx context.Context, last uint64, pending chan<- jetstream.PubAckFuture) error {
	for r, err := range f.cfg.Log.Follow(ctx, last) {
		if err != nil {
			return err
		}
		future, err := f.js.PublishMsgAsync(message(r), jetstream.WithExpectLastSequence(r.Position-1))
		if err != nil {
			return fmt.Errorf("%w: appending to %s: %w", eventstore.ErrUnavailable, Stream, err)
		}
		select {
		case pending <- future:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// standBy waits while another node appends. Nil: that node has stopped, with
// events left over, or made the stream anew.
func (f *Follower) standBy(ctx context.Context) error {
	for wait(ctx, pollInterval) {
		info, err := f.info(ctx)
		if err != nil {
			return err
		}
		if f.replaced(info) {
			return nil
		}
		status, err := f.cfg.Log.Status(ctx)
		if err != nil {
			return err
		}
		moved := info.State.LastSeq != f.position.Swap(info.State.LastSeq)
		if !moved && info.State.LastSeq != status.Head {
			return nil
		}
	}
	return ctx.Err()
}

// wait reports whether ctx lasted.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
