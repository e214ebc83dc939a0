package shell

import (
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
)

// Linted is what a server found in a live patch as it came in, by its own word
// (docs/spec/lint.md).
type Linted struct {
	Linter string         `json:"linter"`
	Report jsontext.Value `json:"report"`
}

// linted is what text shows of a report.
type linted struct {
	Facts struct {
		Kind      string     `json:"kind"`
		Functions []struct{} `json:"functions"`
	} `json:"facts"`
	Findings []struct {
		ID       string `json:"id"`
		Severity string `json:"severity"`
		Fact     string `json:"fact"`
	} `json:"findings"`
}

// Text writes the findings, behind indent.
func (l *Linted) Text(w io.Writer, indent string) {
	var r linted
	if err := strictjson.UnmarshalForeign(l.Report, len(l.Report), &r); err != nil {
		fmt.Fprintf(w, "%slint: the server's report cannot be read: %s\n", indent, term.Printable(err.Error()))
		return
	}
	fmt.Fprintf(w, "%slint: %s, functions it replaces: %d (the server's own look, %s)\n", indent, term.Printable(r.Facts.Kind), len(r.Facts.Functions), term.Printable(l.Linter))
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%slint %s %s: %s\n", indent, term.Printable(f.Severity), term.Printable(f.ID), term.Printable(f.Fact))
	}
}
