package server

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/chancery-dev/chancery/projections"
)

// Rebuild throws the projection away and folds the log anew. The server must
// be stopped. It gives the position that the new projection has reached.
func Rebuild(ctx context.Context, cfg Config) (position uint64, err error) {
	err = withState(ctx, cfg, func(b *broker, path string) error {
		state, err := projections.Open(projections.Options{Path: path, Now: time.Now, Logger: cfg.Logger}) //nolint:contextcheck // opening a file cannot be cut short.
		if err != nil {
			return err
		}
		err = state.Rebuild(ctx, b.log)
		position = state.Position()
		return errors.Join(err, state.Close())
	})
	return position, err
}

// FsckReport is what [Fsck] looked at.
type FsckReport struct {
	// Head is the position of the newest event; all up to it were decoded.
	Head uint64 `json:"head"`
	// Projection is the position up to which the projection was compared with
	// a fresh fold, nil where there is no projection file.
	Projection *uint64 `json:"projection"`
}

// Fsck verifies the log's configuration, decodes every event, folds the log
// afresh and compares the projection with that, bucket by bucket. The server
// must be stopped. A missing projection is no fault: the next start folds it.
// The error lists what differs.
func Fsck(ctx context.Context, cfg Config) (report FsckReport, err error) {
	err = withState(ctx, cfg, func(b *broker, path string) error {
		if err := errors.Join(b.log.Verify(ctx), b.keys.Verify(ctx)); err != nil {
			return err
		}
		var compared error
		if _, err := os.Stat(path); err == nil {
			var position uint64
			position, compared = compareState(ctx, cfg, b, path)
			report.Projection = &position
		}
		for r, err := range b.log.Read(ctx, 0) {
			if err != nil {
				return errors.Join(compared, err)
			}
			report.Head = r.Position
		}
		return compared
	})
	return report, err
}

func compareState(ctx context.Context, cfg Config, b *broker, path string) (uint64, error) {
	state, err := projections.Open(projections.Options{Path: path, Now: time.Now, Logger: cfg.Logger}) //nolint:contextcheck // opening a file cannot be cut short.
	if err != nil {
		return 0, err
	}
	err = projections.Check(ctx, state, b.log)
	return state.Position(), errors.Join(err, state.Close())
}

func withState(ctx context.Context, cfg Config, do func(b *broker, path string) error) error {
	if err := cfg.check(); err != nil {
		return err
	}
	if _, err := os.Stat(cfg.Data); err != nil {
		return err // a mistyped directory must not become an empty log
	}
	b, err := openBroker(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(b, cfg.path(stateFile)), b.close())
}
