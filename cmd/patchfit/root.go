package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
)

// An app is one run of the program: its streams and the flags every verb has.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	format    string
	server    string // URL or address; "" is the one server that is known
	tokenFile string // of a bearer token to use instead of the login
	tlsKey    string
	ca        string
}

func (a *app) root() *cobra.Command {
	root := group("patchfit", "attest builds and live patches, publish them, and ask who built and got what")
	root.Version = version
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{err, "see: " + cmd.CommandPath() + " --help"}
	})
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.checkFormat() }
	f := root.PersistentFlags()
	f.StringVar(&a.format, "format", "text", "output: text or json")
	f.StringVar(&a.server, "server", "", "server's URL or address (default: the one you are logged in to)")
	f.StringVar(&a.tokenFile, "token-file", "", "file with a bearer token, an admin's or a robot's, to use instead of the login")
	f.StringVar(&a.tlsKey, "tls-key", "", "hex sha256 of the server's public key: trust it, ask no authority (with login or --token-file)")
	f.StringVar(&a.ca, "ca", "", "PEM certificates that vouch for the server (with login or --token-file)")
	root.AddCommand(
		a.keygenCommand(), a.loginCommand(), a.trustCommand(), a.adminCommand(), a.robotCommand(), a.envCommand(), a.publishCommand(),
		a.treeCommand(), a.lsCommand(), a.rmCommand(), a.mirrorCommand(),
		a.attestCommand(), a.revokeCommand(), a.verifyCommand(), a.whyCommand(), a.auditCommand(),
		a.completionCommand(), a.manCommand(),
	)
	root.CompletionOptions.DisableDefaultCmd = true
	a.complete(root)
	return root
}

func (a *app) checkFormat() error {
	if a.format != "text" && a.format != "json" {
		return usageError{fmt.Errorf("format %q is not text or json", a.format), "use --format text or --format json"}
	}
	return nil
}

// group returns a command that only has commands below it.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
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
		return usageError{fmt.Errorf("%s needs a command", cmd.CommandPath()), "one of: " + strings.Join(names, ", ")}
	}
	err := fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError{err, "did you mean: " + strings.Join(near, ", ")}
	}
	return usageError{err, "one of: " + strings.Join(names, ", ")}
}

// exactly asks for as many arguments as there are names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usageError{fmt.Errorf("%s is missing", names[len(args)]), "see: " + cmd.CommandPath() + " --help"}
		case len(args) > len(names):
			return usageError{fmt.Errorf("unexpected argument %q", args[len(names)]), "see: " + cmd.CommandPath() + " --help"}
		}
		return nil
	}
}

// required says that flags have to be given, in our words.
func required(cmd *cobra.Command, names ...string) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range names {
			if !cmd.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s is missing", name), "see: " + cmd.CommandPath() + " --help"}
			}
		}
		return run(cmd, args)
	}
	for _, name := range names {
		f := cmd.Flags().Lookup(name)
		f.Usage += " (required)"
	}
}

// print writes one answer: v as a JSON line, or what text writes.
func (a *app) print(v any, text func(w io.Writer)) error {
	if a.format != "json" {
		text(a.stdout)
		return nil
	}
	b, err := strictjson.Canonical(v)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(b, '\n'))
	return err
}

// note tells a person something that is no data.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, "%s\n", term.Printable(fmt.Sprintf(format, args...)))
}

// cells writes rows in columns, as wide as their widest cell.
func cells(w io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(term.Printable(c))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-len([]rune(c))+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// pair splits "a=b".
func pair(s, what string) (string, string, error) {
	a, b, ok := strings.Cut(s, "=")
	if !ok || a == "" || b == "" {
		return "", "", usageError{fmt.Errorf("%q is not %s", s, what), ""}
	}
	return a, b, nil
}

var errAlternatives = errors.New("only one of these can be given")

// oneOf refuses flags that exclude each other.
func oneOf(cmd *cobra.Command, names ...string) error {
	given := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !cmd.Flags().Changed(n) })
	if len(given) > 1 {
		return usageError{fmt.Errorf("%w: --%s", errAlternatives, strings.Join(given, ", --")), ""}
	}
	return nil
}
