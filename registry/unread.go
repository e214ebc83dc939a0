package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger/store"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/content"
	"github.com/patchfit/patchfit/verify"
)

// An unreadError is why bytes that a record names could not be read.
type unreadError struct {
	digest attest.Digest
	err    error
}

func (e *unreadError) Error() string { return fmt.Sprintf("reading %s: %v", e.digest, e.err) }
func (e *unreadError) Unwrap() error { return e.err }

// isDamage reports whether bytes that a record says are there are not, or are
// others. That a process has no files or no memory left, or a disk does not
// answer, says nothing about the bytes.
func isDamage(err error) bool {
	for _, damage := range []error{content.ErrDamaged, content.ErrNotFound, store.ErrCorrupt, store.ErrNotFound} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}

// unread is the answer where bytes could not be read. Only damage is an alarm:
// an admin who is called for a full table of files looks for it in vain, and
// does not come the next time.
func (x *exchange) unread(e *unreadError) *api.Error {
	if isDamage(e.err) {
		x.alarm(kindOf(e.err), e.digest, e.err)
		return api.Errorf(http.StatusInternalServerError, string(verify.Corrupt), "%s: the stored bytes of %s are not the ones with this digest", verify.Corrupt, e.digest).
			Hint("tell the server's admin: they changed where they are stored")
	}
	if !errors.Is(e.err, context.Canceled) { // the client is gone
		x.registry.Logger.Error("stored bytes cannot be read", "repository", x.repository, "digest", e.digest, "error", e.err)
	}
	return api.Errorf(http.StatusServiceUnavailable, api.CodeUnavailable, "the stored bytes of %s cannot be read now", e.digest).
		Hint("try again; if it stays so, tell the server's admin")
}
