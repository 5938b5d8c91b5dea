package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

func newRepairCommand(a *app) *cobra.Command {
	var o storeOptions
	var dryRun bool
	c := &cobra.Command{
		Use:   "repair",
		Short: "Remove torn writes from the logs' files after a power loss (server stopped)",
		Long: `Cut off what a power loss, a kernel crash or a failed disk left torn in the
files of the embedded logs. The server must be stopped.

Only messages are cut off that nobody was told are stored: those behind the last
whole message, and behind every position that a checkpoint, state.db, access.db
or a key knows. What is cut off is kept in a new directory repaired-TIME in the
data directory.

Damage is never cut off: the command changes nothing, says which position is
missing and ends with status 1. Then restore a backup.`,
		Example: `  chancery repair --data chancery-data --dry-run
  chancery repair --data chancery-data`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			report, err := server.Repair(cmd.Context(), cfg, dryRun)
			if err != nil && len(report.Findings) == 0 {
				return err
			}
			return errors.Join(a.emit(report, func(w io.Writer) error { return a.printRepair(w, report, dryRun) }), err)
		},
	}
	f := c.Flags()
	o.bind(f)
	f.BoolVar(&dryRun, "dry-run", false, "show what would be cut off and change nothing")
	return c
}

func (a *app) printRepair(w io.Writer, report server.RepairReport, dryRun bool) error {
	if len(report.Findings) == 0 {
		fmt.Fprintln(w, "nothing is torn: every message of the logs is whole")
		return nil
	}
	for _, f := range report.Findings {
		fmt.Fprintf(w, "%s log: position %d cannot be read: %s (%s, block %d, byte %d)\n", f.Log, f.Position, f.Reason, f.Stream, f.Block, f.Offset)
		if !f.Torn {
			fmt.Fprintf(w, "  this is damage: it is not cut off\n")
			continue
		}
		lost := fmt.Sprintf("position %d", f.Position)
		if f.Through > f.Position {
			lost = fmt.Sprintf("positions %d to %d", f.Position, f.Through)
		}
		fmt.Fprintf(w, "  lost: %s, %d bytes. A crash kept this from the disk, and nobody was told that it is stored\n", lost, f.Bytes)
		if f.Cut {
			fmt.Fprintf(w, "  cut off: the log ends at position %d; the bytes are kept in %s\n", f.Position-1, report.Kept)
		}
	}
	if len(report.Witnesses) > 0 {
		t := newTable("KNOWN BY", "LOG", "POSITION")
		for _, known := range report.Witnesses {
			position := strconv.FormatUint(known.Position, 10)
			if known.Unread != "" {
				position = known.Unread
			}
			t.add(known.Name, known.Log, position)
		}
		if err := a.print(w, t); err != nil {
			return err
		}
	}
	if dryRun {
		fmt.Fprintln(w, "nothing was changed (--dry-run)")
	}
	return nil
}
