package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/eventstore/natsfile"
)

// RepairReport is what [Repair] found and did.
type RepairReport struct {
	// Findings are at most one a log.
	Findings []RepairFinding `json:"findings"`
	// Witnesses are what the findings were compared with; none after an orderly
	// end of the server, which leaves nothing torn.
	Witnesses []Witness `json:"witnesses,omitempty"`
	// Kept is the new directory that has what was cut off, "" where nothing was.
	Kept string `json:"kept,omitempty"`
}

// RepairFinding is where the files of a log cannot be read further.
type RepairFinding struct {
	Log    string `json:"log"`
	Stream string `json:"stream"`
	// Position is the first one that is not there.
	Position uint64 `json:"position"`
	// Through is the highest position of a whole message after Position, 0 for none.
	Through uint64 `json:"through,omitempty"`
	// Block and Offset, in bytes, are where the last sound message ends, and
	// Bytes is how much lies behind that.
	Block  uint32 `json:"block"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	// Torn reports that a crash can explain this: no message from Position on was
	// ever acknowledged. Otherwise it is damage, which is not cut.
	Torn bool `json:"torn"`
	// Durable is the newest position that is known to have been durable, and
	// KnownBy names what knows it.
	Durable uint64 `json:"durable"`
	KnownBy string `json:"knownBy,omitempty"`
	Reason  string `json:"reason"`
	// Cut says that it was cut off.
	Cut bool `json:"cut"`
}

// Repair removes torn writes after the last sound position of each log
// of a data directory, whose server must be stopped. What it cuts off goes into
// a new directory beside the log. With dryRun it changes nothing.
//
// Damage is refused, and so is everything at or below a position that any
// witness knows; then nothing is cut in any log. The error says where and what
// to do; the report is whole all the same.
//
// A crash in between leaves a torn end in some of the logs, and what was cut
// off so far in the new directory: to repair again ends it.
func Repair(ctx context.Context, cfg Config, dryRun bool) (report RepairReport, err error) {
	if err := cfg.check(); err != nil {
		return report, err
	}
	if cfg.NATSURL != "" {
		return report, domain.Errorf(domain.CodeInvalidRequest, "repair is for the files of the embedded log; an external NATS server keeps its own")
	}
	cfg.existing = true
	if err := makeOrFindData(cfg); err != nil {
		return report, err
	}
	unlock, err := lockDirectory(cfg.Data)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	known, all := knownPositions(ctx, cfg)
	in, err := natsfile.Inspect(cfg.path(logDirectory), eventstore.LogFiles(known))
	if err != nil {
		return report, err
	}
	if in.Ended != natsfile.EndedInOrder {
		report.Witnesses = all()
	}
	var damage error
	for _, f := range in.Findings {
		report.Findings = append(report.Findings, repairFinding(f))
		if !f.Torn {
			damage = errors.Join(damage, cfg.fault(f))
		}
	}
	switch {
	case damage != nil:
		return report, fmt.Errorf("nothing was cut off: %w", damage)
	case dryRun, len(in.Findings) == 0:
		return report, nil
	}
	report.Kept = cfg.path("repaired-" + time.Now().UTC().Format("20060102T150405Z"))
	for n, f := range in.Findings {
		if err := natsfile.Cut(cfg.path(logDirectory), f, report.Kept); err != nil {
			return report, fmt.Errorf("cutting off the end of %s: %w. Run it again", f.Stream, err)
		}
		report.Findings[n].Cut = true
		if err := cfg.reached("cut " + f.Stream); err != nil {
			return report, err
		}
	}
	return report, nil
}

func repairFinding(f *natsfile.Finding) RepairFinding {
	r := RepairFinding{
		Log: provedStreams()[f.Stream], Stream: f.Stream, Position: f.Position, Through: f.Through,
		Block: f.Block, Offset: f.Offset, Bytes: f.Behind, Torn: f.Torn, Durable: f.Known.Position, Reason: f.Reason,
	}
	if r.Durable > 0 {
		r.KnownBy = f.Known.By
	}
	return r
}
