package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// never takes a part of the schedule away.
const never = "never"

// scheduleFlags say what of a schedule changes.
type scheduleFlags struct {
	rotateEvery, expiresAt string
	write                  writeFlags
}

func newScheduleCommand(a *app) *cobra.Command {
	var f scheduleFlags
	c := &cobra.Command{
		Use:   "schedule PATH",
		Short: "Say when a secret's values should be replaced and when it expires",
		Long: `Says after how many days a secret's values should be replaced, when it expires, or
both. They are advice for people and reports: nothing is refused because of them.`,
		Example: `  chancery schedule agent/stripe --rotate-every 90d
  chancery schedule agent/stripe --rotate-every never --expires-at 2027-01-31T12:00:00Z`,
		Args:              needs("PATH"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			patch, err := f.patch()
			if err != nil {
				return err
			}
			opts, err := f.write.options()
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				ref, err := s.secret(arg)
				if err != nil {
					return err
				}
				got, err := s.UpdateSecret(s.ctx, ref, patch, s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "scheduled %s %s", ref, versionCell(got.Version))
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.rotateEvery, "rotate-every", "", "replace the values after so many `DAYS` (90d, or never)")
	fl.StringVar(&f.expiresAt, "expires-at", "", "the secret expires at this `TIME` (RFC 3339, or never)")
	f.write.add(c)
	return c
}

func (f *scheduleFlags) patch() (client.Patch, error) {
	var patch client.Patch
	switch f.rotateEvery {
	case "":
	case never:
		patch.RotateEvery = new(domain.RotateEvery)
	default:
		every, err := domain.ParseRotateEvery(f.rotateEvery)
		if err != nil {
			return patch, usagef("--rotate-every takes whole days from 1d to %s, or %s", domain.MaxRotateEvery, never)
		}
		patch.RotateEvery = &every
	}
	switch f.expiresAt {
	case "":
	case never:
		patch.ExpiresAt = new(time.Time)
	default:
		at, err := time.Parse(time.RFC3339, f.expiresAt)
		if err == nil {
			at, err = domain.ParseExpiry(at)
		}
		if err != nil {
			return patch, usagef("--expires-at takes a time such as 2027-01-31T12:00:00Z, or %s", never)
		}
		patch.ExpiresAt = &at
	}
	if patch == (client.Patch{}) {
		return patch, usagef("nothing to change: pass --rotate-every or --expires-at")
	}
	return patch, nil
}
