package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func newRenameCommand(a *app) *cobra.Command {
	var write writeFlags
	c := &cobra.Command{
		Use:               "rename PATH NAME",
		Short:             "Change a secret's name; its id stays",
		Example:           `  chancery rename agent/stripe "Stripe (live)"`,
		Args:              needs("PATH", "NAME"),
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
			return a.connect(cmd, func(s session) error {
				ref, err := s.secret(arg)
				if err != nil {
					return err
				}
				got, err := s.UpdateSecret(s.ctx, ref, client.Patch{Name: &args[1]}, s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(got, "renamed %s %s", ref, versionCell(got.Version))
			})
		},
	}
	write.add(c)
	return c
}

// tagFlags say how tags and category change.
type tagFlags struct {
	add, remove, set []string
	clear            bool
	category         string
	write            writeFlags
}

func newTagCommand(a *app) *cobra.Command {
	var f tagFlags
	c := &cobra.Command{
		Use:   "tag PATH",
		Short: "Change a secret's tags and category",
		Long: `Changes a secret's tags, its category, or both. --add and --remove read the tags
first and change them only if nobody else has changed the secret in between;
--set replaces the set whatever it was, --clear empties it.`,
		Example: `  chancery tag agent/stripe --add prod,eu --remove test
  chancery tag agent/stripe --set prod
  chancery tag agent/stripe --category payments`,
		Args:              needs("PATH"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			opts, err := f.write.options()
			if err != nil {
				return err
			}
			if len(f.add)+len(f.remove)+len(f.set) == 0 && !f.clear && f.category == "" {
				return usagef("nothing to change: pass --add, --remove, --set, --clear or --category")
			}
			return a.connect(cmd, func(s session) error {
				ref, err := s.secret(arg)
				if err != nil {
					return err
				}
				got, err := s.tag(ref, f, opts)
				if err != nil {
					return err
				}
				return a.say(got, "tagged %s %s", ref, versionCell(got.Version))
			})
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.add, "add", nil, "add these `TAGS` (a,b or repeated)")
	fl.StringSliceVar(&f.remove, "remove", nil, "remove these `TAGS`")
	fl.StringSliceVar(&f.set, "set", nil, "replace all tags by these `TAGS`")
	fl.BoolVar(&f.clear, "clear", false, "remove all tags")
	fl.StringVar(&f.category, "category", "", "new `CATEGORY`")
	f.write.add(c)
	for _, other := range []string{"add", "remove"} {
		c.MarkFlagsMutuallyExclusive(other, "set")
		c.MarkFlagsMutuallyExclusive(other, "clear")
	}
	c.MarkFlagsMutuallyExclusive("set", "clear")
	return c
}

// maxTagAttempts bounds how often a change is decided anew because somebody
// else changed the secret in between.
const maxTagAttempts = 5

func (s session) tag(ref client.SecretRef, f tagFlags, opts []client.Option) (client.Aggregate, error) {
	var patch client.Patch
	if f.category != "" {
		patch.Category = &f.category
	}
	if f.clear || len(f.set) > 0 {
		patch.Tags = &f.set
	}
	if len(f.add)+len(f.remove) == 0 {
		return s.UpdateSecret(s.ctx, ref, patch, s.with(opts...)...)
	}
	for n := 1; ; n++ {
		now, err := s.metadata(ref)
		if err != nil {
			return client.Aggregate{}, err
		}
		tags := retag(now.Tags, f.add, f.remove)
		patch.Tags = &tags
		conditional := opts
		if f.write.ifMatch == "" {
			conditional = append(slices.Clone(opts), client.IfMatch(now.Version))
		}
		got, err := s.UpdateSecret(s.ctx, ref, patch, s.with(conditional...)...)
		raced := f.write.ifMatch == "" && errors.Is(err, domain.Errorf(domain.CodeVersionMismatch, ""))
		if !raced || n == maxTagAttempts {
			return got, err
		}
	}
}

func retag(tags, add, remove []string) []string {
	all := slices.Concat(tags, add)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(t string) bool { return slices.Contains(remove, t) })
}

// metadata finds a secret in its scope's list: no value is read for it.
func (s session) metadata(ref client.SecretRef) (client.Aggregate, error) {
	for row, err := range s.Secrets(s.ctx, ref.Scope, client.Filter{Text: string(ref.ID)}, s.opts...) {
		if err != nil || row.SecretID == string(ref.ID) {
			return row, err
		}
	}
	return client.Aggregate{}, domain.Errorf(domain.CodeSecretNotFound, "there is no such secret")
}
