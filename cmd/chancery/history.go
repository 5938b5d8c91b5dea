package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func newHistoryCommand(a *app) *cobra.Command {
	var ascending, access, proof bool
	var limit int
	c := &cobra.Command{
		Use:   "history PATH",
		Short: "Show who changed a secret, when and how; never a value",
		Long: `Shows every recorded change of a secret, newest first. It outlives the secret and
never holds a value. With --access, which needs an auditor's key, who touched
the secret stands between. With --proof --json each change has its leaf and a
C2SP tlog-proof, which shows that it is in the signed log.`,
		Example: `  chancery history agent/stripe
  chancery history agent/stripe --ascending --limit 20
  chancery history org/stripe --json
  chancery history org/stripe --access
  chancery history org/stripe --proof --json`,
		Args:              needs("PATH"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			if limit < 0 {
				return usagef("--limit is 0 (all) or more")
			}
			return a.connect(cmd, func(s session) error {
				ref, err := s.secret(arg)
				if err != nil {
					return err
				}
				q := client.HistoryQuery{Ascending: ascending, Proof: proof, PageSize: min(limit, wire.MaxLimit)}
				if access {
					return a.auditedHistory(s, ref, q, limit)
				}
				entries := []client.HistoryEntry{}
				for e, err := range s.History(s.ctx, ref, q, s.opts...) {
					if err != nil {
						return err
					}
					entries = append(entries, e)
					if len(entries) == limit {
						break
					}
				}
				return a.emit(entries, func(w io.Writer) error { return a.printHistory(w, entries) })
			})
		},
	}
	c.Flags().BoolVar(&ascending, "ascending", false, "oldest first")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N` entries; 0 means all")
	c.Flags().BoolVar(&access, "access", false, "who touched the secret, too")
	c.Flags().BoolVar(&proof, "proof", false, "with --json: each change with the proof that it is in the log")
	return c
}

func (a *app) printHistory(w io.Writer, entries []client.HistoryEntry) error {
	t := newTable("TIME", "VERSION", "EVENT", "BY", "WHAT", "REASON")
	for _, e := range entries {
		t.add(timeCell(&e.Time), versionCell(e.Version), e.Type, actorCell(&e.Actor), what(e), e.Reason)
	}
	return a.print(w, t)
}

// what sums up the fields and metadata that an event changed.
func what(e client.HistoryEntry) string {
	var parts []string
	for _, f := range e.Fields {
		parts = append(parts, f.Key+" ("+f.Sensitivity+")")
	}
	if ch := e.Changes; ch != nil {
		if ch.Name != nil {
			parts = append(parts, fmt.Sprintf("name %q", ch.Name.To))
		}
		if ch.Category != nil {
			parts = append(parts, "category "+ch.Category.To)
		}
		if ch.Tags != nil {
			parts = append(parts, "tags "+strings.Join(ch.Tags.To, ","))
		}
		if r := ch.RotateEvery; r != nil {
			every := never
			if r.To != nil {
				every = *r.To
			}
			parts = append(parts, "rotate every "+every)
		}
		if e := ch.ExpiresAt; e != nil {
			at := never
			if e.To != nil {
				at = timeCell(e.To)
			}
			parts = append(parts, "expires "+at)
		}
	}
	return strings.Join(parts, "; ")
}
