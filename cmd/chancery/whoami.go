package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newWhoamiCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "whoami",
		Short:             "Show who the API key speaks for",
		Args:              needs(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.connect(cmd, func(s session) error {
				me, err := s.Whoami(s.ctx, s.opts...)
				if err != nil {
					return err
				}
				return a.emit(me, func(w io.Writer) error {
					t := newTable("AGENT", "NAME", "ORG", "PERMISSIONS")
					t.add(me.AgentID, me.Name, me.OrgID, strings.Join(me.Permissions, " "))
					return a.print(w, t)
				})
			})
		},
	}
}

func newScopesCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "scopes",
		Short:             "List the scopes you belong to, most specific first",
		Args:              needs(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.connect(cmd, func(s session) error {
				scopes, err := s.Scopes(s.ctx, s.opts...)
				if err != nil {
					return err
				}
				return a.emit(scopes, func(w io.Writer) error {
					t := newTable("SCOPE", "NAME", "ROLE")
					for _, r := range scopes {
						t.add(r.Scope+"/"+r.ScopeID, r.Name, r.Role)
					}
					return a.print(w, t)
				})
			})
		},
	}
}
