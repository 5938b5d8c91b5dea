package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

func newGetCommand(a *app) *cobra.Command {
	var at string
	var version uint64
	c := &cobra.Command{
		Use:   "get PATH [FIELD]",
		Short: "Show a secret or a field, without opening encrypted values",
		Long: `Shows a secret or one of its fields. Plaintext values are shown, encrypted ones
are not opened: see chancery reveal. With --at or --at-version it shows the
secret as it stood then, without values, deleted ones too.`,
		Example: `  chancery get agent/stripe
  chancery get project/proj_01J…/stripe url
  chancery get agent/stripe --at 2026-01-31T12:00:00Z
  chancery get agent/stripe --at-version 3 --json`,
		Args:              needs("PATH", "[FIELD]"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			asOf := at != "" || version != 0
			if len(args) == 2 {
				if asOf {
					return usagef("--at and --at-version show a whole secret: leave FIELD out")
				}
				return a.getField(cmd, arg, args[1])
			}
			if asOf {
				return a.getAsOf(cmd, arg, at, version)
			}
			return a.connect(cmd, func(s session) error {
				ref, err := s.secret(arg)
				if err != nil {
					return err
				}
				got, err := s.GetSecret(s.ctx, ref, s.opts...)
				if err != nil {
					return err
				}
				return a.emit(got, func(w io.Writer) error { return a.printAggregate(w, got.Aggregate, true) })
			})
		},
	}
	c.Flags().StringVar(&at, "at", "", "as it stood at this `TIME` (RFC 3339)")
	c.Flags().Uint64Var(&version, "at-version", 0, "as it stood at this `VERSION`")
	c.MarkFlagsMutuallyExclusive("at", "at-version")
	return c
}

func (a *app) getField(cmd *cobra.Command, arg secretArg, field string) error {
	key, err := parseField(field)
	if err != nil {
		return err
	}
	return a.connect(cmd, func(s session) error {
		ref, err := s.secret(arg)
		if err != nil {
			return err
		}
		f, err := s.GetField(s.ctx, ref.Field(key), s.opts...)
		if err != nil {
			return err
		}
		return a.emit(f, func(w io.Writer) error {
			t := newTable("FIELD", "SENSITIVITY", "VALUE", "VERSION", "UPDATED", "BY")
			t.add(f.Key, f.Sensitivity, valueCell(f.Value), versionCell(f.Version), timeCell(&f.UpdatedAt), f.UpdatedBy)
			return a.print(w, t)
		})
	})
}

func (a *app) getAsOf(cmd *cobra.Command, arg secretArg, at string, version uint64) error {
	var when time.Time
	if at != "" {
		var err error
		if when, err = time.Parse(time.RFC3339, at); err != nil {
			return usagef("--at takes a time such as 2026-01-31T12:00:00Z")
		}
	}
	return a.connect(cmd, func(s session) error {
		ref, err := s.secret(arg)
		if err != nil {
			return err
		}
		var got client.Aggregate
		if at != "" {
			got, err = s.SecretAtTime(s.ctx, ref, when, s.opts...)
		} else {
			got, err = s.SecretAtVersion(s.ctx, ref, version, s.opts...)
		}
		if err != nil {
			return err
		}
		data := wire.SecretAsOf{Aggregate: got}
		return a.emit(data, func(w io.Writer) error { return a.printAggregate(w, got, false) })
	})
}

// printAggregate shows a secret for people.
func (a *app) printAggregate(w io.Writer, g client.Aggregate, values bool) error {
	for _, line := range [][2]string{
		{"Path", g.Scope + "/" + g.ScopeID + "/" + g.SecretID},
		{"Name", g.SecretName},
		{"Category", g.Category},
		{"Tags", strings.Join(g.Tags, ", ")},
		{"Version", versionCell(g.Version)},
		{"Created", timeCell(&g.CreatedAt) + " by " + g.CreatedBy},
		{"Updated", timeCell(&g.UpdatedAt) + " by " + g.UpdatedBy},
	} {
		fmt.Fprintf(w, "%-9s %s\n", line[0]+":", cell(line[1]))
	}
	if g.RotateEvery != "" {
		fmt.Fprintf(w, "%-9s every %s\n", "Rotate:", cell(g.RotateEvery))
	}
	if g.ExpiresAt != nil {
		fmt.Fprintf(w, "%-9s %s\n", "Expires:", timeCell(g.ExpiresAt))
	}
	if len(g.Fields) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	header := []string{"FIELD", "SENSITIVITY", "VERSION", "UPDATED"}
	if values {
		header = append(header, "VALUE")
	}
	t := newTable(header...)
	for _, f := range g.Fields {
		row := []string{f.Key, f.Sensitivity, versionCell(f.Version), timeCell(&f.UpdatedAt)}
		if values {
			row = append(row, valueCell(f.Value))
		}
		t.add(row...)
	}
	return a.print(w, t)
}

func valueCell(v *wire.Value) string {
	if v == nil {
		return "(sealed)"
	}
	return string(*v)
}
