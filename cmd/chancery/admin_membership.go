package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/domain"
)

func newMembershipCommand(a *app, f *adminFlags) *cobra.Command {
	return newGroup("membership", "Grant, revoke and list the roles of an agent",
		newGrantCommand(a, f), newRevokeCommand(a, f), newMembershipListCommand(a, f))
}

// rolesHelp explains the roles once, for both commands that take one.
const rolesHelp = `Ranked roles, each including the one before: viewer (metadata, history), reader
(and values), writer (and changes), manager (and memberships of the scope).
On an org, auditor and admin stand beside the ranked role.`

func newGrantCommand(a *app, f *adminFlags) *cobra.Command {
	var role string
	var write writeFlags
	c := &cobra.Command{
		Use:   "grant AGENT SCOPE",
		Short: "Give an agent a role on an org, team or project",
		Long:  "Gives an agent a role on a scope, in place of the ranked role it had there.\n\n" + rolesHelp,
		Example: `  chancery admin membership grant agt_01J… project/proj_01J…
  chancery admin membership grant agt_01J… org --role auditor`,
		Args:              needs("AGENT", "SCOPE"),
		ValidArgsFunction: completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := domain.ParseRole(role)
			if err != nil {
				return usagef("--role is one of viewer, reader, writer, manager, auditor, admin")
			}
			opts, err := write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				org, scope, err := s.member(f, args[1])
				if err != nil {
					return err
				}
				got, err := s.Admin().Grant(s.ctx, org, domain.AgentID(args[0]), scope, r, s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "granted %s %s on %s", args[0], r, scope)
			})
		},
	}
	c.Flags().StringVar(&role, "role", string(domain.RoleWriter), "`ROLE` to give")
	write.addKey(c)
	completeRole(c)
	return c
}

func newRevokeCommand(a *app, f *adminFlags) *cobra.Command {
	var role string
	var write writeFlags
	c := &cobra.Command{
		Use:   "revoke AGENT SCOPE",
		Short: "Take an agent's role on a scope away, at once",
		Long:  "Takes a role away, effective with the agent's next request. Without --role it is\nthe ranked one.\n\n" + rolesHelp,
		Example: `  chancery admin membership revoke agt_01J… project/proj_01J…
  chancery admin membership revoke agt_01J… org --role auditor`,
		Args:              needs("AGENT", "SCOPE"),
		ValidArgsFunction: completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			if role != "" {
				if _, err := domain.ParseRole(role); err != nil {
					return usagef("--role is one of viewer, reader, writer, manager, auditor, admin")
				}
			}
			opts, err := write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				org, scope, err := s.member(f, args[1])
				if err != nil {
					return err
				}
				got, err := s.Admin().Revoke(s.ctx, org, domain.AgentID(args[0]), scope, domain.Role(role), s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "revoked %s %s on %s", args[0], got.Role, scope)
			})
		},
	}
	c.Flags().StringVar(&role, "role", "", "`ROLE` to take away; the ranked one if not given")
	write.addKey(c)
	completeRole(c)
	return c
}

func newMembershipListCommand(a *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use:               "list AGENT",
		Short:             "List an agent's roles",
		Example:           `  chancery admin membership list agt_01J…`,
		Args:              needs("AGENT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.connect(cmd, func(s session) error {
				org, err := s.organization(f)
				if err != nil {
					return err
				}
				rows, err := s.Admin().ListMemberships(s.ctx, org, domain.AgentID(args[0]), s.opts...)
				if err != nil {
					return err
				}
				return a.emit(rows, func(w io.Writer) error {
					t := newTable("SCOPE", "ROLE", "GRANTED", "BY")
					for _, r := range rows {
						t.add(r.Scope+"/"+r.ScopeID, r.Role, timeCell(&r.GrantedAt), r.GrantedBy)
					}
					return a.print(w, t)
				})
			})
		},
	}
}

// member gives the org and the scope of a membership; "org" is the org that
// the command is about.
func (s session) member(f *adminFlags, text string) (domain.OrgID, domain.Scope, error) {
	arg, err := parseScopeArg(text)
	if err != nil {
		return "", domain.Scope{}, err
	}
	org, err := s.organization(f)
	if err != nil {
		return "", domain.Scope{}, err
	}
	if arg.id == "" && arg.kind == domain.ScopeOrg {
		arg.id = string(org)
	}
	scope, err := s.scope(arg)
	return org, scope, err
}

func completeMember(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeScope(c, nil, word)
}

func completeRole(c *cobra.Command) {
	roles := []string{"viewer", "reader", "writer", "manager", "auditor", "admin"}
	if err := c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is there: it was made a line above.
	}
}
