package manual

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Man returns the manual page of a program, in section 1. It has no date: the
// same program makes the same page.
func Man(root *cobra.Command, exits []Exit) []byte {
	p := &roff{}
	name := root.Name()
	p.macro("TH", strings.ToUpper(name), "1", "", name, "Patchfit Manual")
	p.section("NAME")
	p.line(name + ` \- ` + escape(root.Short))
	p.section("SYNOPSIS")
	p.line(`\fB` + escape(name) + `\fR \fICOMMAND\fR [\fIARGUMENT\fR...] [\fIOPTION\fR...]`)
	p.section("DESCRIPTION")
	p.blocks(about(root))
	p.section("COMMANDS")
	for _, cmd := range verbs(root) {
		p.command(cmd)
	}
	if all := flagsOf(root.PersistentFlags()); len(all) > 0 {
		p.section("OPTIONS OF EVERY COMMAND")
		p.flags(all)
	}
	p.section("EXIT STATUS")
	for _, e := range exits {
		p.item(e.Code, e.Meaning)
	}
	p.section("SEE ALSO")
	p.line(escape(seeAlso(name)) + `; docs/spec/cli.md in https://github.com/patchfit/patchfit`)
	return []byte(p.String())
}

func seeAlso(name string) string {
	var others []string
	for _, other := range []string{"patchfit", "patchfitd", "patchfit-agent"} {
		if other != name {
			others = append(others, other+"(1)")
		}
	}
	return strings.Join(others, ", ")
}

// A roff is a manual page that grows.
type roff struct{ strings.Builder }

func (p *roff) command(cmd *cobra.Command) {
	p.macro("SS", cmd.CommandPath())
	p.line(`\fB` + escape(invocation(cmd)) + `\fR`)
	p.macro("PP")
	p.blocks(about(cmd))
	p.flags(local(cmd))
	for _, line := range examples(cmd) {
		p.macro("PP")
		p.line("Example:")
		p.asIs("  " + line)
	}
}

func (p *roff) flags(all []flag) {
	for _, f := range all {
		p.item(f.name, f.usage)
	}
}

func (p *roff) item(term, text string) {
	p.macro("TP")
	p.line(`\fB` + escape(term) + `\fR`)
	p.line(escape(text))
}

func (p *roff) blocks(all []block) {
	for i, b := range all {
		if b.asIs {
			p.asIs(b.text)
			continue
		}
		if i > 0 {
			p.macro("PP")
		}
		p.line(escape(b.text))
	}
}

// asIs writes lines that are not filled.
func (p *roff) asIs(text string) {
	p.macro("PP")
	p.macro("nf")
	for line := range strings.SplitSeq(text, "\n") {
		p.line(escape(line))
	}
	p.macro("fi")
}

func (p *roff) section(name string) { p.macro("SH", name) }

// macro writes a request. Its arguments stand between quotes.
func (p *roff) macro(name string, args ...string) {
	fmt.Fprintf(p, ".%s", name)
	for _, a := range args {
		fmt.Fprintf(p, ` "%s"`, strings.ReplaceAll(escape(a), `"`, `\(dq`))
	}
	fmt.Fprintln(p)
}

// line writes text. A dot or quote at its start would make it a request.
func (p *roff) line(text string) {
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	fmt.Fprintln(p, text)
}

// escape returns text as roff shows it: a hyphen is a minus, so that a flag can
// be copied out of a page.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...").Replace(text)
}
