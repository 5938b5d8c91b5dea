package main

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tree gives every command of the program that people call.
func tree(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.IsAdditionalHelpTopicCommand() {
			all = append(all, tree(sub)...)
		}
	}
	return all
}

// TestFlagTable holds the program's flags and the table in docs/cli.md equal
// both ways (invariant 2).
func TestFlagTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, real []string
	for _, m := range regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| `(CHANCERY_[A-Z_]+)` \\|").FindAllSubmatch(doc, -1) {
		documented = append(documented, string(m[1])+" "+string(m[2]))
	}
	for _, c := range tree(newRootCommand(&app{})) {
		c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				real = append(real, f.Name+" "+envName(f.Name))
			}
		})
	}
	slices.Sort(real)
	slices.Sort(documented)
	if diff := cmp.Diff(slices.Compact(real), documented); diff != "" {
		t.Error(diff)
	}
}

// TestCommandsAreWholeAndDocumented verifies that every command that does
// something says how it is used, by example too, and stands in docs/cli.md.
func TestCommandsAreWholeAndDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range tree(newRootCommand(&app{})) {
		if c.Short == "" || c.RunE == nil || c.Run != nil {
			t.Errorf("%s has no description or no RunE", c.CommandPath())
		}
		if c.PersistentPreRunE != nil && c.HasParent() {
			t.Errorf("%s hides the binding of the environment", c.CommandPath())
		}
		if c.HasSubCommands() {
			continue
		}
		if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(c.CommandPath()) + "[` ]").Match(doc) {
			t.Errorf("docs/cli.md has no row for %s", c.CommandPath())
		}
		if len(c.Use) > len(c.Name()) && c.Example == "" {
			t.Errorf("%s takes arguments and shows no example", c.CommandPath())
		}
	}
}
