package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// adminFlags are the flags of all admin commands.
type adminFlags struct{ org string }

func newAdminCommand(a *app) *cobra.Command {
	var f adminFlags
	c := newGroup("admin", "Manage organizations, teams, projects, agents, memberships and keys",
		newDirectoryCommand(a, &f, domain.ScopeOrg),
		newDirectoryCommand(a, &f, domain.ScopeTeam),
		newDirectoryCommand(a, &f, domain.ScopeProject),
		newDirectoryCommand(a, &f, domain.ScopeAgent),
		newMembershipCommand(a, &f),
		newKeyCommand(a, &f),
	)
	c.GroupID = groupAdmin
	c.Long = `Manages organizations, teams, projects, agents, their memberships and API keys.
It needs the key of an admin; memberships of a scope also that of its manager.`
	c.Example = `  chancery admin team create Payments
  chancery admin project create Checkout --team team_01J…
  chancery admin agent create deployer
  chancery admin membership grant agt_01J… project/proj_01J… --role writer
  chancery admin key issue agt_01J… --out deployer.key`
	c.PersistentFlags().StringVar(&f.org, "org", "", "`ORG` to manage; the caller's own if not given")
	return c
}

// organization gives the org that the command is about.
func (s session) organization(f *adminFlags) (domain.OrgID, error) {
	if f.org != "" {
		org, err := domain.ParseOrgID(f.org)
		if err != nil {
			return "", usagef("--org takes an organization's id, such as org_01J…")
		}
		return org, nil
	}
	me, err := s.Whoami(s.ctx, s.opts...)
	return domain.OrgID(me.OrgID), err
}

// item gives the scope with the typed id. An org's id is also its org.
func (s session) item(f *adminFlags, kind domain.ScopeKind, id string) (domain.OrgID, domain.Scope, error) {
	scope := domain.Scope{Kind: kind, ID: id}
	if kind == domain.ScopeOrg {
		org, err := domain.ParseOrgID(id)
		return org, scope, err
	}
	org, err := s.organization(f)
	return org, scope, err
}

// newDirectoryCommand makes the commands for one kind of item.
func newDirectoryCommand(a *app, f *adminFlags, kind domain.ScopeKind) *cobra.Command {
	name := string(kind)
	return newGroup(name, "Create, list, rename, archive and restore "+name+"s",
		newItemCreateCommand(a, f, kind),
		newItemListCommand(a, f, kind),
		newItemRenameCommand(a, f, kind),
		newItemArchiveCommand(a, f, kind, "archive", true),
		newItemArchiveCommand(a, f, kind, "restore", false),
	)
}

func newItemCreateCommand(a *app, f *adminFlags, kind domain.ScopeKind) *cobra.Command {
	var team string
	var write writeFlags
	c := &cobra.Command{
		Use:               "create NAME",
		Short:             "Create: prints the new " + string(kind) + "'s id",
		Example:           "  chancery admin " + string(kind) + " create Example",
		Args:              needs("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				made, err := s.createItem(f, kind, args[0], team, s.with(opts...))
				if err != nil {
					return err
				}
				return a.say(made, "%s", made.ID)
			})
		},
	}
	if kind == domain.ScopeProject {
		c.Flags().StringVar(&team, "team", "", "`TEAM` that the project lies in")
	}
	write.addKey(c)
	return c
}

func (s session) createItem(f *adminFlags, kind domain.ScopeKind, name, team string, opts []client.Option) (client.DirectoryItem, error) {
	if kind == domain.ScopeOrg {
		return s.Admin().CreateOrg(s.ctx, name, opts...)
	}
	org, err := s.organization(f)
	if err != nil {
		return client.DirectoryItem{}, err
	}
	switch kind {
	case domain.ScopeTeam:
		return s.Admin().CreateTeam(s.ctx, org, name, opts...)
	case domain.ScopeProject:
		return s.Admin().CreateProject(s.ctx, org, name, team, opts...)
	case domain.ScopeAgent:
		return s.Admin().CreateAgent(s.ctx, org, name, opts...)
	case domain.ScopeOrg:
	}
	return client.DirectoryItem{}, errors.New("unknown kind of item")
}

func newItemListCommand(a *app, f *adminFlags, kind domain.ScopeKind) *cobra.Command {
	return &cobra.Command{
		Use:               "list",
		Short:             "List all " + string(kind) + "s",
		Args:              needs(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.connect(cmd, func(s session) error {
				rows, err := s.listItems(f, kind)
				if err != nil {
					return err
				}
				return a.emit(rows, func(w io.Writer) error {
					t := newTable("ID", "NAME", "TEAM", "CREATED", "ARCHIVED")
					for _, r := range rows {
						t.add(r.ID, r.Name, r.TeamID, timeCell(&r.CreatedAt), timeCell(r.ArchivedAt))
					}
					return a.print(w, t)
				})
			})
		},
	}
}

func (s session) listItems(f *adminFlags, kind domain.ScopeKind) ([]client.DirectoryItem, error) {
	if kind == domain.ScopeOrg {
		return s.Admin().ListOrgs(s.ctx, s.opts...)
	}
	org, err := s.organization(f)
	if err != nil {
		return nil, err
	}
	return s.Admin().ListScopes(s.ctx, org, kind, s.opts...)
}

func newItemRenameCommand(a *app, f *adminFlags, kind domain.ScopeKind) *cobra.Command {
	var write writeFlags
	c := &cobra.Command{
		Use:               "rename ID NAME",
		Short:             "Rename; the id stays",
		Example:           "  chancery admin " + string(kind) + " rename " + kind.Prefix() + "01J… Example",
		Args:              needs("ID", "NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				org, scope, err := s.item(f, kind, args[0])
				if err != nil {
					return err
				}
				got, err := s.Admin().Rename(s.ctx, org, scope, args[1], s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "renamed %s", scope)
			})
		},
	}
	write.addKey(c)
	return c
}

func newItemArchiveCommand(a *app, f *adminFlags, kind domain.ScopeKind, verb string, archived bool) *cobra.Command {
	short := "Archive: what is there may only be seen and deleted"
	if kind == domain.ScopeAgent {
		short = "Archive: the agent's keys stop working"
	}
	if !archived {
		short = "Lift the archiving"
	}
	var write writeFlags
	c := &cobra.Command{
		Use:               verb + " ID",
		Short:             short,
		Example:           "  chancery admin " + string(kind) + " " + verb + " " + kind.Prefix() + "01J…",
		Args:              needs("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				org, scope, err := s.item(f, kind, args[0])
				if err != nil {
					return err
				}
				got, err := s.Admin().SetArchived(s.ctx, org, scope, archived, s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "%sd %s", verb, scope)
			})
		},
	}
	write.addKey(c)
	return c
}
