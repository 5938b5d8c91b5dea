package main

import (
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// revealed is what reveal prints with --json. A value that is not UTF-8 is in
// base64 instead.
type revealed struct {
	Scope       domain.ScopeKind   `json:"scope"`
	ScopeID     string             `json:"scopeId"`
	SecretID    domain.SecretID    `json:"secretId"`
	FieldKey    domain.FieldKey    `json:"fieldKey"`
	Sensitivity domain.Sensitivity `json:"sensitivity"`
	Version     uint64             `json:"version"`
	Value       *string            `json:"value,omitempty"`
	ValueBase64 []byte             `json:"valueBase64,omitempty"`
}

func newRevealCommand(a *app) *cobra.Command {
	var resolve bool
	c := &cobra.Command{
		Use:   "reveal PATH FIELD",
		Short: "Open a field on this machine and print its value",
		Long: `Opens a field on this machine and prints its value to standard output exactly
as it was stored; on a terminal a line end follows.

With --resolve, PATH is a secret's id alone, and the nearest scope that has it
is used: agent, then projects, teams, org.`,
		Example: `  chancery reveal agent/stripe api_key
  export STRIPE_KEY="$(chancery reveal --resolve stripe api_key)"
  chancery reveal agent/tls cert >cert.pem`,
		Args:              needs("PATH", "FIELD"),
		ValidArgsFunction: completeScope,
		RunE: func(cmd *cobra.Command, args []string) error {
			var arg secretArg
			var err error
			if resolve {
				if arg.id, err = domain.ParseSecretID(args[0]); err != nil {
					return usagef("with --resolve, PATH is the secret's id alone")
				}
			} else if arg, err = parsePath(args[0]); err != nil {
				return err
			}
			key, err := parseField(args[1])
			if err != nil {
				return err
			}
			return a.connect(cmd, func(s session) error {
				var ref client.SecretRef
				if resolve {
					found, err := s.Resolve(s.ctx, arg.id, s.opts...)
					if err != nil {
						return err
					}
					ref = client.RefOf(found.Aggregate)
				} else if ref, err = s.secret(arg); err != nil {
					return err
				}
				got, err := s.Reveal(s.ctx, ref.Field(key), s.opts...)
				if err != nil {
					return err
				}
				return a.printRevealed(ref, key, got)
			})
		},
	}
	c.Flags().BoolVar(&resolve, "resolve", false, "PATH is a secret's id: use the nearest scope that has it")
	return c
}

func (a *app) printRevealed(ref client.SecretRef, key domain.FieldKey, got client.Revealed) error {
	defer clear(got.Value)
	if a.json {
		data := revealed{
			Scope: ref.Scope.Kind, ScopeID: ref.Scope.ID, SecretID: ref.ID, FieldKey: key,
			Sensitivity: got.Sensitivity, Version: got.Version,
		}
		if utf8.Valid(got.Value) {
			text := string(got.Value)
			data.Value = &text
		} else {
			data.ValueBase64 = got.Value
		}
		return a.emit(data, nil)
	}
	if _, err := a.stdout.Write(got.Value); err != nil {
		return err
	}
	if _, tty := terminal(a.stdout); tty {
		_, err := a.stdout.Write([]byte("\n"))
		return err
	}
	return nil
}
