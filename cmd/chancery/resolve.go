package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func newResolveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "resolve [SECRET]",
		Short: "Find a secret by its id alone, in the nearest scope that has it",
		Long: `Finds a secret by its id alone: in your own scope, then your projects, teams and
the organization. A whole secret hides those of the same id in wider scopes.
Without SECRET it lists all that you would find.`,
		Example: `  chancery resolve stripe
  chancery resolve`,
		Args:              needs("[SECRET]"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.connect(cmd, a.listEffective)
			}
			id, err := domain.ParseSecretID(args[0])
			if err != nil {
				return usagef("SECRET is a secret's id alone, without its scope")
			}
			return a.connect(cmd, func(s session) error {
				got, err := s.Resolve(s.ctx, id, s.opts...)
				if err != nil {
					return err
				}
				return a.emit(got, func(w io.Writer) error {
					fmt.Fprintf(w, "From:     %s\nShadows:  %s\n", scopesCell(got.ResolvedFrom), cell(scopesCell(got.Shadowed...)))
					return a.printAggregate(w, got.Aggregate, true)
				})
			})
		},
	}
}

func (a *app) listEffective(s session) error {
	rows, err := s.ListEffectiveSecrets(s.ctx, s.opts...)
	if err != nil {
		return err
	}
	return a.emit(rows, func(w io.Writer) error {
		t := newTable("SECRET", "NAME", "FROM", "SHADOWS")
		for _, r := range rows {
			name, from := "", "ambiguous: "+scopesCell(r.Ambiguous...)
			if r.Aggregate != nil && r.ResolvedFrom != nil {
				name, from = r.Aggregate.SecretName, scopesCell(*r.ResolvedFrom)
			}
			t.add(r.SecretID, name, from, scopesCell(r.Shadowed...))
		}
		return a.print(w, t)
	})
}

func scopesCell(scopes ...client.NamedScope) string {
	texts := make([]string, 0, len(scopes))
	for _, s := range scopes {
		texts = append(texts, s.Scope+"/"+s.ScopeID)
	}
	return strings.Join(texts, ", ")
}
