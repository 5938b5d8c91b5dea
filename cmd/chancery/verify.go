package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
	"github.com/chancery-dev/chancery/proof"
)

func newVerifyCommand(a *app) *cobra.Command {
	var o storeOptions
	var tiles, key string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nothing was altered or left out of the logs",
		Long: `Prove that nothing was altered or left out of the logs.

Of a data directory (server stopped): decodes every event and access record,
recomputes every leaf and both Merkle trees, and holds them against every signed
checkpoint, the projections' tiles and the signing key; and compares every
message of the feed with its event.
With --tiles: the same from an export's files alone. With a typed --addr: from
those that a running server gives an auditor's API key.

--key pins the key that must have signed, either log's. Without it the key comes
with what is verified: that proves that everything agrees, not whose it is.

Prints up to where what was proved, and exits with status 1 naming the first
wrong position if anything is not as it was signed.`,
		Example: `  chancery verify --data chancery-data
  chancery verify --tiles /backup/logs --key 'chancery/org_01J…/events+1a2b3c4d+AX…'
  chancery verify --addr https://chancery.example --api-key-file auditor.key`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pinned, err := pinnedKey(key)
			if err != nil {
				return err
			}
			var report server.VerifyReport
			switch {
			case tiles != "" && a.addrTyped(cmd):
				return usagef("--tiles and --addr exclude each other")
			case tiles != "":
				err = withDirFiles(tiles, pinned, func(files server.LogFiles) error {
					report, err = server.VerifyFiles(cmd.Context(), files)
					return err
				})
			case a.addrTyped(cmd):
				err = a.withServedFiles(pinned, func(files server.LogFiles) error {
					report, err = server.VerifyFiles(cmd.Context(), files)
					return err
				})
			default:
				cfg, configured := o.config(a)
				if configured != nil {
					return configured
				}
				report, err = server.Verify(cmd.Context(), cfg, pinned)
			}
			return a.showVerified(report, err)
		},
	}
	f := c.Flags()
	o.bind(f)
	f.StringVar(&tiles, "tiles", "", "verify the export in this `DIR`ectory")
	f.StringVar(&key, "key", "", "`VKEY` that must have signed (either log's)")
	return c
}

// pinnedKey parses what --key holds, nil for nothing.
func pinnedKey(text string) (*proof.LogKey, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none was given.
	}
	key, err := proof.ParseLogKey(text)
	if err != nil {
		return nil, usagef("--key is no log's key: want NAME+HASH+KEY as the checkpoints' signer gives it")
	}
	return &key, nil
}

// showVerified prints what was proved and, a line each, what was found.
func (a *app) showVerified(report server.VerifyReport, err error) error {
	if len(report.Logs) > 0 {
		if printed := a.emit(report, func(w io.Writer) error { return a.printVerified(w, report) }); printed != nil {
			return errors.Join(printed, err)
		}
	}
	if report.Keys != nil && !report.Pinned {
		fmt.Fprintln(a.stderr, "chancery: note: the key was not pinned (--key): it came with what was verified")
	}
	for _, note := range report.Notes {
		fmt.Fprintln(a.stderr, "chancery: note: "+note)
	}
	return err
}

func (a *app) printVerified(w io.Writer, report server.VerifyReport) error {
	t := newTable("LOG", "POSITIONS", "PROVED TO", "SIGNED AT", "ROOT", "CHECKPOINTS", "TILES", "NOT COVERED")
	for _, l := range report.Logs {
		positions, signed := "none", ""
		if l.Head >= l.First {
			positions = fmt.Sprintf("%d-%d", l.First, l.Head)
		}
		if !l.SignedAt.IsZero() {
			signed = l.SignedAt.UTC().Format(time.RFC3339)
		}
		t.add(l.Log, positions, strconv.FormatUint(l.Size, 10), signed, l.Root,
			strconv.FormatUint(l.Checkpoints, 10), strconv.FormatUint(l.Tiles, 10), strconv.FormatUint(l.Uncovered, 10))
	}
	if err := a.print(w, t); err != nil {
		return err
	}
	for _, key := range report.Keys {
		fmt.Fprintln(w, "key "+key)
	}
	return nil
}
