package auth

import (
	"net/http"
	"strings"
	"time"

	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
)

// RobotPrefix begins the text of a robot's bearer token: an admin made it, and
// it has an end.
const RobotPrefix = "pfr_"

// RobotName is in front of a robot's name where a stock client asks for a user
// name, so that it is nobody's account.
const RobotName = "robot$"

// isBearer reports whether text is a bearer token that is no access token.
func isBearer(text string) bool {
	return strings.HasPrefix(text, TokenPrefix) || strings.HasPrefix(text, RobotPrefix)
}

// names reports whether a user name is p's: nothing, because only the secret
// says who, or its id, its name, or its name as a robot's.
func names(p state.Principal, name string) bool {
	return name == "" || name == identityToken || name == p.ID || name == p.Name || name == RobotName+p.Name
}

// good refuses a principal, known for certain, whose proof is good for nothing
// any more. It is asked on each request, whatever the request carries.
func good(p state.Principal, now time.Time) *api.Error {
	switch {
	case p.State == state.Revoked && p.Kind != state.KindHost:
		return unauthorized("%s %.64s was revoked", p.Kind, p.Name).Hint("ask an admin of this server for another")
	case p.Expired(now):
		return unauthorized("%s %.64s expired at %s", p.Kind, p.Name, p.Expires.Format(time.RFC3339)).Hint("ask an admin of this server for another: patchfit robot create")
	}
	return nil
}

// may refuses what a principal that only asks would change: anything that is
// not GET or HEAD.
func may(p state.Principal, r *http.Request) *api.Error {
	if !p.ReadOnly || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return api.Errorf(http.StatusForbidden, api.CodeDenied, "FORBIDDEN_ROLE: %.64s is read-only, whatever its roles", p.Name).
		Hint("use another account for what changes something")
}
