package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/term"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// Exit codes, as docs/spec/cli.md freezes them.
const (
	exitError    = 1
	exitUsage    = 2
	exitDenied   = 3 // by policy
	exitAuth     = 4 // authentication required
	exitNotFound = 5 // nothing there, or no attestation
	exitVerify   = 6 // verification failed
	exitContest  = 7 // contested
)

// A usageError is the command line's fault.
type usageError struct{ error }

// A hinted error carries a next step for a person.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// fail prints what went wrong and what to do next, and returns the exit code.
func (p *program) fail(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(p.err, "patchfit-agent: error:", term.Printable(err.Error()))
	if h := hint(err); h != "" {
		fmt.Fprintln(p.err, "patchfit-agent: hint:", term.Printable(h))
	}
	return exitCode(err)
}

func hint(err error) string {
	var (
		h       hinted
		refusal *verify.Refusal
		denied  *host.Denied
		answer  *api.Error
	)
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, &denied):
		return denied.Remedy()
	case errors.As(err, &answer):
		return cmp.Or(answer.Remedy, hintForStatus(answer.Status))
	case errors.As(err, &refusal):
		return refusal.Remedy
	case errors.Is(err, host.ErrNotEnrolled):
		return "enrol it with a token an admin made: patchfit-agent enroll --token-file FILE"
	case errors.Is(err, host.ErrEnrolled):
		return "name another directory with --state, or move this one away to enrol anew"
	case errors.As(err, new(usageError)):
		return "see patchfit-agent --help"
	case strings.Contains(err.Error(), "connection refused"):
		return "is the server running, and is that its address?"
	}
	return ""
}

func hintForStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "ask an admin whether this host is still active, and check its clock"
	case http.StatusNotFound:
		return "check the name with whoever published it"
	case http.StatusServiceUnavailable:
		return "try again later: the server cannot record what it decides now"
	}
	return ""
}

func exitCode(err error) int {
	var (
		refusal *verify.Refusal
		denied  *host.Denied
		answer  *api.Error
	)
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, &denied):
		return exitFor(denied.Reason())
	case errors.As(err, &answer):
		return exitForAnswer(answer)
	case errors.As(err, &refusal):
		return exitFor(refusal.Reason)
	case errors.Is(err, host.ErrNotEnrolled):
		return exitAuth
	}
	return exitError
}

// exitFor returns the code for a reason: what was refused as evidence failed
// verification, what evidence says against the host is a denial.
func exitFor(r verify.Reason) int {
	switch r {
	case verify.NoAttestation, verify.NoProvenance:
		return exitNotFound
	case verify.Contested:
		return exitContest
	case verify.BadSignature, verify.UntrustedSigner, verify.NotLogged, verify.SubjectMismatch,
		verify.Corrupt, verify.Rollback, verify.Expired:
		return exitVerify
	}
	return exitDenied
}

// exitForAnswer reads what the server said. What its gate denies is a denial,
// whatever the reason; a denial of a contested one begins with that word.
func exitForAnswer(e *api.Error) int {
	word, _, _ := strings.Cut(e.Message, ":")
	contested := e.Code == string(verify.Contested) || word == string(verify.Contested)
	switch {
	case e.Status == http.StatusUnauthorized:
		return exitAuth
	case e.Status == http.StatusForbidden && contested:
		return exitContest
	case e.Status == http.StatusForbidden:
		return exitDenied
	case e.Status == http.StatusNotFound:
		return exitNotFound
	case e.Code == string(verify.Corrupt) || word == string(verify.Corrupt):
		return exitVerify
	}
	return exitError
}
