// Package term is how programs talk to a person: marks and colours only where
// a person looks, progress that never mixes with data.
//
// Data goes to standard output; progress and warnings go to standard error.
// On anything but a terminal there is no colour, no mark that needs one and no
// line that is drawn over. NO_COLOR and TERM=dumb switch colour off
// (https://no-color.org). docs/spec/cli.md, Output.
package term

import (
	"io"
	"os"
	"strings"

	xterm "golang.org/x/term"
)

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && xterm.IsTerminal(int(f.Fd()))
}

// Colors reports whether w takes colour: a terminal, and nobody said no.
func Colors(w io.Writer) bool {
	return IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// A Marker is the marks in front of checks.
type Marker struct{ Tick, Cross, Bang string }

// Marks returns the Marker for w.
func Marks(w io.Writer) Marker {
	switch {
	case Colors(w):
		return Marker{Tick: "\x1b[32m✓\x1b[0m", Cross: "\x1b[31m✗\x1b[0m", Bang: "\x1b[33m!\x1b[0m"}
	case IsTerminal(w):
		return Marker{Tick: "✓", Cross: "✗", Bang: "!"}
	}
	return Marker{Tick: "ok  ", Cross: "FAIL", Bang: "note"}
}

// Check returns the mark for an outcome.
func (m Marker) Check(passed bool) string {
	if passed {
		return m.Tick
	}
	return m.Cross
}

// Printable returns s in one line that cannot move the cursor: what others
// wrote is shown, never obeyed.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' || (r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069') {
			return '\ufffd'
		}
		return r
	}, s)
}
