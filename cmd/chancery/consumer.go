package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/cmd/chancery/server"
)

func newConsumerCommand(a *app) *cobra.Command {
	return newGroup("consumer", "Services that follow the events over NATS, without values",
		newConsumerAddCommand(a), newConsumerListCommand(a), newConsumerRemoveCommand(a))
}

func newConsumerAddCommand(a *app) *cobra.Command {
	var o storeOptions
	var filters []string
	var out string
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a durable consumer of the feed, and a NATS user that may read it",
		Long: `Make a durable consumer of the events for one service, beginning at the first
event of the feed, and a NATS user that may ask about it, fetch and acknowledge
and nothing else. It is given the metadata of events as CloudEvents, never a
value. The first consumer makes the feed, the stream CHANCERY_FEED, which the
server fills.

With the embedded log the server must be stopped; from its next start on, the
user may connect where "chancery serve --nats-listen" says. With --nats-url,
nodes may go on running; the accounts that the NATS server's configuration needs
are printed to standard output: what it says of the service's account is to be
merged with what stands there.

The seed of the user's key goes to a new file (mode 0600) and is never printed.

A filter is ORG, ORG/directory, ORG/keys, ORG/KIND/ID (the secrets of a scope)
or ORG/KIND/ID/SECRET; without one the consumer is given everything.`,
		Example: `  chancery consumer add billing --data chancery-data
  chancery consumer add search --filter org_01J…/team/team_01J… --out /etc/search/chancery.nk
  chancery consumer add billing --nats-url nats://nats.example --nats-creds service.creds > accounts.conf`,
		Args: needs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			if out == "" {
				out = args[0] + ".nk"
			}
			added, err := server.AddConsumer(cmd.Context(), cfg, args[0], filters, out)
			if err != nil {
				return err
			}
			if added.Accounts != "" {
				fmt.Fprintf(a.stderr, "chancery: note: the key is in %s; the NATS server's configuration needs the accounts below\n", added.KeyFile)
				return a.say(added, "%s", strings.TrimSuffix(added.Accounts, "\n"))
			}
			return a.say(added, "added %s: stream %s, durable %s, inbox prefix %s, key in %s",
				added.Name, added.Stream, added.Name, added.InboxPrefix, added.KeyFile)
		},
	}
	f := c.Flags()
	o.bind(f)
	f.StringArrayVar(&filters, "filter", nil, "`FILTER` that selects events; may be repeated")
	f.StringVar(&out, "out", "", "new `FILE` for the seed of the user's key (default NAME.nk)")
	return c
}

func newConsumerListCommand(a *app) *cobra.Command {
	var o storeOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List the consumers and how far they are",
		Long: `List the consumers and how far they are. With the embedded log the server must
be stopped.`,
		Example: "  chancery consumer list --data chancery-data",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			list, err := server.Consumers(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return a.emit(list, func(w io.Writer) error {
				t := newTable("NAME", "FILTERS", "ACKNOWLEDGED", "UNACKNOWLEDGED", "WAITING", "USER")
				for _, s := range list {
					t.add(s.Name, strings.Join(s.Filters, " "), strconv.FormatUint(s.Acknowledged, 10),
						strconv.Itoa(s.Unacknowledged), strconv.FormatUint(s.Waiting, 10), s.User)
				}
				return a.print(w, t)
			})
		},
	}
	o.bind(c.Flags())
	return c
}

func newConsumerRemoveCommand(a *app) *cobra.Command {
	var o storeOptions
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a consumer, its user and its position",
		Long: `Remove a consumer, its user and its position. With the embedded log the
server must be stopped; with an external server, take its account and the
exports to it out of that server's configuration as well.`,
		Example: "  chancery consumer remove billing --data chancery-data",
		Args:    needs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.config(a)
			if err != nil {
				return err
			}
			if err := server.RemoveConsumer(cmd.Context(), cfg, args[0]); err != nil {
				return err
			}
			return a.say(map[string]string{"name": args[0]}, "removed %s", args[0])
		},
	}
	o.bind(c.Flags())
	return c
}
