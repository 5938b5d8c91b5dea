package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chancery-dev/chancery/domain"
)

// broker is the little that appending needs of a message store.
type broker interface {
	// send stores the messages, all or none, if its expectation holds, and
	// gives the position of the last one. Nil means stored. ErrConflict,
	// ErrUnavailable and ErrRefused: not stored; any other error says nothing
	// about it. attempt counts from 1.
	send(ctx context.Context, w write, attempt int) (uint64, error)
	// durable returns nil once everything up to a position that was stored is
	// durable.
	durable(ctx context.Context, position uint64) error
	// next gives the first message of a subject after a position, as the
	// store's leader sees it; ok is false when there is none.
	next(ctx context.Context, subject string, after uint64) (m stored, ok bool, err error)
}

// write is what is sent at once: messages of one subject.
type write struct {
	messages []message
	// after is the expected position of the subject's last message.
	after uint64
	// certain says that it is there: the first attempt need not expect it.
	certain bool
	// first expects instead that the whole store is empty, and makes the
	// messages one atomic batch.
	first bool
}

// rivals is the subject on which another message can come first.
func (w write) rivals() string {
	if w.first {
		return allEvents
	}
	return w.messages[0].subject
}

// timing bounds how long an append may take.
type timing struct {
	ack    time.Duration // wait for one acknowledgement
	settle time.Duration // for finding out what became of a lost one
	pause  time.Duration // before the second attempt; doubles up to maxPause
}

const maxPause = time.Second

// defaultTiming answers, at the worst, after 13 seconds.
func defaultTiming() timing {
	return timing{ack: 3 * time.Second, settle: 10 * time.Second, pause: 20 * time.Millisecond}
}

// appender appends and settles; all that logs have in common.
type appender struct {
	broker
	timing
}

// append says with found what store says.
func (a appender) append(ctx context.Context, stream domain.Stream, after uint64, p domain.Proposed, certain bool) (r domain.Recorded, found bool, err error) {
	m, err := encode(stream, p)
	if err != nil {
		return domain.Recorded{}, false, err
	}
	position, found, err := a.store(ctx, write{messages: []message{m}, after: after, certain: certain})
	if err != nil {
		return domain.Recorded{}, false, err
	}
	m.event.Position = position
	return m.event, found, nil
}

func (a appender) bootstrap(ctx context.Context, stream domain.Stream, ps []domain.Proposed) ([]domain.Recorded, error) {
	if len(ps) == 0 {
		return nil, refusedf("there is none")
	}
	ms := make([]message, len(ps))
	for i, p := range ps {
		var err error
		if ms[i], err = encode(stream, p); err != nil {
			return nil, err
		}
	}
	last, _, err := a.store(ctx, write{messages: ms, first: true})
	if err != nil {
		return nil, err
	}
	rs := make([]domain.Recorded, len(ms))
	for i := range ms {
		rs[i] = ms[i].event
		rs[i].Position = last - uint64(len(ms)-1-i) //nolint:gosec // not negative.
	}
	return rs, nil
}

// store sends until the outcome is certain and, on nil, durable. One that is
// stored and cannot be made durable is uncertain: a power loss may take it.
// ErrConflict waits for the message that came first to be durable: whoever
// lost to it looks for it in the log, which shows nothing before.
// found says that the messages were found where they lie, and not that a copy
// was taken: others may lie behind them already.
func (a appender) store(ctx context.Context, w write) (position uint64, found bool, err error) {
	position, found, err = a.certain(ctx, w)
	lost := errors.Is(err, ErrConflict) && position > 0
	if err != nil && !lost {
		return 0, false, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.ack)
	defer cancel()
	switch failed := a.durable(ctx, position); {
	case lost && failed != nil:
		return 0, false, fmt.Errorf("%w: another message came first and is not durable: %w", ErrUnavailable, failed)
	case lost:
		return 0, false, err
	case failed != nil:
		return 0, false, fmt.Errorf("%w: %w", ErrUncertain, failed)
	}
	return position, found, nil
}

// certain sends until the outcome is. Beside ErrConflict the position is the
// one of the message that came first, 0 where there is none: the store ends
// before the expected position. Only the end of ctx before the
// first attempt stops it; a caller who goes away later must not leave an
// unknown outcome behind.
//
// Resending with the same expectation is what settles a lost acknowledgement:
// at most one copy can ever be stored, and the store answers in order, so its
// answer to a copy says that nothing sent before is still on its way. (Reading
// alone says neither that a message will not come yet nor that one which is
// there is durable.) The answer to a copy is then one of three:
//
//   - stored: this copy is the event, the one before never arrived;
//   - conflict, and our event lies after the expected position: it is stored,
//     whether or not a rival appended after it;
//   - conflict, and only others' events lie there: ours will never be stored.
//
// A crash in here is the caller's crash: nobody was answered.
func (a appender) certain(ctx context.Context, w write) (position uint64, found bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	ctx = context.WithoutCancel(ctx)
	position, err = a.attempt(ctx, w, 1)
	switch {
	case err == nil:
		return position, false, nil
	case errors.Is(err, ErrConflict):
		// Ours may be there already, from an earlier call.
		position, found, err := a.find(ctx, w)
		switch {
		case err != nil:
			return 0, false, fmt.Errorf("%w: %w", ErrUncertain, err)
		case !found:
			return position, false, ErrConflict
		}
		return position, true, nil
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrUncertain), errors.Is(err, ErrRefused):
		return 0, false, err
	}
	return a.settle(ctx, w, err)
}

func (a appender) settle(ctx context.Context, w write, cause error) (position uint64, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.timing.settle)
	defer cancel()
	pause := a.pause
	for attempt := 2; ; attempt++ {
		position, err := a.attempt(ctx, w, attempt)
		if err == nil {
			return position, false, nil
		}
		if errors.Is(err, ErrConflict) {
			position, found, err := a.find(ctx, w)
			switch {
			case err == nil && found:
				return position, true, nil
			case err == nil && position > 0:
				return position, false, ErrConflict
			}
			// A replicated store refuses also while a copy is under way.
		}
		if !sleep(ctx, pause) {
			return 0, false, fmt.Errorf("%w: %w", ErrUncertain, cause)
		}
		pause = min(2*pause, maxPause)
	}
}

func (a appender) attempt(ctx context.Context, w write, attempt int) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, a.ack)
	defer cancel()
	return a.send(ctx, w, attempt)
}

// find looks for the messages behind the expected position, and gives the
// position of the last one. Where they are not there it gives the one of a
// rival's message, 0 where there is none either.
//
// It need not read further than the first message there: the store accepted
// ours only while the subject ended at the expected position, so whatever
// rivals appended lies behind ours. (The last message would prove nothing.)
func (a appender) find(ctx context.Context, w write) (position uint64, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.ack)
	defer cancel()
	m, ok, err := a.next(ctx, w.rivals(), w.after)
	if err != nil || !ok {
		return 0, false, err
	}
	if m.holds(w.messages[0]) {
		// A batch is stored whole and without gaps.
		return m.position + uint64(len(w.messages)) - 1, true, nil
	}
	return m.position, false, nil
}

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
