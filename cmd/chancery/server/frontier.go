package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/proof"
)

// maxFrontierInterval is how far apart the kept right edges of the access
// log's tree are at most: so much of what is still there cannot be proved again
// after both the index and older messages are gone.
const maxFrontierInterval = time.Hour

// keepFrontiers keeps the right edge of the access log's tree from time to
// time, as long as records expire: what expires can't be hashed again, so
// without it an index that is lost could not be made anew.
func (s *store) keepFrontiers(ctx context.Context) {
	if s.cfg.AccessRetention == 0 {
		return
	}
	ticker := time.NewTicker(min(maxFrontierInterval, max(time.Second, s.cfg.AccessRetention/8)))
	defer ticker.Stop()
	for {
		s.logFailure(ctx, "right edge of the access log", s.keepFrontier(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// keepFrontier keeps the edge at the newest checkpoint, which vouches for it.
func (s *store) keepFrontier(ctx context.Context) error {
	newest, err := s.checkpoint(ctx, proof.LogAccess)
	if err != nil || newest.Size == 0 {
		return err
	}
	last, revision, err := s.proofs.LatestFrontier(ctx)
	if err != nil {
		return err
	}
	if last != nil {
		if kept, err := proof.DecodeFrontier(last); err != nil || kept.Size >= newest.Size {
			return err
		}
	}
	var raw []byte
	err = s.index.Tree(func(t *proof.Tree) error {
		rows, err := t.Frontier(newest.Size)
		if err != nil {
			return err
		}
		raw, err = proof.Frontier{Size: newest.Size, Rows: rows}.Encode()
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.proofs.AddFrontier(ctx, revision, raw)
	if errors.Is(err, eventstore.ErrConflict) {
		return nil // another node kept one
	}
	return err
}

// keptEdges are the right edges that were kept, and what vouches for them.
type keptEdges struct {
	proofs *eventstore.ProofStore
	key    proof.LogKey
}

// resume puts the right edge of the access log's tree into an index that
// is begun on a log whose first messages have expired. It takes the oldest one
// that reaches what is left, and holds it against the checkpoint of its size.
func (s keptEdges) resume(ctx context.Context, first uint64, into proof.Tiles) (uint64, error) {
	for raw, err := range s.proofs.Frontiers(ctx) {
		if err != nil {
			return 0, err
		}
		f, err := proof.DecodeFrontier(raw)
		if err != nil {
			return 0, err
		}
		if f.Size < first-1 {
			continue
		}
		_, root, err := proof.Restore(into, f.Size, f.Rows)
		if err != nil {
			return 0, err
		}
		for note, err := range s.proofs.Checkpoints(ctx, proof.LogAccess) {
			if err != nil {
				return 0, err
			}
			if size, err := checkpointSize(note); err != nil || size != f.Size {
				continue
			}
			signed, err := s.key.Open(note)
			if err != nil {
				return 0, err
			}
			if signed.Root != root {
				return 0, fmt.Errorf("%w: the kept right edge at %d leaves", proof.ErrFork, f.Size)
			}
			return f.Size, nil
		}
		return 0, fmt.Errorf("no checkpoint vouches for the kept right edge at %d leaves", f.Size)
	}
	return 0, fmt.Errorf("the access log begins at position %d, and no right edge of its tree from there on was kept", first)
}
