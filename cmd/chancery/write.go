package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/httpapi/wire"
)

// writeFlags are the flags of commands that change a secret.
type writeFlags struct {
	ifMatch        string
	idempotencyKey string
}

func (w *writeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&w.ifMatch, "if-match", "", "only if the secret is at this `VERSION` (7 or v7; * for any)")
	w.addKey(c)
}

// addKey adds the flag that admin commands take too.
func (w *writeFlags) addKey(c *cobra.Command) {
	c.Flags().StringVar(&w.idempotencyKey, "idempotency-key", "", "`KEY` that names this write, to repeat one whose outcome is unknown")
}

// options parses the flags; what is malformed is an error of usage.
func (w *writeFlags) options() ([]client.Option, error) {
	var opts []client.Option
	switch w.ifMatch {
	case "":
	case "*":
		opts = append(opts, client.IfExists())
	default:
		v, ok := wire.ParseUint(strings.TrimPrefix(strings.Trim(w.ifMatch, `"`), "v"))
		if !ok || v == 0 {
			return nil, usagef("--if-match takes a version such as 7 or v7, or *")
		}
		opts = append(opts, client.IfMatch(v))
	}
	if w.idempotencyKey != "" {
		if !wire.ValidToken(w.idempotencyKey) {
			return nil, usagef("--idempotency-key has 1 to 128 of A-Z a-z 0-9 . _ : -")
		}
		opts = append(opts, client.IdempotencyKey(w.idempotencyKey))
	}
	return opts, nil
}
