package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Groups of commands in the help.
const (
	groupSecrets = "secrets"
	groupAdmin   = "admin"
	groupStore   = "store"
)

const rootLong = `Chancery stores secrets for software agents, and remembers every change.

The commands below speak to a server (--addr) as the agent whose API key stands
in CHANCERY_API_KEY or in the file that --api-key-file names (mode 0600).
Encrypted values are sealed and opened on this machine: the server never sees
them, and they are never taken from the arguments.

Every flag can be set in the environment: --foo-bar is CHANCERY_FOO_BAR, and
the flag wins. See also: chancery help paths, chancery help exit-codes.`

const rootExample = `  export CHANCERY_API_KEY_FILE=~/.chancery.key
  chancery create agent/stripe --category payments --field api_key
  chancery reveal agent/stripe api_key
  chancery history agent/stripe`

// newRootCommand gives the whole command tree.
func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:               "chancery",
		Short:             "An event-sourced secrets store for software agents",
		Long:              rootLong,
		Example:           rootExample,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.bindEnv,
		Args:              noSuchCommand,
		RunE:              showHelp,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.addr, "addr", "http://127.0.0.1:8420", "root `URL` of the server")
	f.StringVar(&a.apiKeyFile, "api-key-file", "", "`FILE` (mode 0600) with the API key; CHANCERY_API_KEY holds the key itself")
	f.BoolVar(&a.json, "json", false, "print the answer's data as JSON")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "give up after this `DURATION`; 0 means never")
	f.StringVar(&a.reason, "reason", "", "`TEXT` that stands in the record of the call, for ever")
	f.StringVar(&a.runID, "run-id", "", "`ID` of the agent's run, for the record of the call")
	root.AddGroup(
		&cobra.Group{ID: groupSecrets, Title: "Secrets:"},
		&cobra.Group{ID: groupAdmin, Title: "Administration:"},
		&cobra.Group{ID: groupStore, Title: "Server and data directory:"},
	)
	root.AddCommand(secretCommands(a)...)
	root.AddCommand(newAdminCommand(a))
	root.AddCommand(storeCommands(a)...)
	root.AddCommand(newVersionCommand(a))
	root.AddCommand(helpTopics()...)
	markFailures(root)
	return root
}

func secretCommands(a *app) []*cobra.Command {
	commands := []*cobra.Command{
		newWhoamiCommand(a), newScopesCommand(a), newListCommand(a), newCreateCommand(a), newGetCommand(a), newSetCommand(a),
		newRevealCommand(a), newRenameCommand(a), newTagCommand(a), newScheduleCommand(a), newUnsetCommand(a), newHistoryCommand(a), newAccessCommand(a),
		newDeleteCommand(a), newResolveCommand(a),
	}
	for _, c := range commands {
		c.GroupID = groupSecrets
	}
	return commands
}

// helpTopics are commands that can only be asked about.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "paths", Short: "How to name a scope, a secret and a field", Long: pathsHelp},
		{Use: "exit-codes", Short: "What the exit status means", Long: "The exit status says what kind of failure it was:\n\n" + exitTable()},
	}
}

// newGroup makes a command that only holds others.
func newGroup(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, RunE: showHelp}
	c.AddCommand(sub...)
	return c
}

func showHelp(c *cobra.Command, _ []string) error { return c.Help() }

// noSuchCommand refuses what cobra would take for an argument of a group.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	}
	return nil
}

// needs accepts exactly the named arguments; a name in brackets is optional.
func needs(names ...string) cobra.PositionalArgs {
	least := len(names)
	for least > 0 && strings.HasPrefix(names[least-1], "[") {
		least--
	}
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return fmt.Errorf("%s is missing", names[len(args)])
		case len(args) > len(names):
			// The surplus is not repeated: it may be a value.
			return fmt.Errorf("%d arguments are too many, want %q", len(args), strings.Join(names, " "))
		}
		return nil
	}
}
