// Package shell is one run of patchfit: its streams and the flags every verb
// has, how answers are printed, and how a verb finds its server.
package shell

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/internal/term"
)

// A Shell is one run of the program: its streams and the flags every verb has.
type Shell struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	Format    string // text or json
	Server    string // URL or address; "" is the one server that is known
	TokenFile string // of a bearer token to use instead of the login
	TLSKey    string // with TokenFile, of a server nobody logged in to
	CA        string // as TLSKey
}

// Flags gives a command, and all below it, the flags every verb has.
func (sh *Shell) Flags(root *cobra.Command) {
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return sh.checkFormat() }
	f := root.PersistentFlags()
	f.StringVar(&sh.Format, "format", "text", "output: text or json")
	f.StringVar(&sh.Server, "server", "", "server's URL or address (default: the one you are logged in to)")
	f.StringVar(&sh.TokenFile, "token-file", "", "file with a bearer token, an admin's or a robot's, to use instead of the login")
	f.StringVar(&sh.TLSKey, "tls-key", "", "hex sha256 of the server's public key: trust it, ask no authority (with login or --token-file)")
	f.StringVar(&sh.CA, "ca", "", "PEM certificates that vouch for the server (with login or --token-file)")
}

func (sh *Shell) checkFormat() error {
	if sh.Format != "text" && sh.Format != "json" {
		return exit.BadUsage(fmt.Errorf("format %q is not text or json", sh.Format), "use --format text or --format json")
	}
	return nil
}

// Print writes one answer: v as a JSON line, or what text writes.
func (sh *Shell) Print(v any, text func(w io.Writer)) error {
	if sh.Format != "json" {
		text(sh.Stdout)
		return nil
	}
	b, err := strictjson.Canonical(v)
	if err != nil {
		return err
	}
	_, err = sh.Stdout.Write(append(b, '\n'))
	return err
}

// Note tells a person something that is no data.
func (sh *Shell) Note(format string, args ...any) {
	fmt.Fprintf(sh.Stderr, "%s\n", term.Printable(fmt.Sprintf(format, args...)))
}

// Cells writes rows in columns, as wide as their widest cell.
func Cells(w io.Writer, rows [][]string) {
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
