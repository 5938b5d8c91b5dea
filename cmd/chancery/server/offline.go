package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/accessjournal"
	"github.com/chancery-dev/chancery/eventstore/feed"
	"github.com/chancery-dev/chancery/kms"
	"github.com/chancery-dev/chancery/projections"
	"github.com/chancery-dev/chancery/projections/accesslog"
	"github.com/chancery-dev/chancery/proof"
)

// Show is told how far a long work has come: so many of so many of what.
type Show func(done, total uint64, what string)

// Rebuild throws the projections of both logs away and folds them anew. The
// server must be stopped. It gives the position of the events that the new
// projection has reached, and shows each of its steps: the events, what was
// sorted aside on its way into the file, the access log.
func Rebuild(ctx context.Context, cfg Config, show Show) (position uint64, err error) {
	err = withState(ctx, cfg, func(b *broker, path string) error {
		o := projections.Options{Path: path, Now: time.Now, Logger: cfg.Logger}
		var state *projections.Store
		o.Applied = func(batch []domain.Recorded) {
			head, _ := state.Status()
			show(batch[len(batch)-1].Position, head.Head, "records")
		}
		o.Merged = func(done, total uint64) { show(done>>20, total>>20, "MiB into the file") }
		state, err := projections.Open(o) //nolint:contextcheck // opening a file cannot be cut short.
		if err != nil {
			return err
		}
		err = state.Rebuild(ctx, b.log)
		position = state.Position()
		if err := errors.Join(err, state.Close()); err != nil {
			return err
		}
		return withAccess(ctx, cfg, b, func(log *eventstore.AccessLog, c accesslog.Config) error {
			status, err := log.Status(ctx)
			if err != nil {
				return err
			}
			c.Applied = func(position uint64) { show(position, status.Head, "messages of the access log") }
			index, err := accesslog.Open(c) //nolint:contextcheck // opening a file cannot be cut short.
			if err != nil {
				return err
			}
			return errors.Join(index.Rebuild(ctx, log), index.Close())
		})
	})
	return position, err
}

// withAccess hands over the access log of an opened data directory and how its
// index is opened; nothing is done where no server has made one yet.
func withAccess(ctx context.Context, cfg Config, b *broker, do func(*eventstore.AccessLog, accesslog.Config) error) error {
	js, err := jetstream.New(b.conn)
	if err != nil {
		return fmt.Errorf("%w: %w", eventstore.ErrUnavailable, err)
	}
	age, err := accessAge(ctx, js)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	log, err := eventstore.OpenAccessLog(ctx, b.conn, eventstore.AccessOptions{MaxAge: age, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	edges, err := openEdges(ctx, b)
	if err != nil {
		return err
	}
	return do(log, accessConfig(cfg, edges))
}

func openEdges(ctx context.Context, b *broker) (edges keptEdges, err error) {
	if edges.proofs, err = eventstore.OpenProofStore(ctx, b.conn, 0); err != nil {
		return edges, err
	}
	record, err := edges.proofs.SigningKey(ctx)
	if err != nil || record == nil {
		return edges, err
	}
	public, org, err := kms.SigningPublicKey(record)
	if err != nil {
		return edges, err
	}
	edges.key, err = proof.NewLogKey(proof.Origin(string(org), proof.LogAccess), public)
	return edges, err
}

// FsckReport is what [Fsck] looked at.
type FsckReport struct {
	// Head is the position of the newest event; all up to it were decoded.
	Head uint64 `json:"head"`
	// Projection is the position up to which the projection was compared with
	// a fresh fold, nil where there is no projection or no event in it.
	Projection *uint64 `json:"projection"`
	// Access is the position up to which the index of the access log was
	// compared with it, nil where there is no index or no message in it.
	Access *uint64 `json:"access"`
	// TornKeySlots are the offsets in keys.db of what is neither a key nor
	// free, as a crash leaves it. The next start erases it.
	TornKeySlots []int64 `json:"tornKeySlots"`
	// Feed is what was compared of the feed, nil where there is none.
	Feed *feed.Report `json:"feed"`
}

// Fsck verifies the log's configuration, decodes every event, folds the log
// afresh and compares the projection with that, bucket by bucket, and every
// message of the feed with its event. On an embedded node it also reads every
// key and looks for the key of every living secret. The server must be
// stopped. It mends nothing: the projection's file stays as it is,
// byte for byte, and one that the next start would discard is a finding. A
// missing projection, or one without an event, is no fault: the next start
// folds it. Nor are access records that a crash left in the journal. The error
// lists what differs.
func Fsck(ctx context.Context, cfg Config) (report FsckReport, err error) {
	err = withState(ctx, cfg, func(b *broker, path string) error {
		if err := errors.Join(b.log.Verify(ctx), b.keys.Verify(ctx)); err != nil {
			return err
		}
		var compared error
		report.Projection, compared = compareState(ctx, cfg, b, path)
		keys := keysCheck{slots: b.slots, missing: map[domain.KekID]domain.SecretRef{}}
		for r, err := range b.log.Read(ctx, 0) {
			if err == nil {
				err = keys.event(ctx, r)
			}
			if err != nil {
				return errors.Join(compared, err)
			}
			report.Head = r.Position
		}
		report.TornKeySlots, err = keys.end(ctx)
		compared = errors.Join(compared, err)
		report.Access, err = compareAccess(ctx, cfg, b)
		compared = errors.Join(compared, err)
		report.Feed, err = b.checkFeed(ctx, cfg)
		return errors.Join(compared, err)
	})
	return report, err
}

// compareState gives the position that was compared, nil for none.
func compareState(ctx context.Context, cfg Config, b *broker, path string) (*uint64, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is nothing to compare.
	}
	position, err := projections.CheckFile(ctx, projections.Options{Path: path, Now: time.Now, Logger: cfg.Logger}, b.log)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case position == 0:
		return nil, nil //nolint:nilnil // it agrees with nothing.
	}
	return &position, nil
}

// compareAccess gives the position that was compared, nil for none.
func compareAccess(ctx context.Context, cfg Config, b *broker) (compared *uint64, err error) {
	err = withAccess(ctx, cfg, b, func(log *eventstore.AccessLog, c accesslog.Config) error {
		if b.embedded != nil {
			if _, err := accessjournal.Inspect(ctx, cfg.path(journalFile), log); err != nil {
				return err
			}
		}
		position, err := accesslog.CheckFile(ctx, c, log)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", c.Path, err)
		case position > 0:
			compared = &position
		}
		return nil
	})
	return compared, err
}

func withState(ctx context.Context, cfg Config, do func(b *broker, path string) error) error {
	if err := cfg.check(); err != nil {
		return err
	}
	cfg.existing = true // a mistyped directory must not become an empty log
	cfg.keysReadOnly = true
	b, err := openBroker(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(b, cfg.path(stateFile)), b.close())
}
