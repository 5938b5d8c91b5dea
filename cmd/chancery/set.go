package main

import (
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

func newSetCommand(a *app) *cobra.Command {
	var plaintext bool
	var value valueFlags
	var write writeFlags
	c := &cobra.Command{
		Use:   "set PATH FIELD",
		Short: "Set a field; its value comes from standard input or a hidden prompt",
		Long: `Sets a field of a secret that exists. The value comes from a hidden prompt on a
terminal, else from standard input, without one line ending at its end
(--exact keeps it). It is never an argument.

The value is sealed on this machine unless --plaintext says that it is not
sensitive; then the server can read it. An encrypted field does not become
plaintext: unset it first.`,
		Example: `  chancery set agent/stripe api_key
  pass show stripe | chancery set agent/stripe api_key
  chancery set agent/tls cert --exact <cert.pem
  echo https://api.stripe.com | chancery set agent/stripe url --plaintext`,
		Args:              needs("PATH", "FIELD"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			key, err := parseField(args[1])
			if err != nil {
				return err
			}
			opts, err := write.options()
			if err != nil {
				return err
			}
			text, err := a.readValue(cmd.Context(), "Value of "+string(key)+": ", value)
			if err != nil {
				return err
			}
			if plaintext && !utf8.Valid(text) {
				return domain.Errorf(domain.CodeInvalidRequest, "a plaintext value is valid UTF-8; binary values are stored encrypted")
			}
			return a.connect(cmd, func(s session) error { return a.set(s, arg, key, text, plaintext, opts) })
		},
	}
	c.Flags().BoolVar(&plaintext, "plaintext", false, "the value is not sensitive: the server may read it")
	addValueFlags(c, &value)
	write.add(c)
	return c
}

func (a *app) set(s session, arg secretArg, key domain.FieldKey, value []byte, plaintext bool, opts []client.Option) error {
	ref, err := s.secret(arg)
	if err != nil {
		return err
	}
	field := client.PlaintextField(key, string(value))
	if !plaintext {
		if field, err = s.SealField(s.ctx, ref.Field(key), value, s.opts...); err != nil {
			return err
		}
	}
	clear(value)
	set, err := s.SetField(s.ctx, ref, field, s.with(opts...)...)
	if err != nil {
		return err
	}
	return a.say(set, "set %s/%s %s", ref, key, versionCell(set.Version))
}

func newUnsetCommand(a *app) *cobra.Command {
	var write writeFlags
	c := &cobra.Command{
		Use:   "unset PATH FIELD",
		Short: "Remove a field",
		Long: `Removes a field: its value can not be read again. The history keeps that it was
there. To make every value of a secret unreadable even in copies of the log,
delete the secret.`,
		Example:           `  chancery unset agent/stripe old_key`,
		Args:              needs("PATH", "FIELD"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			arg, err := parsePath(args[0])
			if err != nil {
				return err
			}
			key, err := parseField(args[1])
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
				gone, err := s.RemoveField(s.ctx, ref.Field(key), s.with(opts...)...)
				if err != nil {
					return err
				}
				return a.say(gone, "removed %s/%s %s", ref, key, versionCell(gone.Version))
			})
		},
	}
	write.add(c)
	return c
}
