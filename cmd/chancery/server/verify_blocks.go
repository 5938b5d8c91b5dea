package server

import (
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
func checkBlocks(cfg Config, strict bool) (notes []string, found error) {
	if cfg.NATSURL != "" {
		return nil, nil
	}
	in, err := natsfile.Inspect(cfg.path(logDirectory), eventstore.LogFiles())
	if err != nil {
		return nil, err
	}
	for _, f := range in.Findings {
		log := provedStreams()[f.Stream]
		if f.Torn && f.AtEnd && !strict {
			notes = append(notes, fmt.Sprintf("%s log: %v", log, f))
			continue
		}
		found = errors.Join(found, proof.NewFault(log, f.Position, f))
	}
	return notes, found
}
