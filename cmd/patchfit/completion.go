package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/browse"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/manual"
	"github.com/patchfit/patchfit/internal/publish"
)

func completionCommand(sh *shell.Shell) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "completion SHELL",
		Short:   "print what makes bash, zsh or fish complete this program's words",
		Example: "  patchfit completion bash > /etc/bash_completion.d/patchfit",
		Long: `Print a script for bash, zsh or fish. With it they complete commands, options,
and, where a server answers within two seconds, repositories and tags.

  bash   patchfit completion bash > /etc/bash_completion.d/patchfit
  zsh    patchfit completion zsh > "${fpath[1]}/_patchfit"
  fish   patchfit completion fish > ~/.config/fish/completions/patchfit.fish`,
		Args: shell.Exactly("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(sh.Stdout, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(sh.Stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(sh.Stdout, true)
			}
			return exit.BadUsage(fmt.Errorf("no completion for %s", args[0]), "one of: bash, zsh, fish")
		},
	}
	cmd.ValidArgs = []string{"bash", "zsh", "fish"}
	return cmd
}

func manCommand(sh *shell.Shell) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "man --output DIR",
		Short:   "write the manual page of this program",
		Example: "  patchfit man -o /usr/local/share/man/man1",
		Args:    shell.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := filepath.Join(output, "patchfit.1")
			if err := os.MkdirAll(output, 0o755); err != nil {
				return fmt.Errorf("making the directory: %w", err)
			}
			if err := shell.ReplaceFile(path, manual.Man(cmd.Root(), exit.Codes())); err != nil {
				return fmt.Errorf("writing the manual page: %w", err)
			}
			v := struct {
				SchemaVersion int    `json:"schemaVersion"`
				File          string `json:"file"`
			}{1, path}
			return sh.Print(v, func(w io.Writer) { fmt.Fprintln(w, path) })
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "directory for it; it is made where it is missing")
	shell.Required(cmd, "output")
	return cmd
}

// A completer offers words.
type completer = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// complete says which words there are where. It does so for the whole tree, so
// that each command is about what it does.
func complete(sh *shell.Shell, root *cobra.Command) {
	references := map[string]int{ // place of the reference among the arguments
		"tree": 0, "ls": 0, "mirror pull": 0, "mirror copy": 0, "rm": 0, "attest": 0, "verify": 0, "why": 1,
		"audit who-built": 0, "env show": 0, "env diff": anywhere, "lint": 0, "diff": anywhere,
	}
	for path, place := range references {
		if cmd, _, err := root.Find(strings.Fields(path)); err == nil {
			cmd.ValidArgsFunction = referencesAt(sh, place, path != "ls" && path != "audit who-built")
		}
	}
	words := map[string]map[string][]string{
		"":                      {"format": {"text", "json"}},
		"admin grant":           {"role": {"publisher", "rebuilder", "auditor", "admin"}},
		"admin host":            {"state": {"active", "suspended", "revoked"}},
		"robot create":          {"role": {"publisher", "rebuilder", "auditor"}},
		"attest":                {"type": {"provenance", "environment", "base", "livepatch"}},
		"verify":                {"type": {"provenance", "environment", "base", "livepatch"}},
		"revoke":                {"kind": {"payload", "subject", "key", "environment", "builder-image"}, "to": nil},
		"publish builder-image": {"to": nil},
		"publish base":          {"to": nil},
		"publish patch":         {"to": nil},
	}
	for path, flags := range words {
		cmd, _, err := root.Find(strings.Fields(path))
		for name, list := range flags {
			offer := cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
			if list == nil {
				offer = referencesAt(sh, anywhere, false)
			}
			if err == nil {
				_ = cmd.RegisterFlagCompletionFunc(name, offer) // a flag that is gone completes nothing
			}
		}
	}
}

// completionTime is how long somebody who pressed a key waits for a server.
const completionTime = 2 * time.Second

// anywhere is the place of what is no argument.
const anywhere = -1

// referencesAt offers repositories and their tags for the argument at place.
// What a server does not tell in time is not offered.
func referencesAt(sh *shell.Shell, place int, tags bool) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if place != anywhere && len(args) != place {
			return nil, cobra.ShellCompDirectiveDefault
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		words, err := offer(ctx, sh, word, tags)
		if err != nil || len(words) == 0 {
			return nil, cobra.ShellCompDirectiveDefault // perhaps a file
		}
		if tags && !strings.Contains(words[0][strings.LastIndex(words[0], "/")+1:], ":") {
			return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

var errNotOffered = errors.New("nothing to offer")

// offer returns references that begin with word: repositories, or, behind a
// colon, the tags of one.
func offer(ctx context.Context, sh *shell.Shell, word string, tags bool) ([]string, error) {
	before, _, colon := cutTag(word)
	ref, err := shell.ParseReference(cmp.Or(before, "x"))
	if err != nil || strings.Contains(word, "@") {
		return nil, errNotOffered
	}
	s, err := sh.Connect(ref.Server)
	if err != nil {
		return nil, err
	}
	var all []string
	prefix := ""
	switch {
	case colon && tags:
		shelf, err := publish.Browse(s.Client, ref.Repository)
		if err != nil {
			return nil, err
		}
		if all, err = shelf.Tags(ctx); err != nil {
			return nil, err
		}
		prefix = before + ":"
	default:
		v, err := browse.Repositories(ctx, s)
		if err != nil {
			return nil, err
		}
		all = v.Repositories
		if ref.Server != "" {
			prefix = ref.Server + "/"
		}
	}
	var words []string
	for _, name := range all {
		if strings.HasPrefix(prefix+name, word) {
			words = append(words, prefix+name)
		}
	}
	return words, nil
}

// cutTag cuts a reference in front of its tag.
func cutTag(s string) (name, tag string, ok bool) {
	if i := strings.LastIndex(s, ":"); i > strings.LastIndex(s, "/") {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
