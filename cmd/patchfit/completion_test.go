package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/manual/manualtest"
)

// TestGoldenReference holds docs/cli/patchfit.md and man/patchfit.1 to the
// program.
func TestGoldenReference(t *testing.T) {
	home(t)
	manualtest.Fresh(t, filepath.Join(packageDir, "..", ".."), newRoot(new(shell.Shell)), exit.Codes(), *update)
}

func TestExamples(t *testing.T) {
	manualtest.Examples(t, func() *cobra.Command { return newRoot(new(shell.Shell)) })
}

func TestManAndCompletionScripts(t *testing.T) {
	home(t)
	path := ok(t, "man", "-o", "share/man1")
	page := must(os.ReadFile(path))(t)
	if want := must(os.ReadFile(filepath.Join(packageDir, "..", "..", "man", "patchfit.1")))(t); string(page) != string(want) {
		t.Error("the page it writes is not the one in man/")
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if script := ok(t, "completion", shell); !strings.Contains(script, "__complete") {
			t.Errorf("%s: no script:\n%.200s", shell, script)
		}
	}
	fails(t, exit.Usage, "bash, zsh, fish", "completion", "tcsh")
	fails(t, exit.Usage, "SHELL is missing", "completion")
}

// offered returns the words that completion offers, and what it says of them.
func offered(t *testing.T, args ...string) (words []string, directive string) {
	t.Helper()
	lines := strings.Split(ok(t, append([]string{"__complete"}, args...)...), "\n")
	for _, l := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(l, "\t")
		words = append(words, word)
	}
	return words, lines[len(lines)-1]
}

func TestCompletion(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	publishAll(t)
	address := strings.TrimPrefix(s.url, "http://")
	for _, tt := range []struct{ typed, want string }{
		{"tree |", "demo/greet :6"},       // no space: a tag follows
		{"tree demo/g|", "demo/greet :6"}, //
		{"tree demo/greet:|", "demo/greet:a demo/greet:fix :4"},
		{"tree demo/greet:f|", "demo/greet:fix :4"},
		{"tree " + address + "/demo/greet:a|", address + "/demo/greet:a :4"},
		{"ls d|", "demo/greet :4"},
		{"rm other/|", ":0"},
		{"why host demo/greet:f|", "demo/greet:fix :4"},
		{"why |", ":0"},
		{"publish patch f --to d|", "demo/greet :4"},
		{"admin grant --role a|", "publisher rebuilder auditor admin :4"},
		{"completion f|", "fish :4"},
		{"tree demo/greet@|", ":0"},
		{"tree elsewhere.example.org/x|", ":0"},
	} {
		typed := strings.Split(strings.TrimSuffix(tt.typed, "|"), " ")
		words, directive := offered(t, typed...)
		if got := strings.TrimSpace(fmt.Sprint(strings.Join(words, " "), " ", directive)); got != tt.want {
			t.Errorf("%s offers %q, want %q", tt.typed, got, tt.want)
		}
	}
}
