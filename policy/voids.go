package policy

import "github.com/patchfit/patchfit/verify"

// Voids returns the revocation in product that voids e: by its payload, its
// subject, its key, the environment it names or its builder image; nil where
// there is none.
func (r *Revocations) Voids(product string, e *verify.Evidence) *verify.Evidence {
	return r.of(product).evidence(e)
}

// Count returns how many things of a product are revoked.
func (r *Revocations) Count(product string) int { return len(r.of(product)) }
