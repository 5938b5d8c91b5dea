package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// a fresh fold, nil where there is no projection or no event in it.
	Projection *uint64 `json:"projection"`
}

// Fsck verifies the log's configuration, decodes every event, folds the log
// afresh and compares the projection with that, bucket by bucket. The server
// must be stopped. It mends nothing: the projection's file stays as it is,
// byte for byte, and one that the next start would discard is a finding. A
// missing projection, or one without an event, is no fault: the next start
// folds it. The error lists what differs.
func Fsck(ctx context.Context, cfg Config) (report FsckReport, err error) {
	err = withState(ctx, cfg, func(b *broker, path string) error {
		if err := errors.Join(b.log.Verify(ctx), b.keys.Verify(ctx)); err != nil {
			return err
		}
		var compared error
		report.Projection, compared = compareState(ctx, cfg, b, path)
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

func withState(ctx context.Context, cfg Config, do func(b *broker, path string) error) error {
	if err := cfg.check(); err != nil {
		return err
	}
	cfg.existing = true // a mistyped directory must not become an empty log
	b, err := openBroker(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(b, cfg.path(stateFile)), b.close())
}
