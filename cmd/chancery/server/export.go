package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/chancery-dev/chancery/proof"
)

// ExportReport is what an export wrote.
type ExportReport struct {
	Logs []ExportedLog `json:"logs"`
}

// ExportedLog is what was written of one log.
type ExportedLog struct {
	Log  string `json:"log"`
	From uint64 `json:"from"` // leaves that were there before
	Size uint64 `json:"size"` // leaves that are there now: those of the newest checkpoint
	Root string `json:"root"`
	// Files counts those that were written.
	Files int `json:"files"`
}

// Export adds to a directory what it lacks of both logs of a data directory,
// whose server must be stopped: static files as C2SP tlog-tiles describes, in
// one directory a log. See [proof.Export] for what is verified and what a
// crash leaves.
func Export(ctx context.Context, cfg Config, out string, pinned *proof.LogKey) (report ExportReport, err error) {
	err = withLogs(ctx, cfg, pinned, func(l *logsToVerify) error {
		report, err = exportTo(ctx, out, func(log string) (proof.Export, error) {
			note, _, err := l.proofs.Latest(ctx, log)
			if err == nil && note == nil {
				err = fmt.Errorf("%s log: %w", log, proof.ErrUnsigned)
			}
			leaves := l.eventLeaves
			if log == proof.LogAccess {
				leaves = l.accessLeaves
			}
			return proof.Export{Log: log, Key: l.keys[log], Checkpoint: note, Leaves: leaves}, err
		})
		return err
	})
	return report, err
}

// ExportFrom is [Export] from where the logs' files are served.
func ExportFrom(ctx context.Context, f LogFiles, out string) (ExportReport, error) {
	return exportTo(ctx, out, func(log string) (proof.Export, error) {
		key, err := f.Key(ctx, log)
		if err != nil {
			return proof.Export{}, err
		}
		source := f.Source(log)
		note, err := source.Read(ctx, proof.CheckpointPath)
		if err != nil {
			return proof.Export{}, err
		}
		signed, err := key.Open(note)
		if err != nil {
			return proof.Export{}, err
		}
		return proof.Export{
			Log: log, Key: key, Checkpoint: note,
			Leaves: func(ctx context.Context, after uint64) iter.Seq2[proof.Leaf, error] {
				return proof.SourceLeaves(ctx, log, source, after, signed.Size)
			},
		}, nil
	})
}

// exportTo exports one log after the other: each has a checkpoint of its own.
func exportTo(ctx context.Context, out string, of func(log string) (proof.Export, error)) (report ExportReport, err error) {
	if err := os.MkdirAll(out, 0o700); err != nil {
		return report, err
	}
	// Two exports at once would take each other's files away.
	unlock, err := lockDirectory(out)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		export, err := of(log)
		if err != nil {
			return report, err
		}
		export.Dir = filepath.Join(out, log)
		done, err := export.Run(ctx)
		if err != nil {
			return report, err
		}
		report.Logs = append(report.Logs, ExportedLog{
			Log: log, From: done.From, Size: done.Signed.Size, Root: done.Signed.Root.String(), Files: done.Files,
		})
	}
	return report, nil
}
