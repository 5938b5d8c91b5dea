package accessjournal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
)

const (
	// mergeSize is how many bytes are forwarded at once, and linger how long
	// fewer wait for more. Nobody waits for the access log but who asks it, and
	// those do not linger: see Flush.
	mergeSize = 48 << 10
	linger    = 10 * time.Millisecond
	// firstPause and lastPause are between two tries.
	firstPause, lastPause = 10 * time.Millisecond, time.Second
)

// Run forwards what is appended to the access log, until ctx ends; then it
// forwards what still waits and returns nil. It gives up at the first error after
// the end of ctx: the records are durable, and the next start forwards them. Nobody
// may append after the end of ctx. It is called at most once.
func (j *Journal) Run(ctx context.Context) error {
	pause := firstPause
	for j.gather(ctx) {
		err := j.forward(context.WithoutCancel(ctx))
		if err == nil {
			pause = firstPause
			continue
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the next start stores the %d bytes of records that wait in the access journal: %w", j.Backlog(), err)
		}
		if pause == firstPause {
			j.logger.LogAttrs(ctx, slog.LevelWarn, "access records wait in the journal", slog.String("cause", err.Error()))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

// gather waits until something is worth a message. False: ctx has ended and
// nothing waits.
func (j *Journal) gather(ctx context.Context) bool {
	var late <-chan time.Time
	for {
		j.mu.Lock()
		some := len(j.waiting) > 0
		now := some && (j.bytes >= mergeSize || j.waiting[0].number <= j.wanted)
		j.mu.Unlock()
		switch {
		case now, ctx.Err() != nil:
			return some
		case some && late == nil:
			late = time.After(linger)
		}
		select {
		case <-j.wake:
		case <-late:
			return true
		case <-ctx.Done():
		}
	}
}

// forward appends the oldest entries that wait, of which there are some, to the
// access log, as many as one
// message takes.
//
// A crash, or an error, leaves the message in the log or not. After an error the
// same message is tried again, and stored once; the next start finds out by
// comparing.
func (j *Journal) forward(ctx context.Context) error {
	j.mu.Lock()
	if j.sending == 0 {
		for size := 0; j.sending < len(j.waiting); j.sending++ {
			if size += len(j.waiting[j.sending].data()); size > eventstore.MaxAccessMessage {
				break
			}
		}
	}
	batch, position := slices.Clone(j.waiting[:j.sending]), j.position
	j.mu.Unlock()

	count, known := 0, true // known: what the log would read from the message
	for _, e := range batch {
		count, known = count+len(e.records), known && e.records != nil
	}
	j.merged = j.merged[:0]
	records := make([]domain.Access, 0, count)
	for _, e := range batch {
		j.merged, records = append(j.merged, e.data()...), append(records, e.records...)
	}
	if !known {
		records = nil
	}
	err := j.log.AppendAfter(ctx, position, j.merged, records)

	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refused = err; err != nil {
		return err
	}
	j.waiting = slices.Delete(j.waiting, 0, j.sending)
	j.bytes, j.position, j.sending = j.bytes-len(j.merged), position+1, 0
	close(j.changed)
	j.changed = make(chan struct{})
	return nil
}
