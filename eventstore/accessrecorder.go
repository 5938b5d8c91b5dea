package eventstore

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

const (
	// accessQueue is how many records may wait for a message; who comes later
	// waits for room.
	accessQueue = 4096
	// accessWindow is the default of [AccessRecorderConfig.Window].
	accessWindow = time.Minute
)

// errRecorderEnded says why nothing is recorded any more.
var errRecorderEnded = fmt.Errorf("%w: access is not recorded any more", ErrUnavailable)

// AccessAppender is where records go: an [AccessReadWriter], or a journal in
// front of it.
type AccessAppender interface {
	// Append is that of [AccessReadWriter]. Behind a journal the position is not
	// known yet, and 0.
	Append(ctx context.Context, data []byte, records []domain.Access) (position uint64, err error)
}

// AccessObserver is told what an [AccessRecorder] does. Its methods are called
// by many goroutines and must be quick.
type AccessObserver interface {
	// AccessAppended is called once a message: how many records and bytes it
	// has, how long it took, and its error.
	AccessAppended(records, bytes int, took time.Duration, err error)
	// AccessSummarised is called for each access that is only counted.
	AccessSummarised()
}

// AccessRecorderConfig configures an [AccessRecorder].
type AccessRecorderConfig struct {
	Now      func() time.Time // required
	Window   time.Duration    // how long accesses of a kind are counted together; default: a minute
	Observer AccessObserver   // optional
	Logger   *slog.Logger     // told of summaries that could not be stored; default: silent
}

// AccessRecorder makes access records durable. Records that wait at the same
// moment go into one message, so one fsync is for all of them. There is no
// lingering: a lone record is sent at once. Safe for concurrent use.
type AccessRecorder struct {
	log      AccessAppender
	now      func() time.Time
	observer AccessObserver
	logger   *slog.Logger
	floods   *floods

	queue   chan *waiter
	ended   chan struct{} // closed when Run is over
	waiters sync.Pool     // of *waiter
}

// waiter is one record that waits to be durable.
type waiter struct {
	accessLine
	// state is decided once: by the goroutine that packs the line, or by the
	// caller who leaves before.
	state atomic.Int32
	done  chan error // has room for the answer
}

const (
	waiterWaits int32 = iota
	waiterPacked
	waiterLeft
)

// NewAccessRecorder gives a recorder that records while Run runs.
func NewAccessRecorder(log AccessAppender, c AccessRecorderConfig) *AccessRecorder {
	if c.Window <= 0 {
		c.Window = accessWindow
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	r := &AccessRecorder{
		log: log, now: c.Now, observer: c.Observer, logger: c.Logger, floods: newFloods(c.Window),
		queue: make(chan *waiter, accessQueue), ended: make(chan struct{}),
	}
	r.waiters.New = func() any { return &waiter{done: make(chan error, 1)} }
	return r
}

// Record stores one access; the recorder's clock gives its time where it has
// none. Nil means durable, or that it is one of a flood of refusals and was
// counted for the summary that follows. What was allowed is never only
// counted.
//
// After any error nothing may be released: the record is not there, or nobody
// knows. ErrUnavailable and ErrUncertain are those of [AccessReadWriter]; when
// ctx ends first, its error. Before Run began, Record waits for it.
func (r *AccessRecorder) Record(ctx context.Context, a domain.Access) error {
	select {
	case <-r.ended:
		return errRecorderEnded
	default:
	}
	if a.Time.IsZero() {
		a.Time = r.now()
	}
	if a.Outcome != domain.OutcomeAllowed && r.floods.count(a, r.now()) {
		if r.observer != nil {
			r.observer.AccessSummarised()
		}
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w, ok := r.waiters.Get().(*waiter)
	if !ok {
		return errRecorderEnded
	}
	w.state.Store(waiterWaits)
	w.write(a)
	select {
	case r.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ended:
		return errRecorderEnded
	}
	select {
	case err := <-w.done:
		r.waiters.Put(w)
		return err
	case <-ctx.Done():
		// Left before it was packed it is not stored; the other way round it
		// may be. It is not used again: the packing goroutine may hold it.
		w.state.CompareAndSwap(waiterWaits, waiterLeft)
		return ctx.Err()
	case <-r.ended:
		select {
		case err := <-w.done:
			return err
		default:
			return errRecorderEnded
		}
	}
}

// Run packs and stores what is recorded, and the summaries when their time has
// come, until ctx ends; then it stores what waits and every open summary, and
// returns nil if that succeeded. Later records are refused. It is called once.
//
// A crash loses the counts of the open summaries, of refusals alone: their
// first accesses are full records, and nothing was released.
func (r *AccessRecorder) Run(ctx context.Context) error {
	defer close(r.ended)
	var packing sync.WaitGroup
	packing.Go(func() { r.pack(ctx) })
	tick := time.NewTicker(r.floods.window/60 + time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			if err := r.summarise(ctx, false); err != nil {
				r.logger.LogAttrs(ctx, slog.LevelWarn, "summaries of refused accesses are stored later",
					slog.String("cause", err.Error()))
			}
		}
	}
	packing.Wait()
	return r.summarise(context.WithoutCancel(ctx), true)
}

// pack packs what waits into messages until ctx ends and nothing waits any
// more. One message is under way at a time, and what comes meanwhile makes the
// next one: with two at once a message is smaller, so there are more of them
// and all are slower (measured, also where they share a sync).
func (r *AccessRecorder) pack(ctx context.Context) {
	m := packed{data: make([]byte, 0, MaxAccessMessage)}
	for {
		if m.next == nil {
			select {
			case m.next = <-r.queue:
			case <-ctx.Done():
				select {
				case m.next = <-r.queue:
				default:
					return
				}
			}
		}
		// Callers that are about to record run first: they share this message
		// instead of waiting for it and the next.
		runtime.Gosched()
		m.fill(r.queue)
		if len(m.waiters) == 0 {
			continue // all have left
		}
		err := r.append(context.WithoutCancel(ctx), m.data, m.records(), len(m.waiters))
		for _, w := range m.waiters {
			w.done <- err
		}
		m.data, m.waiters = m.data[:0], m.waiters[:0]
	}
}

// packed is a message in the making.
type packed struct {
	data    []byte
	waiters []*waiter
	next    *waiter // the first of the next message
}

// fill packs next and what waits behind it, as far as there is room.
func (m *packed) fill(queue <-chan *waiter) {
	for w := m.next; ; {
		if len(m.data)+len(w.line) > MaxAccessMessage {
			m.next = w
			return
		}
		if w.state.CompareAndSwap(waiterWaits, waiterPacked) {
			m.data, m.waiters = append(m.data, w.line...), append(m.waiters, w)
		}
		select {
		case w = <-queue:
		default:
			m.next = nil
			return
		}
	}
}

// records returns what decoding the message gives, or nil where only decoding
// can say.
func (m *packed) records() []domain.Access {
	text, records := string(m.data), make([]domain.Access, 0, len(m.waiters))
	for _, w := range m.waiters {
		a, err := w.record(text[:len(w.line)])
		if err != nil {
			return nil // whoever reads the message finds that out, too
		}
		records, text = append(records, a), text[len(w.line):]
	}
	return records
}

// append stores a message of count records.
func (r *AccessRecorder) append(ctx context.Context, data []byte, records []domain.Access, count int) error {
	begin := r.now()
	_, err := r.log.Append(ctx, data, records)
	if r.observer != nil {
		r.observer.AccessAppended(count, len(data), r.now().Sub(begin), err)
	}
	return err
}

// summarise stores the summaries whose window is over, or all. Those that
// could not be stored are kept. One that may have been stored is kept too, so
// it can be there twice: a count too high is seen, one too low is not.
func (r *AccessRecorder) summarise(ctx context.Context, all bool) error {
	due := r.floods.take(r.now(), all)
	var data []byte
	for begin := 0; begin < len(due); {
		data = data[:0]
		end := begin
		for ; end < len(due); end++ {
			before := len(data)
			if data = appendAccess(data, &due[end].sum); len(data) > MaxAccessMessage {
				data = data[:before]
				break
			}
		}
		if err := r.append(ctx, data, nil, end-begin); err != nil {
			r.floods.giveBack(due[begin:])
			return fmt.Errorf("eventstore: %d summaries: %w", len(due)-begin, err)
		}
		begin = end
	}
	return nil
}
