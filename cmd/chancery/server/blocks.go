package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
	"github.com/chancery-dev/chancery/proof"
)

// checkBlocks reads the files of the embedded log before its server does, which
// would cut a block off at the first thing that it can't read. It changes
// nothing. What it finds has the position after the last sound one.
//
// A crash can leave the newest message half written. Nobody was told that it is
// stored, and the next start cuts it off: that is a fault where strict, else a
// note.
func checkBlocks(ctx context.Context, cfg Config, strict bool) (notes []string, found error) {
	if cfg.NATSURL != "" {
		return nil, nil
	}
	known, _ := knownPositions(ctx, cfg)
	in, err := natsfile.Inspect(cfg.path(logDirectory), eventstore.LogFiles(known))
	if err != nil {
		return nil, err
	}
	for _, f := range in.Findings {
		if f.Torn && f.AtEnd && !strict {
			notes = append(notes, fmt.Sprintf("%s log: %v", provedStreams()[f.Stream], f))
			continue
		}
		found = errors.Join(found, cfg.fault(f))
	}
	return notes, found
}

// explain says what to do about findings in the log's files. Every other error
// stays as it is.
func (c Config) explain(err error) error {
	findings, ok := errors.AsType[natsfile.Findings](err)
	if !ok {
		return err
	}
	var explained error
	for _, f := range findings {
		explained = errors.Join(explained, c.fault(f))
	}
	return explained
}

// fault returns a finding as a fault of its log, with what to do about it.
func (c Config) fault(f *natsfile.Finding) *proof.Fault {
	return proof.NewFault(provedStreams()[f.Stream], f.Position, fmt.Errorf("%w. %s", f, c.remedy(f)))
}

func (c Config) remedy(f *natsfile.Finding) string {
	switch lost := max(f.Position, f.Known.Position); {
	case f.Torn && f.AtEnd:
		return "Start the server, which cuts it off, or run: chancery repair --data " + c.Data
	case f.Torn:
		return "Run: chancery repair --data " + c.Data
	case f.Known.By == stateFile, f.Known.By == accessFile:
		return fmt.Sprintf("Restore the data directory from a backup that has position %d. "+
			"If an older log was put back on purpose, move %s away: it is made again from the log", lost, c.path(f.Known.By))
	default:
		return fmt.Sprintf("Restore the data directory from a backup that has position %d", lost)
	}
}
