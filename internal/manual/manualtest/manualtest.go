// Package manualtest holds a program's reference and its examples to the
// program: the pages in docs/cli and man are the ones it makes, and what an
// example shows can be typed.
package manualtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/manual"
)

// Fresh compares the pages below top, the root of the repository, with what
// the command tree makes now; with update it writes them.
func Fresh(t *testing.T, top string, root *cobra.Command, exits []manual.Exit, update bool) {
	t.Helper()
	for path, page := range map[string][]byte{
		filepath.Join(top, "docs", "cli", root.Name()+".md"): manual.Markdown(root),
		filepath.Join(top, "man", root.Name()+".1"):          manual.Man(root, exits),
	} {
		if update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, page, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v (make golden writes it)", err)
			continue
		}
		if diff := cmp.Diff(string(have), string(page)); diff != "" {
			t.Errorf("%s is stale (-page +program; make golden writes it):\n%s", path, diff)
		}
	}
}

// Examples checks that every command that does something has an example in one
// line, and that each can be typed: known command, known flags, the arguments
// it takes. tree returns a fresh command tree.
func Examples(t *testing.T, tree func() *cobra.Command) {
	t.Helper()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			visit(c)
		}
		if cmd.HasSubCommands() || !cmd.HasParent() {
			return
		}
		lines := strings.Split(cmd.Example, "\n")
		if strings.TrimSpace(cmd.Example) == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
			return
		}
		for _, line := range lines {
			if why := untypable(tree(), cmd.CommandPath(), line); why != "" {
				t.Errorf("%s: example %q: %s", cmd.CommandPath(), line, why)
			}
		}
	}
	visit(tree())
}

// untypable says why a line cannot be typed; "" where it can.
func untypable(root *cobra.Command, path, line string) string {
	if !strings.HasPrefix(line, "  "+path) {
		return "does not begin with two spaces and the command"
	}
	words := shellWords(line)
	cmd, rest, err := root.Find(words[1:])
	if err != nil {
		return err.Error()
	}
	if cmd.CommandPath() != path {
		return "is one of " + cmd.CommandPath()
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err.Error()
	}
	for _, f := range strings.Fields(cmd.Use) {
		name, long := strings.CutPrefix(strings.Trim(f, "()[]"), "--")
		if long && !strings.HasPrefix(f, "[") && !strings.HasPrefix(f, "(") && name != "" && !strings.Contains(cmd.Use, "| --"+name) && !cmd.Flags().Changed(name) {
			return "lacks --" + name + ", which the usage line asks for"
		}
	}
	return ""
}

// shellWords splits a line as a shell does where it has single quotes at most,
// and writes its output somewhere.
func shellWords(line string) []string {
	line, _, _ = strings.Cut(line, " > ")
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}
