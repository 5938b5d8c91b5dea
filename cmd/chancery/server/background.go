package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi"
	"github.com/chancery-dev/chancery/proof"
)

// stopWait bounds how long an orderly stop waits for the projections to see
// the end of the logs.
const stopWait = 10 * time.Second

// group is goroutines that end together.
type group struct {
	running sync.WaitGroup
	cancel  context.CancelFunc
}

func newGroup(ctx context.Context) (*group, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	return &group{cancel: cancel}, ctx
}

// end stops them and waits.
func (g *group) end() {
	g.cancel()
	g.running.Wait()
}

// background is what runs beside the API, in the order in which it ends.
type background struct {
	*store
	hooks    *group // send webhooks; nil until startWebhooks
	writers  *group // append events
	records  *group // appends access records
	forwards *group // forwards them to the access log
	readers  *group // follow the logs
}

// startBackground follows the logs, records accesses, signs, keeps the key pool,
// finishes deletes and watches the streams, until stop. A part that gives up
// shows in /readyz.
func (s *store) startBackground(ctx context.Context, feed *httpapi.Feed) *background {
	b := &background{store: s}
	var writing, recording, forwarding, reading context.Context
	b.writers, writing = newGroup(ctx)
	b.records, recording = newGroup(ctx)
	b.forwards, forwarding = newGroup(ctx)
	b.readers, reading = newGroup(ctx)
	b.readers.running.Go(func() { s.logFailure(ctx, "projection", s.state.Run(reading, s.log)) })
	b.readers.running.Go(func() { s.logFailure(ctx, "index of the access log", s.index.Run(reading, s.access)) })
	b.readers.running.Go(func() { s.logFailure(ctx, "event feed", feed.Run(reading, s.state)) })
	b.readers.running.Go(func() { s.follower.Run(reading) })
	b.records.running.Go(func() { s.logFailure(ctx, "access recorder", s.recorder.Run(recording)) })
	if s.journal != nil {
		b.forwards.running.Go(func() { s.logFailure(ctx, "access journal", s.journal.Run(forwarding)) })
	}
	b.writers.running.Go(func() { s.logFailure(ctx, "keyring", s.keyring.Run(writing)) })
	b.writers.running.Go(func() { s.reconciler.Run(writing) })
	b.writers.running.Go(func() { s.streams.run(writing) })
	b.writers.running.Go(func() {
		if s.caughtUp(writing) { // before that there are no trees to sign
			b.writers.running.Go(func() { s.keepFrontiers(writing) })
			s.logFailure(ctx, "signer", s.signer.Run(writing))
		}
	})
	return b
}

// caughtUp waits until both projections have seen what the logs held at the
// start; false when ctx ends first.
func (s *store) caughtUp(ctx context.Context) bool {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for s.state.Serving() != nil || s.index.Serving() != nil {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// stop ends everything when no request is left: first what writes events, then
// what records accesses, its own stop as the last one, what forwards the records
// to the access log, and what follows the logs when it has seen their ends and they are signed. So after an orderly
// stop every position is covered by a checkpoint. A kill at any moment leaves
// the newest positions uncovered until the next start.
func (b *background) stop(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // it has bounds of its own
	if b.hooks != nil {
		b.hooks.end()
	}
	b.writers.end()
	err := b.record(ctx, domain.AccessStop, "")
	b.records.end()
	b.forwards.end()
	err = errors.Join(err, b.signEnds(ctx))
	b.readers.end()
	if err != nil {
		return fmt.Errorf("the end of the logs was not recorded or signed: %w", err)
	}
	return nil
}

func (b *background) signEnds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	events, err := b.log.Status(ctx)
	if err != nil {
		return err
	}
	access, err := b.access.Status(ctx)
	if err != nil {
		return err
	}
	err = errors.Join(
		b.signEnd(ctx, proof.LogEvents, events.Head, b.state.WaitFor),
		b.signEnd(ctx, proof.LogAccess, access.Head, b.index.WaitFor),
	)
	if err != nil || b.cfg.AccessRetention == 0 {
		return err
	}
	return b.keepFrontier(ctx) // all of it may expire before the next start
}

// signEnd signs all of a log, whose writers have ended.
func (b *background) signEnd(ctx context.Context, log string, head uint64, reach func(context.Context, uint64) error) error {
	if err := reach(ctx, head); err != nil {
		return err
	}
	_, err := b.signer.SignNow(ctx, log)
	return err
}
