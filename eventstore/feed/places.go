package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// wanted lists the consumers that must have a durable, each with its
// acknowledged position.
//
// With the embedded server that is the furthest that the stream or the node's
// file knows: both are true, and this node alone writes the file. On another
// server the file may be old, so what the stream says counts. The file adds the
// consumers that the stream does not have while making says that some may be
// missing there.
func (f *Follower) wanted(there []Status, making bool) (wanted []Place, err error) {
	kept, err := ReadPlaces(f.cfg.Path)
	if err != nil {
		return nil, err
	}
	known := make([]Place, 0, len(there)+len(kept))
	for _, s := range there {
		known = append(known, Place{Consumer: s.Consumer, Acknowledged: s.Acknowledged})
	}
	if !f.cfg.Embedded {
		for _, k := range kept {
			if making && !slices.ContainsFunc(known, func(p Place) bool { return p.Name == k.Name }) {
				known = append(known, k)
			}
		}
		return known, nil
	}
	known = append(known, kept...)
	for _, c := range f.cfg.Consumers {
		p := Place{Consumer: c}
		for _, k := range known {
			if k.Name == c.Name && k.User == c.User { // another user of the name is another consumer
				p.Acknowledged = max(p.Acknowledged, k.Acknowledged)
			}
		}
		wanted = append(wanted, p)
	}
	return wanted, nil
}

// place returns what wanted does, nobody beyond the end of the log, and keeps
// it in the node's file: a place that the log has lost would take the consumer
// past new events later. The caller holds places.
//
// A crash leaves the old file or the new one, and the next start does it again.
func (f *Follower) place(ctx context.Context, there []Status, making bool, head uint64) ([]Place, error) {
	wanted, err := f.wanted(there, making)
	if err != nil {
		return nil, err
	}
	for i, p := range wanted {
		if p.Acknowledged > head {
			f.cfg.Logger.WarnContext(ctx, "a consumer has acknowledged events that the log does not have",
				slog.String("consumer", p.Name), slog.Uint64("acknowledged", p.Acknowledged), slog.Uint64("head", head))
			wanted[i].Acknowledged = head
		}
	}
	return wanted, writeFile(f.cfg.Path, wanted)
}

// restore adds what the stream lacks.
func (f *Follower) restore(ctx context.Context, head uint64) error {
	f.places.Lock()
	defer f.places.Unlock()
	wanted, err := f.place(ctx, nil, true, head)
	if err != nil {
		return err
	}
	return f.restorePlaces(ctx, wanted)
}

// restorePlaces adds the durables that are missing.
func (f *Follower) restorePlaces(ctx context.Context, wanted []Place) error {
	for _, p := range wanted {
		if err := f.addAt(ctx, p.Consumer, p.Acknowledged); err != nil {
			return err
		}
	}
	return nil
}

// copyPlaces copies the acknowledged positions every few seconds.
func (f *Follower) copyPlaces(ctx context.Context) {
	ticker := time.NewTicker(copyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := f.copyOnce(ctx); err != nil && ctx.Err() == nil {
				f.cfg.Logger.WarnContext(ctx, "the consumers' positions were not copied", slog.Any("error", err))
			}
		}
	}
}

// copyOnce copies the acknowledged positions into the node's file, durably. A
// crash before loses a few seconds of them: those events come again.
func (f *Follower) copyOnce(ctx context.Context) error {
	f.places.Lock()
	defer f.places.Unlock()
	if !f.ready.Load() {
		return nil
	}
	there, err := f.listOf(ctx, f.made)
	if errors.Is(err, errReplaced) {
		return nil // its consumers may not be there yet
	}
	if err != nil {
		return err
	}
	kept, err := ReadPlaces(f.cfg.Path)
	if err != nil {
		return err
	}
	now, err := f.wanted(there, false)
	if err != nil || slices.EqualFunc(kept, now, samePlace) {
		return err
	}
	return writeFile(f.cfg.Path, now)
}

// listOf lists the consumers of the stream that was made at a time. Another
// node may make the stream anew: in between it has no consumers, and that they
// are missing there says nothing. errReplaced.
func (f *Follower) listOf(ctx context.Context, made time.Time) ([]Status, error) {
	all, err := f.List(ctx)
	if err != nil {
		return nil, err
	}
	info, err := f.info(ctx)
	if err != nil {
		return nil, err
	}
	if !info.Created.Equal(made) {
		return nil, errReplaced
	}
	return all, nil
}

// replaced reports whether the stream is another one than was found sound.
func (f *Follower) replaced(info *jetstream.StreamInfo) bool {
	f.places.Lock()
	defer f.places.Unlock()
	return !info.Created.Equal(f.made)
}

func samePlace(a, b Place) bool {
	return a.Acknowledged == b.Acknowledged && sameConsumer(a.Consumer, b.Consumer)
}
