package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// wanted lists the consumers that must have a durable, each with the furthest
// acknowledged position that the stream or the node's file knows. Both are
// true: a consumer acknowledged up to there at some time.
func (f *Follower) wanted(there []Status) ([]Place, error) {
	kept, err := ReadPlaces(f.cfg.Path)
	if err != nil {
		return nil, err
	}
	var wanted []Place
	switch {
	case f.cfg.Embedded:
		for _, c := range f.cfg.Consumers {
			wanted = append(wanted, Place{Consumer: c})
		}
	case there != nil:
		for _, s := range there {
			wanted = append(wanted, Place{Consumer: s.Consumer})
		}
	default:
		wanted = slices.Clone(kept)
	}
	known := slices.Clone(kept)
	for _, s := range there {
		known = append(known, Place{Consumer: s.Consumer, Acknowledged: s.Acknowledged})
	}
	for i := range wanted {
		for _, k := range known {
			// Another user of the name is another consumer.
			if k.Name == wanted[i].Name && k.User == wanted[i].User {
				wanted[i].Acknowledged = max(wanted[i].Acknowledged, k.Acknowledged)
			}
		}
	}
	return wanted, nil
}

// restore adds what the stream lacks.
func (f *Follower) restore(ctx context.Context, head uint64) error {
	f.places.Lock()
	defer f.places.Unlock()
	wanted, err := f.wanted(nil)
	if err != nil {
		return err
	}
	return f.restorePlaces(ctx, wanted, head)
}

// restorePlaces adds the durables that are missing. Nobody goes on behind the
// end of the log.
func (f *Follower) restorePlaces(ctx context.Context, wanted []Place, head uint64) error {
	for _, p := range wanted {
		if p.Acknowledged > head {
			f.cfg.Logger.WarnContext(ctx, "a consumer has acknowledged events that the log does not have",
				slog.String("consumer", p.Name), slog.Uint64("acknowledged", p.Acknowledged), slog.Uint64("head", head))
			p.Acknowledged = head
		}
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
	now, err := f.wanted(there)
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
