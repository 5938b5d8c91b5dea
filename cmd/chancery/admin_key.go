package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func newKeyCommand(a *app, f *adminFlags) *cobra.Command {
	return newGroup("key", "Issue, revoke and list API keys",
		newKeyIssueCommand(a, f), newKeyRevokeCommand(a, f), newKeyListCommand(a, f))
}

// keyFlags say what key to issue and where to put it.
type keyFlags struct {
	expiresAt string
	expiresIn time.Duration
	note      string
	out       string
	write     writeFlags
}

func newKeyIssueCommand(a *app, f *adminFlags) *cobra.Command {
	var k keyFlags
	c := &cobra.Command{
		Use:   "issue AGENT",
		Short: "Issue an API key; it is shown this once",
		Long: `Issues an API key for an agent. The key goes to standard output alone on one
line, or to a new file of mode 0600 with --out. It is never shown again.`,
		Example: `  chancery admin key issue agt_01J… --out deployer.key
  chancery admin key issue agt_01J… --expires-in 720h --note "CI runner"`,
		Args:              needs("AGENT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			terms, err := k.terms()
			if err != nil {
				return err
			}
			opts, err := k.write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				org, err := s.organization(f)
				if err != nil {
					return err
				}
				return a.issueKey(s, org, domain.AgentID(args[0]), terms, k.out, opts)
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&k.expiresAt, "expires-at", "", "the key stops working at this `TIME` (RFC 3339)")
	fl.DurationVar(&k.expiresIn, "expires-in", 0, "the key stops working after this `DURATION`")
	fl.StringVar(&k.note, "note", "", "`TEXT` that tells the key from others")
	fl.StringVar(&k.out, "out", "", "write the key to this new `FILE` (mode 0600)")
	k.write.addKey(c)
	c.MarkFlagsMutuallyExclusive("expires-at", "expires-in")
	return c
}

func (k *keyFlags) terms() (client.KeyTerms, error) {
	terms := client.KeyTerms{Note: k.note}
	if k.expiresAt != "" {
		at, err := time.Parse(time.RFC3339, k.expiresAt)
		if err != nil {
			return terms, usagef("--expires-at takes a time such as 2026-01-31T12:00:00Z")
		}
		terms.ExpiresAt = at
	}
	if k.expiresIn < 0 {
		return terms, usagef("--expires-in is positive")
	}
	if k.expiresIn > 0 {
		terms.ExpiresAt = time.Now().Add(k.expiresIn)
	}
	return terms, nil
}

// issueKey makes the file first: a key that can't be kept is not issued.
func (a *app) issueKey(s session, org domain.OrgID, agent domain.AgentID, terms client.KeyTerms, out string, opts []client.Option) (err error) {
	var file *os.File
	if out != "" {
		if file, err = os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return fmt.Errorf("key file: %w", err)
		}
	}
	key, err := s.Admin().IssueKey(s.ctx, org, agent, terms, s.with(opts...)...)
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Close(), os.Remove(out))
		}
		return err
	}
	if file == nil {
		if !a.json {
			fmt.Fprintf(a.stderr, "issued %s for %s; the key is not shown again\n", key.ID, agent)
		}
		return a.say(key, "%s", string(key.APIKey))
	}
	_, err = fmt.Fprintln(file, string(key.APIKey))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("key file, with %s issued and to be revoked: %w", key.ID, err)
	}
	data := struct {
		ID   string `json:"id"`
		File string `json:"file"`
	}{key.ID, out}
	return a.say(data, "%s", key.ID)
}

func newKeyRevokeCommand(a *app, f *adminFlags) *cobra.Command {
	var write writeFlags
	c := &cobra.Command{
		Use:               "revoke AGENT KEY",
		Short:             "Make an API key stop working, at once",
		Example:           `  chancery admin key revoke agt_01J… key_01J…`,
		Args:              needs("AGENT", "KEY"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := domain.ParseAPIKeyID(args[1])
			if err != nil {
				// A token in place of its id must not be repeated.
				return usagef("KEY is a key's id, such as key_01J… (chancery admin key list AGENT)")
			}
			opts, err := write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				org, err := s.organization(f)
				if err != nil {
					return err
				}
				got, err := s.Admin().RevokeKey(s.ctx, org, domain.AgentID(args[0]), key, s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "revoked %s", key)
			})
		},
	}
	write.addKey(c)
	return c
}

func newKeyListCommand(a *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use:               "list AGENT",
		Short:             "List an agent's API keys, without the keys themselves",
		Example:           `  chancery admin key list agt_01J…`,
		Args:              needs("AGENT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.connect(cmd, func(s session) error {
				org, err := s.organization(f)
				if err != nil {
					return err
				}
				rows, err := s.Admin().ListKeys(s.ctx, org, domain.AgentID(args[0]), s.opts...)
				if err != nil {
					return err
				}
				return a.emit(rows, func(w io.Writer) error {
					t := newTable("ID", "NOTE", "CREATED", "EXPIRES", "REVOKED", "LOOKUP")
					for _, r := range rows {
						t.add(r.ID, r.Note, timeCell(&r.CreatedAt), timeCell(r.ExpiresAt), timeCell(r.RevokedAt), r.LookupID)
					}
					return a.print(w, t)
				})
			})
		},
	}
}
