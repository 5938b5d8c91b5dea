package httpapi

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/chancery-dev/chancery/domain"
)

// EventLog is the log as the event feed reads it. The feed relies on it that only
// what is durable can be seen.
type EventLog interface {
	// Read yields every event after a position, to the head as of the call.
	Read(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Follow yields them too, and then those to come.
	Follow(ctx context.Context, after uint64) iter.Seq2[domain.Recorded, error]
	// Status tells the head.
	Status(ctx context.Context) (domain.LogStatus, error)
}

const (
	// feedEvents and feedBytes bound what a feed keeps in memory.
	feedEvents, feedBytes = 1024, 2 << 20
	// feedWaiting bounds the events that wait together until this node has
	// applied them.
	feedWaiting = 4096
	// feedView is how many events a stream is given at once.
	feedView = 64
)

// Feed reads the log once for all event streams and keeps the newest events
// in memory. A stream that is further behind reads the log itself. It holds
// nothing for a stream: a slow reader costs no memory.
//
// An event is shown once this node has applied it.
type Feed struct {
	log EventLog

	mu      sync.Mutex
	running bool
	last    uint64 // everything up to here may be shown
	ring    []domain.Recorded
	bytes   int
	changed chan struct{} // closed and replaced by whatever changes the above
}

// NewFeed makes a feed of a log. Nothing is shown before Run.
func NewFeed(log EventLog) *Feed {
	return &Feed{log: log, changed: make(chan struct{})}
}

// Run follows the log until ctx ends, which is no error, or one of log and
// state fails. Then every stream ends.
func (f *Feed) Run(ctx context.Context, state State) error {
	ctx, cancel := context.WithCancel(ctx)
	defer f.end()
	err := f.follow(ctx, state, cancel)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

func (f *Feed) follow(ctx context.Context, state State, cancel context.CancelFunc) error {
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	status, err := f.log.Status(ctx)
	if err != nil {
		return err
	}
	waiting := make(chan domain.Recorded, feedWaiting)
	var failed error // read once waiting is closed
	reading.Go(func() {
		defer close(waiting)
		for r, err := range f.log.Follow(ctx, status.Head) {
			if err != nil {
				failed = err
				return
			}
			select {
			case waiting <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	if err := state.WaitFor(ctx, status.Head); err != nil {
		return err
	}
	f.publish(status.Head, nil)
	for r := range waiting {
		batch := []domain.Recorded{r}
		for len(waiting) > 0 { // this loop alone takes from it
			batch = append(batch, <-waiting)
		}
		last := batch[len(batch)-1].Position
		if err := state.WaitFor(ctx, last); err != nil {
			return err
		}
		f.publish(last, batch)
	}
	return failed
}

func (f *Feed) publish(last uint64, batch []domain.Recorded) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running, f.last = true, last
	for _, r := range batch {
		f.ring, f.bytes = append(f.ring, r), f.bytes+len(r.Raw)
	}
	for len(f.ring) > feedEvents || f.bytes > feedBytes {
		f.bytes -= len(f.ring[0].Raw)
		f.ring[0] = domain.Recorded{} // the array may live on for a while
		f.ring = f.ring[1:]
	}
	f.tell()
}

func (f *Feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
	f.tell()
}

// tell wakes every stream.
func (f *Feed) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// feedState is the feed as one stream finds it.
type feedState struct {
	running bool
	last    uint64
	// events are those behind the stream's place, at most feedView; none
	// when there are none, or when the log must be read.
	events  []domain.Recorded
	behind  bool
	changed <-chan struct{}
}

// after gives what follows a position.
func (f *Feed) after(position uint64) feedState {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := feedState{running: f.running, last: f.last, changed: f.changed}
	if position >= f.last {
		return v
	}
	first := f.last - uint64(len(f.ring)) // the ring has no gaps
	if position < first {
		v.behind = true
		return v
	}
	rest := f.ring[position-first:]
	v.events = append(v.events, rest[:min(len(rest), feedView)]...)
	return v
}
