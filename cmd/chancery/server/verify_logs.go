package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/projections"
	"github.com/chancery-dev/chancery/projections/accesslog"
	"github.com/chancery-dev/chancery/proof"
)

// eventLeaves gives the log's records as leaves. What can't be read is a
// [proof.Fault].
func (l *logsToVerify) eventLeaves(ctx context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
	return func(yield func(proof.Leaf, error) bool) {
		for r, err := range l.log.Read(ctx, after) {
			if err != nil {
				yield(proof.Leaf{}, corruptAt(proof.LogEvents, err))
				return
			}
			if !yield(proof.Leaf{Position: r.Position, Data: r.Raw}, nil) {
				return
			}
		}
	}
}

// checkedEvents is eventLeaves from the beginning, and checks what a decoded
// event says of its place: the organization of the first one, and dense
// versions in each stream. Of a stream it remembers 16 bytes and the version.
func (l *logsToVerify) checkedEvents(ctx context.Context) iter.Seq2[proof.Leaf, error] {
	return func(yield func(proof.Leaf, error) bool) {
		versions := map[[16]byte]uint64{}
		for r, err := range l.log.Read(ctx, 0) {
			if err != nil {
				err = corruptAt(proof.LogEvents, err)
			} else if fault := l.place(r, versions); fault != nil {
				err = fault
			}
			if err != nil {
				yield(proof.Leaf{}, err)
				return
			}
			if !yield(proof.Leaf{Position: r.Position, Data: r.Raw}, nil) {
				return
			}
		}
	}
}

// place checks an event against those before it.
func (l *logsToVerify) place(r domain.Recorded, versions map[[16]byte]uint64) *proof.Fault {
	fault := func(format string, args ...any) *proof.Fault {
		return &proof.Fault{Log: proof.LogEvents, Position: r.Position, Through: r.Position, Reason: fmt.Sprintf(format, args...)}
	}
	if r.Position == 1 && (r.Stream == nil || r.Stream.Organization() != l.org) {
		return fault("the first event is not of the organization %s, which the signing key is for: the log was replaced", l.org)
	}
	if r.Event == nil {
		return nil // a proven foreign message has no version
	}
	sum := sha256.Sum256([]byte(r.Stream.Subject()))
	key := [16]byte(sum[:])
	if r.Version != versions[key]+1 {
		return fault("version %d of %s follows version %d", r.Version, r.Stream.Subject(), versions[key])
	}
	versions[key] = r.Version
	return nil
}

// accessLeaves gives the access log's messages as leaves.
func (l *logsToVerify) accessLeaves(ctx context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
	return func(yield func(proof.Leaf, error) bool) {
		for m, err := range l.access.Read(ctx, after) {
			if err != nil {
				yield(proof.Leaf{}, corruptAt(proof.LogAccess, err))
				return
			}
			if !yield(proof.Leaf{Position: m.Position, Data: m.Raw}, nil) {
				return
			}
		}
	}
}

// corruptAt gives an unreadable message its place.
func corruptAt(log string, err error) error {
	if corrupt, ok := errors.AsType[*eventstore.CorruptError](err); ok {
		return proof.NewFault(log, corrupt.Position, corrupt)
	}
	return err
}

func (l *logsToVerify) verifyEvents(ctx context.Context) (proof.Result, error) {
	in := proof.Inputs{Log: proof.LogEvents, Leaves: l.checkedEvents(ctx)}
	return l.verifyWithTiles(ctx, in, stateFile, func(path string, ask func(proof.StoredTree)) (string, error) {
		return projections.InspectTree(path, "", func(tree *proof.Tree) error {
			ask(proof.StoredTree{Tree: tree})
			return nil
		})
	})
}

func (l *logsToVerify) verifyAccess(ctx context.Context) (proof.Result, error) {
	in := proof.Inputs{Log: proof.LogAccess}
	start, err := l.accessStart(ctx)
	if err != nil {
		return proof.Result{}, err
	}
	after := uint64(0)
	if start != nil {
		in.Start, after = start, start.Size
	}
	in.Leaves = l.accessLeaves(ctx, after)
	return l.verifyWithTiles(ctx, in, accessFile, func(path string, ask func(proof.StoredTree)) (string, error) {
		return accesslog.InspectTree(accesslog.Config{Path: path}, func(tree *proof.Tree, from uint64) error {
			ask(proof.StoredTree{Tree: tree, From: from})
			return nil
		})
	})
}

// accessStart finds what stands for the messages that have expired: the
// oldest frontier behind which every message is still there. Nil: none has.
func (l *logsToVerify) accessStart(ctx context.Context) (start *proof.Frontier, err error) {
	status, err := l.access.Status(ctx)
	if err != nil {
		return nil, err
	}
	for raw, err := range l.proofs.Frontiers(ctx) {
		if err != nil {
			return nil, err
		}
		l.read[frontiers]++
		f, err := proof.DecodeFrontier(raw)
		if err != nil {
			return nil, proof.NewFault(proof.LogAccess, 0, err)
		}
		if start == nil && status.First > 1 && f.Size+1 >= status.First {
			start = &f
		}
	}
	if status.First > 1 && start == nil {
		return nil, &proof.Fault{Log: proof.LogAccess, Position: 1, Through: status.First - 1, Reason: "the leaves are missing, and no frontier was kept of them"}
	}
	if start != nil && start.Size >= status.First {
		l.notes = append(l.notes, fmt.Sprintf("access log: positions %d to %d are there, but lie before the frontier that was kept: they were not proved",
			status.First, start.Size))
	}
	return start, nil
}

// verifyWithTiles verifies a log, and the tree that a projection keeps of it
// where there is a sound one.
func (l *logsToVerify) verifyWithTiles(ctx context.Context, in proof.Inputs, file string,
	inspect func(path string, ask func(proof.StoredTree)) (reason string, err error),
) (result proof.Result, failed error) {
	in.Key, in.Checkpoints = l.keys[in.Log], l.checkpoints(ctx, in.Log)
	asked := false
	reason, err := inspect(l.cfg.path(file), func(tree proof.StoredTree) {
		asked = true
		tree.Name = file
		in.Stored = []proof.StoredTree{tree}
		result, failed = proof.Verify(ctx, in)
	})
	switch {
	case asked && err == nil && reason == "":
		return result, failed
	case err == nil && reason == "":
		reason = "there is none"
	}
	if reason != "" { // the next start makes it anew
		l.notes = append(l.notes, fmt.Sprintf("%s log: %s was not compared: %s", in.Log, file, reason))
	}
	in.Stored = nil
	result, failed = proof.Verify(ctx, in)
	return result, errors.Join(failed, err)
}

// checkpoints gives a log's checkpoints and counts them.
func (l *logsToVerify) checkpoints(ctx context.Context, log string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		l.read[log] = 0
		for note, err := range l.proofs.Checkpoints(ctx, log) {
			if err == nil {
				l.read[log]++
			}
			if !yield(note, err) {
				return
			}
		}
	}
}
