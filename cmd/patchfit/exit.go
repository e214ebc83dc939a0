package main

import (
	"errors"
	"net/http"

	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/internal/config"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger/client"
	"github.com/patchfit/patchfit/registry/api"
)

// judge knows the errors that only this program meets. What all programs do is
// in internal/exit.
func judge(err error) (code int, hint string, known bool) {
	var (
		answer   *api.Error
		mismatch *build.MismatchError
		outside  *build.OutsideError
	)
	switch {
	case errors.As(err, &mismatch):
		return exit.Denied, "build the patch with the flags, tools and libraries of its base; patchfit env diff shows all differences", true
	case errors.As(err, &outside):
		return exit.Unproven, "make a builder image that holds it: patchfit env capture --pack DIR --include " + outside.Path, true
	case errors.Is(err, client.ErrStranger):
		return exit.Denied, "the trust policy has to name the signing key: patchfit trust edit --add-signer, sign, push", true
	case errors.Is(err, client.ErrNotFound):
		return exit.NotFound, "", true
	case errors.As(err, &answer) && answer.Status == http.StatusUnauthorized && answer.Remedy == "":
		return exit.Auth, "log in: patchfit login URL --principal ID --key FILE", true
	case errors.Is(err, config.ErrUnknownServer):
		return exit.Auth, "log in: patchfit login URL --principal ID --key FILE", true
	case errors.Is(err, build.ErrNoTracer):
		return exit.Failure, "install strace (Debian: apt-get install strace), and allow ptrace where this runs in a container", true
	case errors.Is(err, build.ErrCommand):
		return exit.Failure, "name the compiler or make itself, as in: -- gcc -O2 -shared -fPIC -o lib.so lib.c", true
	}
	return 0, "", false
}
