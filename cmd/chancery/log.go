package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

func newLogCommand(a *app) *cobra.Command {
	return newGroup("log", "The logs as files that anybody can verify", newLogExportCommand(a))
}

func newLogExportCommand(a *app) *cobra.Command {
	var o storeOptions
	var key string
	c := &cobra.Command{
		Use:   "export OUT",
		Short: "Write the logs and their proof to a directory, incrementally",
		Long: `Write both logs to the directory OUT as static files (C2SP tlog-tiles), fit for
object storage: OUT/events and OUT/access, each with its checkpoint, key, hash
tiles and entries. What is there is not written again, and the checkpoint comes
last: OUT is whole at any time.

Reads a data directory (server stopped) or, with a typed --addr, a running
server, with the API key of an auditor of the first organization.

The entries are the metadata of all organizations; no value is among them. OUT
is made for its owner alone.`,
		Example: `  chancery log export --data chancery-data /backup/logs
  chancery log export --addr https://chancery.example --api-key-file auditor.key /backup/logs`,
		Args: needs("OUT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			pinned, err := pinnedKey(key)
			if err != nil {
				return err
			}
			var report server.ExportReport
			if a.addrTyped(cmd) {
				err = a.withServedFiles(pinned, func(files server.LogFiles) error {
					report, err = server.ExportFrom(cmd.Context(), files, args[0])
					return err
				})
			} else {
				cfg, configured := o.config(a)
				if configured != nil {
					return configured
				}
				report, err = server.Export(cmd.Context(), cfg, args[0], pinned)
			}
			if err != nil {
				return err
			}
			if pinned == nil {
				fmt.Fprintln(a.stderr, "chancery: note: the key was not pinned (--key): it came with what was exported")
			}
			return a.emit(report, func(w io.Writer) error { return a.printExported(w, report) })
		},
	}
	f := c.Flags()
	o.bind(f)
	f.StringVar(&key, "key", "", "`VKEY` that must have signed (either log's)")
	return c
}

func (a *app) printExported(w io.Writer, report server.ExportReport) error {
	t := newTable("LOG", "BEFORE", "NOW", "FILES", "ROOT")
	for _, l := range report.Logs {
		t.add(l.Log, strconv.FormatUint(l.From, 10), strconv.FormatUint(l.Size, 10), strconv.Itoa(l.Files), l.Root)
	}
	return a.print(w, t)
}
