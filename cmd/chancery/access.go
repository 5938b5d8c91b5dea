package main

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// accessFlags are the filters of the access log as they were typed.
type accessFlags struct {
	admin         adminFlags
	actor, action string
	scope, secret string
	outcome       string
	from, to      string
	ascending     bool
	limit         int
}

func newAccessCommand(a *app) *cobra.Command {
	var f accessFlags
	c := &cobra.Command{
		Use:   "access",
		Short: "Show who read, minted, released or was refused what; for auditors",
		Long: `Shows the access log of an organization, newest first: every read of a value,
every data key, every refusal, and who read this log. Every filter given must
hold. Asking is recorded.`,
		Example: `  chancery access --outcome denied --from 2026-01-01T00:00:00Z
  chancery access --secret project/proj_01J…/stripe --action release
  chancery access --actor agt_01J… --limit 0 --json`,
		Args:              needs(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := f.query()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error { return a.access(s, &f, q) })
		},
	}
	c.Flags().StringVar(&f.admin.org, "org", "", "`ORG` to look at; the caller's own if not given")
	c.Flags().StringVar(&f.actor, "actor", "", "only what this `AGENT` did")
	c.Flags().StringVar(&f.scope, "scope", "", "only what lies in this `SCOPE`")
	c.Flags().StringVar(&f.secret, "secret", "", "only this secret, as `PATH`")
	c.Flags().StringVar(&f.action, "action", "", "only this `ACTION`: read, mint, release, history, authenticate, …")
	c.Flags().StringVar(&f.outcome, "outcome", "", "only this `OUTCOME`: allowed, denied or failed")
	c.Flags().StringVar(&f.from, "from", "", "nothing before this `TIME` (RFC 3339)")
	c.Flags().StringVar(&f.to, "to", "", "nothing from this `TIME` on (RFC 3339)")
	c.Flags().BoolVar(&f.ascending, "ascending", false, "oldest first")
	c.Flags().IntVar(&f.limit, "limit", 100, "at most `N` records; 0 means all")
	c.MarkFlagsMutuallyExclusive("scope", "secret")
	return c
}

// query reads the filters that say themselves what they mean; see target.
func (f *accessFlags) query() (q client.AccessQuery, err error) {
	q = client.AccessQuery{Actor: f.actor, Action: f.action, Outcome: domain.Outcome(f.outcome), Ascending: f.ascending}
	if f.limit < 0 {
		return q, usagef("--limit is 0 (all) or more")
	}
	q.PageSize = min(f.limit, wire.MaxLimit)
	if q.From, err = timeFlag("from", f.from); err != nil {
		return q, err
	}
	if q.To, err = timeFlag("to", f.to); err != nil {
		return q, err
	}
	return q, nil
}

// target reads the scope or the secret that is asked for.
func (f *accessFlags) target(s session, q *client.AccessQuery) error {
	switch {
	case f.secret != "":
		arg, err := parsePath(f.secret)
		if err != nil {
			return err
		}
		ref, err := s.secret(arg)
		q.Scope, q.Secret = ref.Scope, ref.ID
		return err
	case f.scope != "":
		arg, err := parseScopeArg(f.scope)
		if err != nil {
			return err
		}
		q.Scope, err = s.scope(arg)
		return err
	}
	return nil
}

func (a *app) access(s session, f *accessFlags, q client.AccessQuery) error {
	if err := f.target(s, &q); err != nil {
		return err
	}
	org, err := s.organization(&f.admin)
	if err != nil {
		return err
	}
	rows := []client.AccessRecord{}
	for r, err := range s.Admin().Access(s.ctx, org, q, s.opts...) {
		if err != nil {
			return err
		}
		if rows = append(rows, r); len(rows) == f.limit {
			break
		}
	}
	return a.emit(rows, func(w io.Writer) error {
		t := newTable("TIME", "BY", "ACTION", "WHAT", "OUTCOME", "RULE", "FROM", "REASON")
		for _, r := range rows {
			t.add(timeCell(&r.Time), actorCell(r.Actor), r.Action, accessed(r), outcome(r), r.Rule, r.ClientIP, r.Reason)
		}
		return a.print(w, t)
	})
}

func actorCell(a *wire.Actor) string {
	switch {
	case a == nil:
		return ""
	case a.Name == "":
		return a.ID
	}
	return a.Name
}

// accessed sums up what an access was about.
func accessed(r client.AccessRecord) string {
	what := r.Scope
	for _, part := range []string{r.ScopeID, r.SecretID, r.FieldKey} {
		if part != "" {
			what += "/" + part
		}
	}
	if r.Detail != "" {
		what += " (" + r.Detail + ")"
	}
	return what
}

// outcome tells a refusal's code, and of a summary how many it stands for.
func outcome(r client.AccessRecord) string {
	text := r.Outcome
	if r.Code != "" {
		text += " " + r.Code
	}
	if r.Count > 1 {
		text += " ×" + strconv.FormatUint(r.Count, 10)
	}
	return text
}

// timeFlag reads a flag's time, zero where it was not given.
func timeFlag(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("--%s takes a time such as 2026-01-31T12:00:00Z", name)
	}
	return at, nil
}
