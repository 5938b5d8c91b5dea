package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/eventstore"
	"github.com/chancery-dev/chancery/projections"
	"github.com/chancery-dev/chancery/projections/accesslog"
)

// storeCommands are the commands that work on a data directory.
func storeCommands(a *app) []*cobra.Command {
	commands := []*cobra.Command{
		newServeCommand(a), newRebuildCommand(a), newFsckCommand(a), newRepairCommand(a), newVerifyCommand(a), newLogCommand(a), newReportCommand(a), newConsumerCommand(a), newRecoverAdminCommand(a),
	}
	for _, c := range commands {
		c.GroupID = groupStore
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	return commands
}

func newRebuildCommand(a *app) *cobra.Command {
	var o storeOptions
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Throw the projection away and fold the log anew (server stopped)",
		Long: `Throw the projection away and fold the log anew. The server must be stopped.

The projection is derived: a rebuild loses nothing, and the server does the
same by itself where it finds that it must.`,
		Example: "  chancery rebuild --data chancery-data",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			bar := newProgress(a)
			position, err := server.Rebuild(cmd.Context(), cfg, bar.show)
			bar.end()
			if err != nil {
				return err
			}
			return a.say(map[string]uint64{"position": position}, "rebuilt to position %d", position)
		},
	}
	o.bind(c.Flags())
	return c
}

func newFsckCommand(a *app) *cobra.Command {
	var o storeOptions
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Verify the log and compare projection and feed with it (server stopped)",
		Long: `Verify the streams' settings, decode every event, fold the log afresh and
compare every bucket of the projection with that, and every message of the feed
with its event. With the embedded log, also read every key and look for those of
living secrets. The server must be stopped.

Prints what differs and exits with status 1 if anything does.`,
		Example: "  chancery fsck --data chancery-data",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			report, err := server.Fsck(cmd.Context(), cfg)
			if errors.As(err, new(*projections.CheckError)) || errors.As(err, new(*accesslog.CheckError)) {
				return a.reportDifferences(err)
			}
			if err != nil {
				return err
			}
			torn := ""
			if n := len(report.TornKeySlots); n > 0 {
				torn = fmt.Sprintf("; %d slots of keys.db are no whole key and no living secret's: the next start erases them", n)
			}
			projection, feed := "there is no projection, the next start folds it anew", ""
			if report.Projection != nil {
				projection = fmt.Sprintf("the projection agrees with them up to position %d", *report.Projection)
			}
			switch f := report.Feed; {
			case f == nil:
			case f.Skipped != "":
				feed = "; the feed was not compared: " + f.Skipped
			default:
				feed = fmt.Sprintf("; the feed agrees up to position %d", f.Last)
			}
			return a.say(report, "clean: %d events; %s%s%s", report.Head, projection, feed, torn)
		},
	}
	o.bind(c.Flags())
	return c
}

// reportDifferences prints one finding a line, which the report of an error
// would fold, and what else was found.
func (a *app) reportDifferences(err error) error {
	if differs, ok := errors.AsType[*projections.CheckError](err); ok {
		a.reportFindings(differs.Findings, differs.More)
	}
	if differs, ok := errors.AsType[*accesslog.CheckError](err); ok {
		a.reportFindings(differs.Findings, differs.More)
	}
	if corrupt, ok := errors.AsType[*eventstore.CorruptError](err); ok {
		fmt.Fprintln(a.stderr, corrupt)
	}
	return errors.New("fsck found differences")
}

func (a *app) reportFindings(findings []string, more int) {
	for _, finding := range findings {
		fmt.Fprintln(a.stderr, finding)
	}
	if more > 0 {
		fmt.Fprintf(a.stderr, "and %d more\n", more)
	}
}

func newRecoverAdminCommand(a *app) *cobra.Command {
	var o storeOptions
	c := &cobra.Command{
		Use:   "recover-admin",
		Short: "Make an administrator when all are lost (server stopped)",
		Long: `Make an administrator of the first organization and write its API key to
admin.key in the data directory. The server must be stopped.

It stands in the log like any other change. Running it again is harmless.`,
		Example: "  chancery recover-admin --data chancery-data",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			path, err := server.RecoverAdmin(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.say(map[string]string{"keyFile": path}, "an administrator's API key is in %s", path)
		},
	}
	o.bind(c.Flags())
	return c
}
