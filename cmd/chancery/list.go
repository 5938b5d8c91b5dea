package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func newListCommand(a *app) *cobra.Command {
	var filter client.Filter
	c := &cobra.Command{
		Use:   "list [SCOPE]",
		Short: "List the secrets of a scope, without values",
		Long: `Lists the secrets of a scope (your own if none is named), without values.
Every filter given must hold.`,
		Example: `  chancery list
  chancery list org
  chancery list project/proj_01J… --category payments --tag prod,eu
  chancery list team/team_01J… --search stripe --json`,
		Args:              needs("[SCOPE]"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg := scopeArg{kind: domain.ScopeAgent}
			if len(args) == 1 {
				var err error
				if arg, err = parseScopeArg(args[0]); err != nil {
					return err
				}
			}
			return a.connect(cmd, func(s session) error {
				scope, err := s.scope(arg)
				if err != nil {
					return err
				}
				rows, err := s.ListSecrets(s.ctx, scope, filter, s.opts...)
				if err != nil {
					return err
				}
				return a.emit(rows, func(w io.Writer) error {
					t := newTable("SECRET", "NAME", "CATEGORY", "TAGS", "FIELDS", "VERSION", "UPDATED")
					for _, r := range rows {
						t.add(r.SecretID, r.SecretName, r.Category, strings.Join(r.Tags, ","), fieldKeys(r), versionCell(r.Version), timeCell(&r.UpdatedAt))
					}
					return a.print(w, t)
				})
			})
		},
	}
	c.Flags().StringVar(&filter.Category, "category", "", "only secrets of this `CATEGORY`")
	c.Flags().StringSliceVar(&filter.Tags, "tag", nil, "only secrets with all of these `TAGS` (a,b or repeated)")
	c.Flags().StringVar(&filter.Text, "search", "", "only secrets with this `TEXT` in id or name")
	return c
}

func fieldKeys(a client.Aggregate) string {
	keys := make([]string, 0, len(a.Fields))
	for _, f := range a.Fields {
		keys = append(keys, f.Key)
	}
	return strings.Join(keys, ",")
}
