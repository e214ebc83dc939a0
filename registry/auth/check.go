package auth

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/assertion"
)

// maxAwaited is how far ahead of the server's clock an assertion for one
// exchange may be: so long it is waited for.
const maxAwaited = 2 * time.Second

// newChecks returns places for signatures to be checked in. Anyone may ask for
// a check; half of the processors stay free for everything else.
func newChecks() chan struct{} {
	return make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
}

// Check runs check, which verifies a signature of someone not known yet, when
// there is a place for it. Where ctx ends first it does not run.
func (a *Authority) Check(ctx context.Context, check func()) *api.Error {
	if ctx.Err() != nil {
		return gaveUp()
	}
	select {
	case a.checks <- struct{}{}:
		defer func() { <-a.checks }()
		check()
		return nil
	case <-ctx.Done():
		return gaveUp()
	}
}

// await waits until the server's clock has reached the time an assertion says
// it was made. None is used before that; so what was used before a start says
// it was made before the start, and is refused for that.
func await(ctx context.Context, made assertion.Instant) *api.Error {
	for {
		now := time.Now()
		ahead := made.Time().Sub(now)
		if ahead <= 0 {
			return nil
		}
		if ahead > maxAwaited {
			e := unauthorized("assertion is of %s and here it is %s: more than %s ahead", made, assertion.At(now), maxAwaited)
			return e.Hint("set the clock of this machine, then make a new assertion")
		}
		select {
		case <-time.After(ahead):
		case <-ctx.Done():
			return gaveUp()
		}
	}
}

func gaveUp() *api.Error {
	return api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "the request ended before its credentials were checked").Hint("try again")
}
