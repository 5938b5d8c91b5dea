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
	var ascending bool
	var limit int
	c := &cobra.Command{
		Use:   "history PATH",
		Short: "Show who changed a secret, when and how; never a value",
		Long: `Shows every recorded change of a secret, newest first. It outlives the secret and
never holds a value.`,
		Example: `  chancery history agent/stripe
  chancery history agent/stripe --ascending --limit 20
  chancery history org/stripe --json`,
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
				q := client.HistoryQuery{Ascending: ascending, PageSize: min(limit, wire.MaxLimit)}
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
	return c
}

func (a *app) printHistory(w io.Writer, entries []client.HistoryEntry) error {
	t := newTable("TIME", "VERSION", "EVENT", "BY", "WHAT", "REASON")
	for _, e := range entries {
		by := e.Actor.Name
		if by == "" {
			by = e.Actor.ID
		}
		t.add(timeCell(&e.Time), versionCell(e.Version), e.Type, by, what(e), e.Reason)
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
	}
	return strings.Join(parts, "; ")
}
