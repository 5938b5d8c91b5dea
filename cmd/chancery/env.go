package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envName gives the variable of a flag.
func envName(flag string) string {
	return "CHANCERY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// bindEnv gives every flag of the command that was not typed the value of its
// variable. An empty variable counts as not set. It runs before every command,
// so no command may have a PersistentPreRun of its own.
func (a *app) bindEnv(cmd *cobra.Command, _ []string) error {
	if strings.HasPrefix(cmd.Name(), "__") {
		return nil // the shell asks for completions: nothing is run.
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		text := a.getenv(envName(f.Name))
		if f.Changed || f.Name == "help" || text == "" || failed != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, text); err != nil {
			failed = fmt.Errorf("%s is not a valid --%s: want a %s", envName(f.Name), f.Name, f.Value.Type())
			return
		}
		if f.Name == "api-key-file" {
			a.keyFileFromEnv = true
		}
		if f.Name == "addr" {
			a.addrFromEnv = true
		}
	})
	return failed
}
