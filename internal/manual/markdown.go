package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Markdown returns the page of a program for the documentation.
func Markdown(root *cobra.Command) []byte {
	p := &page{}
	name := root.Name()
	p.printf("# %s\n\n<!-- made from the program by make golden; do not edit -->\n\n", name)
	p.blocks(about(root))
	p.printf("What all programs promise (output, exit codes, files) is in [the command line](../spec/cli.md).\n\n")
	p.printf("| command | what it does |\n|---|---|\n")
	for _, cmd := range verbs(root) {
		p.printf("| [%s](#%s) | %s |\n", cmd.CommandPath(), strings.ReplaceAll(cmd.CommandPath(), " ", "-"), cell(cmd.Short))
	}
	p.printf("\n")
	if all := flagsOf(root.PersistentFlags()); len(all) > 0 {
		p.printf("Every command has these options:\n\n")
		p.flags(all)
	}
	for _, cmd := range verbs(root) {
		p.command(cmd)
	}
	return []byte(strings.TrimRight(p.String(), "\n") + "\n")
}

// A page is Markdown that grows.
type page struct{ strings.Builder }

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *page) command(cmd *cobra.Command) {
	p.printf("## %s\n\n```\n%s\n```\n\n", cmd.CommandPath(), invocation(cmd))
	p.blocks(about(cmd))
	if all := local(cmd); len(all) > 0 {
		p.flags(all)
	}
	if lines := examples(cmd); len(lines) > 0 {
		p.printf("```console\n$ %s\n```\n\n", strings.Join(lines, "\n$ "))
	}
}

func (p *page) flags(all []flag) {
	p.printf("| option | what it says |\n|---|---|\n")
	for _, f := range all {
		p.printf("| `%s` | %s |\n", f.name, cell(f.usage))
	}
	p.printf("\n")
}

func (p *page) blocks(all []block) {
	for _, b := range all {
		if b.asIs {
			p.printf("```\n%s\n```\n\n", b.text)
			continue
		}
		p.printf("%s\n\n", plain(b.text))
	}
}

// plain returns text that Markdown shows as it is.
func plain(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "]", `\]`, "`", "\\`").Replace(text)
}

func cell(text string) string { return strings.ReplaceAll(plain(text), "|", `\|`) }
