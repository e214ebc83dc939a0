package main

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/patchfit/patchfit/host"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/registry/api"
)

// badUsage marks an error as the command line's fault.
func badUsage(err error) error { return exit.BadUsage(err, "see patchfit-agent --help") }

// judge knows the errors that only this program meets, and what the operator of
// a host does about those of a server. The rest is in internal/exit.
func judge(err error) (code int, hint string, known bool) {
	var (
		denied *host.Denied
		answer *api.Error
	)
	switch {
	case errors.As(err, &denied):
		return exit.ForReason(denied.Reason()), denied.Remedy(), true
	case errors.As(err, &answer):
		return exit.ForAnswer(answer), cmp.Or(answer.Remedy, hintForStatus(answer.Status)), true
	case errors.Is(err, host.ErrNotEnrolled):
		return exit.Auth, "enrol it with a token an admin made: patchfit-agent enroll --token-file FILE", true
	case errors.Is(err, host.ErrEnrolled):
		return exit.Failure, "name another directory with --state, or move this one away to enrol anew", true
	}
	return 0, "", false
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
