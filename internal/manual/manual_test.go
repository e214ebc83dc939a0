package manual

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// tree is a program whose texts are as awkward as they come.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "prog", Short: "do a thing", Long: "Do a thing\nin two lines.\n\n.so /etc/passwd\n\n  a   table\n  'of lines"}
	root.PersistentFlags().String("format", "text", "output: `FORM` of text | json")
	run := func(*cobra.Command, []string) error { return nil }
	add := &cobra.Command{Use: "add FILE --to X", Short: `say "it" with back\slash`, RunE: run, Example: "  prog add f --to x"}
	add.Flags().StringP("to", "t", "", "where *it* goes")
	add.Flags().StringArray("with", nil, "repeat for each")
	add.Flags().Bool("yes", false, "do it")
	add.Flags().Bool("secret", false, "")
	_ = add.Flags().MarkHidden("secret")
	group := &cobra.Command{Use: "group", Short: "only has commands"}
	group.AddCommand(add, &cobra.Command{Use: "hidden", Hidden: true, RunE: run})
	said := &cobra.Command{Use: "more", Short: "another", Long: "What holds for all below."}
	said.AddCommand(&cobra.Command{Use: "verb", Short: "a verb", RunE: run})
	root.AddCommand(group, said)
	return root
}

const wantMan = `.TH "PROG" "1" "" "prog" "Patchfit Manual"
.SH "NAME"
prog \- do a thing
.SH "SYNOPSIS"
\fBprog\fR \fICOMMAND\fR [\fIARGUMENT\fR...] [\fIOPTION\fR...]
.SH "DESCRIPTION"
Do a thing in two lines.
.PP
\&.so /etc/passwd
.PP
.nf
  a   table
  \(aqof lines
.fi
.SH "COMMANDS"
.SS "prog group add"
\fBprog group add FILE \-\-to X\fR
.PP
Say "it" with back\eslash.
.TP
\fB\-t, \-\-to string\fR
where *it* goes
.TP
\fB\-\-with string\fR
repeat for each
.TP
\fB\-\-yes\fR
do it
.PP
Example:
.PP
.nf
  prog add f \-\-to x
.fi
.SS "prog more"
\fBprog more\fR
.PP
What holds for all below.
.SS "prog more verb"
\fBprog more verb\fR
.PP
A verb.
.SH "OPTIONS OF EVERY COMMAND"
.TP
\fB\-\-format FORM\fR
output: FORM of text | json (default text)
.SH "EXIT STATUS"
.TP
\fB0\fR
ok
.SH "SEE ALSO"
patchfit(1), patchfitd(1), patchfit\-agent(1); docs/spec/cli.md in https://github.com/patchfit/patchfit
`

func TestMan(t *testing.T) {
	if diff := cmp.Diff(wantMan, string(Man(tree(), []Exit{{"0", "ok"}}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMarkdown(t *testing.T) {
	got := string(Markdown(tree()))
	for _, want := range []string{
		"# prog\n", "Do a thing in two lines.\n", "```\n  a   table\n  'of lines\n```\n",
		"| [prog group add](#prog-group-add) | say \"it\" with back\\\\slash |\n",
		"## prog group add\n\n```\nprog group add FILE --to X\n```\n",
		"| `-t, --to string` | where \\*it\\* goes |\n",
		"| `--format FORM` | output: FORM of text \\| json (default text) |\n",
		"```console\n$ prog add f --to x\n```\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	for _, not := range []string{"secret", "hidden", "only has commands"} {
		if strings.Contains(got, not) {
			t.Errorf("the page says %q", not)
		}
	}
}
