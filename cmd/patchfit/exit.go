package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// Exit codes. They never change their meaning; docs/spec/cli.md has a sentence
// for each.
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitDenied    = 3
	exitAuth      = 4
	exitNotFound  = 5
	exitUnproven  = 6
	exitContested = 7
	exitPartial   = 8
)

// A usageError is a command line that cannot be run.
type usageError struct {
	error
	hint string
}

func (e usageError) Unwrap() error { return e.error }

// A hinted error carries a next step for a person.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// An exitError ends the program with a code of its own; the answer that says
// why was printed already where text is "".
type exitCode struct {
	code int
	text string
	hint string
}

func (e exitCode) Error() string { return e.text }

// exit tells a person what went wrong and what to do next, and returns the
// exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = hinted{errors.New("interrupted"), "run it again: what is done is not done twice"}
	}
	code, hint := judge(err)
	if text := err.Error(); text != "" {
		fmt.Fprintln(a.stderr, "patchfit: error:", term.Printable(text))
	}
	if hint != "" {
		fmt.Fprintln(a.stderr, "patchfit: hint:", term.Printable(hint))
	}
	return code
}

// judge is the one table of errors: exit code and next step.
func judge(err error) (code int, hint string) {
	var own exitCode
	if errors.As(err, &own) {
		return own.code, own.hint
	}
	if u := (usageError{}); errors.As(err, &u) {
		return exitUsage, u.hint
	}
	code, hint = judgeKnown(err)
	if h := (hinted{}); errors.As(err, &h) && h.hint != "" {
		hint = h.hint
	}
	return code, hint
}

func judgeKnown(err error) (int, string) {
	var (
		answer   *api.Error
		logged   *client.Error
		refusal  *verify.Refusal
		mismatch *build.MismatchError
		outside  *build.OutsideError
	)
	switch {
	case errors.As(err, &refusal):
		return refused(refusal.Reason), refusal.Remedy
	case errors.As(err, &answer):
		return judgeAnswer(answer)
	case errors.As(err, &mismatch):
		return exitDenied, "build the patch with the flags, tools and libraries of its base; patchfit env diff shows all differences"
	case errors.As(err, &outside):
		return exitUnproven, "make a builder image that holds it: patchfit env capture --pack DIR --include " + outside.Path
	case errors.Is(err, ledger.ErrUnsigned), errors.Is(err, ledger.ErrRolledBack), errors.Is(err, ledger.ErrForked), errors.Is(err, ledger.ErrTampered):
		return exitUnproven, "keep what you have of this log as evidence, and ask whoever runs it"
	case errors.As(err, &logged):
		return judgeLog(logged)
	case errors.Is(err, config.ErrUnknownServer):
		return exitAuth, "log in: patchfit login URL --principal ID --key FILE"
	}
	return exitError, hintFor(err)
}

// hintFor is for errors of this machine.
func hintFor(err error) string {
	switch {
	case errors.Is(err, build.ErrNoTracer):
		return "install strace (Debian: apt-get install strace), and allow ptrace where this runs in a container"
	case errors.Is(err, build.ErrCommand):
		return "name the compiler or make itself, as in: -- gcc -O2 -shared -fPIC -o lib.so lib.c"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	case errors.Is(err, os.ErrPermission):
		return "check who owns the file"
	case errors.Is(err, fs.ErrExist):
		return "name another file: nothing is overwritten"
	case strings.Contains(err.Error(), "connection refused"):
		return "is the server running, and is this its address?"
	}
	return ""
}

func refused(r verify.Reason) int {
	switch r {
	case verify.NoAttestation, verify.NoProvenance:
		return exitNotFound
	case verify.Contested:
		return exitContested
	case verify.EnvMismatch, verify.BaseMismatch, verify.Revoked, verify.ForbiddenRole, verify.HostNotActive:
		return exitDenied
	}
	return exitUnproven
}

func judgeAnswer(e *api.Error) (int, string) {
	switch {
	case e.Status == http.StatusUnauthorized:
		return exitAuth, orElse(e.Remedy, "log in: patchfit login URL --principal ID --key FILE")
	case e.Status == http.StatusNotFound:
		return exitNotFound, e.Remedy
	case e.Status == http.StatusForbidden && reason(e) == verify.Contested:
		return exitContested, e.Remedy
	case e.Status == http.StatusForbidden:
		return exitDenied, e.Remedy
	case reason(e) == verify.Corrupt:
		return exitUnproven, e.Remedy
	}
	return exitError, e.Remedy
}

// reason returns the reason an answer gives, as its code or in front of its
// message; "" for none.
func reason(e *api.Error) verify.Reason {
	word, _, _ := strings.Cut(e.Message, ":")
	for _, r := range verify.Reasons() {
		if e.Code == string(r) || word == string(r) {
			return r
		}
	}
	return ""
}

func judgeLog(e *client.Error) (int, string) {
	switch {
	case errors.Is(e, client.ErrStranger):
		return exitDenied, "the trust policy has to name the signing key: patchfit trust edit --add-signer, sign, push"
	case errors.Is(e, client.ErrNotFound):
		return exitNotFound, ""
	}
	return exitError, ""
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// digestOrUsage reads a digest that somebody typed.
func digestOrUsage(s string) (attest.Digest, error) {
	d, err := attest.ParseDigest(s)
	if err != nil {
		return "", usageError{err, ""}
	}
	return d, nil
}
