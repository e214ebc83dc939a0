// Package manual writes a program's reference from its command tree: a manual
// page (man(7)) and a page of the documentation. What a program says of itself
// with --help is the only source, so that the three cannot drift apart.
package manual

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// An Exit is an exit code and what it means.
type Exit struct {
	Code    string
	Meaning string
}

// verbs returns the commands below root that do something, or say something
// of those below them, in the order of their names. What cobra adds is left out.
func verbs(root *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range root.Commands() {
		switch {
		case c.Hidden || c.Name() == "help" || c.Deprecated != "":
		case c.HasSubCommands() && c.Long != "":
			all = append(append(all, c), verbs(c)...)
		case c.HasSubCommands():
			all = append(all, verbs(c)...)
		default:
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *cobra.Command) int { return cmp.Compare(a.CommandPath(), b.CommandPath()) })
	return all
}

// A flag is one flag in words: "-o, --output FILE".
type flag struct{ name, usage string }

// flagsOf returns the flags of a set, but for help and version, which all have.
func flagsOf(set *pflag.FlagSet) []flag {
	var all []flag
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind = strings.TrimSuffix(kind, "Array"); kind != "" { // that it may be repeated is in the usage
			name += " " + kind
		}
		if d := defaultOf(f); d != "" {
			usage += " (default " + d + ")"
		}
		all = append(all, flag{name, usage})
	})
	return all
}

// defaultOf returns a default that is worth telling.
func defaultOf(f *pflag.Flag) string {
	if slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) || strings.Contains(f.Usage, "default") {
		return ""
	}
	return f.DefValue
}

// local are the flags a command has for itself.
func local(cmd *cobra.Command) []flag { return flagsOf(cmd.LocalNonPersistentFlags()) }

// A block of a text: a paragraph in one line, or lines that stay as they are.
type block struct {
	text string
	asIs bool
}

// blocks splits what a command says of itself. Lines that begin with two
// spaces stay as they are, as --help shows them.
func blocks(text string) []block {
	var all []block
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(strings.Trim(part, "\n"), "\n")
		if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  ") }) {
			all = append(all, block{strings.Join(lines, "\n"), true})
			continue
		}
		all = append(all, block{strings.Join(lines, " "), false})
	}
	return all
}

// about is what there is to read about a command: its long text, else its
// short one as a sentence.
func about(cmd *cobra.Command) []block {
	if cmd.Long != "" {
		return blocks(cmd.Long)
	}
	return []block{{sentence(cmd.Short), false}}
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// examples are the lines of a command's examples.
func examples(cmd *cobra.Command) []string {
	var all []string
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// invocation is how a command is called, in one line.
func invocation(cmd *cobra.Command) string {
	line := cmd.Use
	if cmd.HasParent() {
		line = cmd.Parent().CommandPath() + " " + line
	}
	return line
}
