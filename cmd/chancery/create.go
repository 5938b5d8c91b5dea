package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chancery-dev/chancery/client"
	"github.com/chancery-dev/chancery/domain"
)

// createFlags say what to create. Only what is declared plaintext comes from
// the arguments.
type createFlags struct {
	name, category string
	tags           []string
	fields         []string // keys; values from prompt or standard input
	fieldFiles     []string // KEY=FILE
	fieldsJSON     bool
	plaintext      []string // KEY=VALUE
	value          valueFlags
	write          writeFlags
}

func newCreateCommand(a *app) *cobra.Command {
	var f createFlags
	c := &cobra.Command{
		Use:   "create PATH",
		Short: "Create a secret with its first fields",
		Long: `Creates a secret with its first fields, all or nothing. Encrypted fields are
sealed on this machine. Their values come from a hidden prompt each, from
standard input (one --field, or --fields-json), or from files.

Creating an identical secret again changes nothing; a secret whose fields are
encrypted is never identical, since every sealing is different.

Names, categories and tags stay in the history for ever: no value belongs there.`,
		Example: `  chancery create agent/stripe --category payments --field api_key
  pass show stripe | chancery create agent/stripe --field api_key
  chancery create proj_01J…/db --name "Main database" --tag prod,eu \
      --plaintext-field host=db.internal --field-file tls.key=./tls.key
  echo '{"user":"app","password":"…"}' | chancery create agent/db --fields-json`,
		Args:              needs("PATH"),
		ValidArgsFunction: completeScope,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.create(cmd.Context(), cmd, args[0], &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.name, "name", "", "`NAME` for people; the secret's id if not given")
	fl.StringVar(&f.category, "category", "general", "`CATEGORY` (a-z 0-9 _)")
	fl.StringSliceVar(&f.tags, "tag", nil, "`TAGS` (a,b or repeated)")
	fl.StringArrayVar(&f.fields, "field", nil, "encrypted field `KEY`; its value is prompted for or read from standard input (repeatable)")
	fl.StringArrayVar(&f.fieldFiles, "field-file", nil, "encrypted field `KEY=FILE` with the file's exact bytes (repeatable)")
	fl.BoolVar(&f.fieldsJSON, "fields-json", false, `encrypted fields from standard input: {"KEY": "VALUE", …}`)
	fl.StringArrayVar(&f.plaintext, "plaintext-field", nil, "field `KEY=VALUE` that the server can read; never for anything sensitive (repeatable)")
	addValueFlags(c, &f.value)
	f.write.add(c)
	c.MarkFlagsMutuallyExclusive("field", "fields-json")
	return c
}

func addValueFlags(c *cobra.Command, v *valueFlags) {
	c.Flags().BoolVar(&v.exact, "exact", false, "keep a line ending at the end of standard input")
	c.Flags().BoolVar(&v.allowEmpty, "allow-empty", false, "accept an empty value")
}

func (a *app) create(ctx context.Context, cmd *cobra.Command, path string, f *createFlags) error {
	arg, err := parsePath(path)
	if err != nil {
		return err
	}
	opts, err := f.write.options()
	if err != nil {
		return err
	}
	// Everything typed is checked before anybody is asked for a value.
	plain, err := f.plaintextFields()
	if err != nil {
		return err
	}
	values, err := a.createValues(ctx, f)
	if err != nil {
		return err
	}
	if err := distinct(plain, values); err != nil {
		return err
	}
	secret := client.NewSecret{Name: f.name, Category: f.category, Tags: f.tags, Fields: plain}
	if secret.Name == "" {
		secret.Name = string(arg.id)
	}
	return a.connect(cmd, func(s session) error {
		ref, err := s.secret(arg)
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			sealed, err := s.SealField(s.ctx, ref.Field(key), values[key], s.opts...)
			clear(values[key])
			if err != nil {
				return err
			}
			secret.Fields = append(secret.Fields, sealed)
		}
		var meta client.Meta
		made, err := s.CreateSecret(s.ctx, ref, secret, s.with(append(opts, client.WithMeta(&meta))...)...)
		if err != nil {
			return err
		}
		word := "created"
		if meta.Status == http.StatusOK {
			word = "unchanged"
		}
		return a.say(made, "%s %s %s", word, ref, versionCell(made.Version))
	})
}

// createValues reads the values of all encrypted fields.
func (a *app) createValues(ctx context.Context, f *createFlags) (map[domain.FieldKey][]byte, error) {
	values := map[domain.FieldKey][]byte{}
	add := func(key string, read func() ([]byte, error)) error {
		k, err := parseField(key)
		if err != nil {
			return err
		}
		if _, twice := values[k]; twice {
			return usagef("field %s is given twice", k)
		}
		values[k], err = read()
		return err
	}
	for _, pair := range f.fieldFiles {
		key, name, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--field-file takes KEY=FILE")
		}
		if err := add(key, func() ([]byte, error) { return readValueFile(name, f.value.allowEmpty) }); err != nil {
			return nil, err
		}
	}
	if f.fieldsJSON {
		text, err := a.readAll(ctx, domain.MaxFields*domain.MaxValueLen)
		if err != nil {
			return nil, err
		}
		given, err := decodeValues(text)
		if err != nil {
			return nil, err
		}
		for key, value := range given {
			read := func() ([]byte, error) { return []byte(value), checkValue([]byte(value), f.value.allowEmpty) }
			if err := add(key, read); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	if _, tty := terminal(a.stdin); !tty && len(f.fields) > 1 {
		return nil, usagef("standard input is one value: with several fields use --fields-json or --field-file")
	}
	for _, key := range f.fields {
		read := func() ([]byte, error) { return a.readValue(ctx, fmt.Sprintf("Value of %s: ", key), f.value) }
		if err := add(key, read); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func readValueFile(name string, allowEmpty bool) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("value file: %w", err)
	}
	if info.Size() > domain.MaxValueLen {
		return nil, checkValue(make([]byte, domain.MaxValueLen+1), allowEmpty)
	}
	value, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("value file: %w", err)
	}
	return value, checkValue(value, allowEmpty)
}

func (f *createFlags) plaintextFields() ([]domain.Field, error) {
	var fields []domain.Field
	for _, pair := range f.plaintext {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--plaintext-field takes KEY=VALUE")
		}
		k, err := parseField(key)
		if err != nil {
			return nil, err
		}
		fields = append(fields, client.PlaintextField(k, value))
	}
	return fields, nil
}

func distinct(plain []domain.Field, sealed map[domain.FieldKey][]byte) error {
	seen := map[domain.FieldKey]bool{}
	for _, f := range plain {
		if _, twice := sealed[f.Key]; twice || seen[f.Key] {
			return usagef("field %s is given twice", f.Key)
		}
		seen[f.Key] = true
	}
	return nil
}
