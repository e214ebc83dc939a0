// Package exit is how our programs end: what a person is told of an error, and
// the exit code, which never changes its meaning (docs/spec/cli.md, Exit codes).
//
// The codes are in this file; table.go says which errors end with which. A
// program has a table of its own only for errors nobody else meets.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/patchfit/patchfit/internal/manual"
	"github.com/patchfit/patchfit/internal/term"
)

// The exit codes. They are frozen.
const (
	OK        = 0
	Failure   = 1 // nothing below fits
	Usage     = 2 // the command line cannot be run as it is
	Denied    = 3 // by policy
	Auth      = 4 // authentication required
	NotFound  = 5 // nothing there, or no attestation
	Unproven  = 6 // verification failed
	Contested = 7 // trusted statements disagree
	Partial   = 8 // some of several things were done
)

// Codes are the codes with their meaning, for manual pages.
func Codes() []manual.Exit {
	var all []manual.Exit
	for code, meaning := range []string{
		OK:        "ok",
		Failure:   "error: nothing below fits",
		Usage:     "usage: the command line cannot be run as it is",
		Denied:    "denied by policy",
		Auth:      "authentication required",
		NotFound:  "not found",
		Unproven:  "verification failed",
		Contested: "contested: trusted statements disagree",
		Partial:   "partial success",
	} {
		all = append(all, manual.Exit{Code: strconv.Itoa(code), Meaning: meaning})
	}
	return all
}

// A hinted error carries a next step for a person.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// A coded error ends the program with a code of its own.
type coded struct {
	hinted
	code int
}

// Hint gives an error a next step; the code stays that of the error. Nil stays nil.
func Hint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// BadUsage marks an error as the command line's fault. Nil stays nil.
func BadUsage(err error, hint string) error {
	if err == nil {
		return nil
	}
	return coded{hinted{err, hint}, Usage}
}

// With ends the program with a code. The text is "" where an answer that was
// printed says why.
func With(code int, text, hint string) error { return coded{hinted{errors.New(text), hint}, code} }

// A Table knows some errors: the code they end with, and the next step.
type Table func(err error) (code int, hint string, known bool)

// Judge returns how a program ends because of err. Its own
// table, which may be nil, is asked before that of all programs.
func Judge(err error, own Table) (code int, hint string) {
	if err == nil {
		return OK, ""
	}
	if c := (coded{}); errors.As(err, &c) {
		return c.code, c.hint
	}
	known := false
	if own != nil {
		code, hint, known = own(err)
	}
	if !known {
		code, hint = common(err)
	}
	if h := (hinted{}); errors.As(err, &h) && h.hint != "" {
		hint = h.hint
	}
	return code, hint
}

// Report tells a person what went wrong and what to do next, and returns the
// exit code.
func Report(ctx context.Context, w io.Writer, program string, err error, own Table) int {
	if err == nil {
		return OK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = Hint(errors.New("interrupted"), "run it again: what is done is not done twice")
	}
	code, hint := Judge(err, own)
	if text := err.Error(); text != "" {
		fmt.Fprintf(w, "%s: error: %s\n", program, term.Printable(text))
	}
	if hint != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", program, term.Printable(hint))
	}
	return code
}
