package shell

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
)

// Group returns a command that only has commands below it.
func Group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !cmd.HasParent() {
				return cmd.Help()
			}
			return strayed(cmd, args)
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(children...)
	return cmd
}

// strayed says which commands there are below cmd.
func strayed(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if len(args) == 0 {
		return exit.BadUsage(fmt.Errorf("%s needs a command", cmd.CommandPath()), "one of: "+strings.Join(names, ", "))
	}
	err := fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return exit.BadUsage(err, "did you mean: "+strings.Join(near, ", "))
	}
	return exit.BadUsage(err, "one of: "+strings.Join(names, ", "))
}

// Exactly asks for as many arguments as there are names.
func Exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return exit.BadUsage(fmt.Errorf("%s is missing", names[len(args)]), "see: "+cmd.CommandPath()+" --help")
		case len(args) > len(names):
			return exit.BadUsage(fmt.Errorf("unexpected argument %q", args[len(names)]), "see: "+cmd.CommandPath()+" --help")
		}
		return nil
	}
}

// ID refuses what cannot be the id of what it should be, before a server is asked.
// where says where ids are listed.
func ID(s, what, where string) error {
	if id, err := uuid.Parse(s); err != nil || id.String() != s {
		return exit.BadUsage(fmt.Errorf("%.80q is not the id of a %s", s, what), "ids are listed by: "+where)
	}
	return nil
}

// OneID asks for one argument, an id.
func OneID(name, what, where string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := Exactly(name)(cmd, args); err != nil {
			return err
		}
		return ID(args[0], what, where)
	}
}

// Required says that flags have to be given, in our words.
func Required(cmd *cobra.Command, names ...string) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range names {
			if !cmd.Flags().Changed(name) {
				return exit.BadUsage(fmt.Errorf("--%s is missing", name), "see: "+cmd.CommandPath()+" --help")
			}
		}
		return run(cmd, args)
	}
	for _, name := range names {
		f := cmd.Flags().Lookup(name)
		f.Usage += " (required)"
	}
}

// Pair splits "a=b".
func Pair(s, what string) (string, string, error) {
	a, b, ok := strings.Cut(s, "=")
	if !ok || a == "" || b == "" {
		return "", "", exit.BadUsage(fmt.Errorf("%q is not %s", s, what), "")
	}
	return a, b, nil
}

var errAlternatives = errors.New("only one of these can be given")

// OneOf refuses flags that exclude each other.
func OneOf(cmd *cobra.Command, names ...string) error {
	given := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !cmd.Flags().Changed(n) })
	if len(given) > 1 {
		return exit.BadUsage(fmt.Errorf("%w: --%s", errAlternatives, strings.Join(given, ", --")), "leave all but one out")
	}
	return nil
}

// Digest reads a digest that somebody typed.
func Digest(s string) (attest.Digest, error) {
	d, err := attest.ParseDigest(s)
	if err != nil {
		return "", exit.BadUsage(err, "give it whole, as patchfit tree and patchfit publish print it")
	}
	return d, nil
}
