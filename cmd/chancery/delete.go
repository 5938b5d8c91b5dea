package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newDeleteCommand(a *app) *cobra.Command {
	var yes bool
	var write writeFlags
	c := &cobra.Command{
		Use:   "delete PATH",
		Short: "Delete a secret and destroy its keys",
		Long: `Deletes a secret and destroys its keys: its values can not be opened again, not
even from a copy of the log. Its history stays.

On a terminal you are asked to confirm; without one --yes is needed.`,
		Example: `  chancery delete agent/stripe
  chancery delete agent/stripe --yes --if-match v7`,
		Args:              needs("PATH"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			opts, err := write.options()
			if err != nil {
				return err
			}
			if !yes {
				question := "This destroys the keys of " + args[0] + ": its values can not be opened again."
				if err := a.confirm(cmd.Context(), question, string(arg.id), "--yes"); err != nil {
					return err
				}
			}
			return a.connect(cmd, func(s session) error {
				ref, err := s.secret(arg)
				if err != nil {
					return err
				}
				gone, err := s.DeleteSecret(s.ctx, ref, s.with(opts...)...)
				if err != nil {
					return err
				}
				if !gone.KeyDestroyed {
					fmt.Fprintf(a.stderr, "chancery: warning: %s is deleted, but its keys are still to be destroyed by the server\n", ref)
				}
				return a.say(gone, "deleted %s %s", ref, versionCell(gone.Version))
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	write.add(c)
	return c
}
