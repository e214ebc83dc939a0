package registry

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/verify"
)

// condemned is the 403 for a manifest that is not here and that a revocation
// names: a host that heard of it elsewhere learns why it will not get it. There
// is nothing to decide on, so no decision is recorded, as none is for a 404.
func condemned(d attest.Digest, by *verify.Evidence) *api.Error {
	r := verify.As[attest.Revocation](by)
	return denied(verify.Revoked, fmt.Sprintf("want manifest %s not revoked, got revoked by %s %s: %s", d, r.Kind, r.Digest, r.Reason), verify.Revoked.Remedy())
}
