package exit

import (
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// common is the one table of errors that all programs meet.
func common(err error) (code int, hint string) {
	var (
		answer  *api.Error
		refusal *verify.Refusal
	)
	switch {
	case errors.As(err, &answer):
		return ForAnswer(answer), cmp.Or(answer.Remedy, missing(answer))
	case errors.As(err, &refusal):
		return ForReason(refusal.Reason), refusal.Remedy
	case errors.Is(err, ledger.ErrUnsigned), errors.Is(err, ledger.ErrRolledBack), errors.Is(err, ledger.ErrForked), errors.Is(err, ledger.ErrTampered):
		return Unproven, "keep what you have of this log as evidence, and ask whoever runs it"
	}
	return Failure, onThisMachine(err)
}

// missing is the next step where a server says no more than that there is none.
func missing(e *api.Error) (hint string) {
	if e.Status == http.StatusNotFound {
		return "see that the name is right: patchfit ls and patchfit tree show what there is"
	}
	return ""
}

func onThisMachine(err error) (hint string) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	case errors.Is(err, fs.ErrPermission):
		return "check who owns the file"
	case errors.Is(err, fs.ErrExist):
		return "name another file: nothing is overwritten"
	case strings.Contains(err.Error(), "connection refused"):
		return "is the server running, and is this its address?"
	}
	return ""
}

// ForReason returns the code for a reason: what was refused as evidence failed
// verification; what evidence says against whoever asks is a denial.
func ForReason(r verify.Reason) int {
	switch r {
	case verify.NoAttestation, verify.NoProvenance:
		return NotFound
	case verify.Contested:
		return Contested
	case verify.BadSignature, verify.UntrustedSigner, verify.NotLogged, verify.SubjectMismatch,
		verify.Corrupt, verify.Rollback, verify.Expired:
		return Unproven
	}
	return Denied
}

// ForAnswer returns the code for what a server said. What its gate denies is a
// denial, whatever the reason.
func ForAnswer(e *api.Error) int {
	switch {
	case e.Status == http.StatusUnauthorized:
		return Auth
	case e.Status == http.StatusNotFound:
		return NotFound
	case e.Status == http.StatusForbidden && says(e, verify.Contested):
		return Contested
	case e.Status == http.StatusForbidden:
		return Denied
	case says(e, verify.Corrupt):
		return Unproven
	}
	return Failure
}

// says reports whether an answer gives a reason, as its code or in front of its
// message.
func says(e *api.Error, r verify.Reason) bool {
	word, _, _ := strings.Cut(e.Message, ":")
	return e.Code == string(r) || word == string(r)
}
