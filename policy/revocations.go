package policy

import (
	"cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Revocations are the revocations in effect, per product. Nil is not "none":
// whoever does not know the revocations allows nothing.
type Revocations struct {
	products map[string]revoked
}

// revoked maps what is revoked in one product to the revocations that say so.
type revoked map[attest.Digest][]*verify.Evidence

// NewRevocations keeps those of evs that a signer with role revocation in the
// product they name made.
func NewRevocations(t *Trust, evs []*verify.Evidence) *Revocations {
	r := &Revocations{products: make(map[string]revoked)}
	for _, e := range evs {
		p := verify.As[attest.Revocation](e)
		if p == nil || e.Subject() != p.Digest || !t.Trusted(p.Product, attest.RoleRevocation, e) {
			continue
		}
		if r.products[p.Product] == nil {
			r.products[p.Product] = make(revoked)
		}
		r.products[p.Product][p.Digest] = append(r.products[p.Product][p.Digest], e)
	}
	return r
}

// By returns a revocation in product that names this digest as a thing of this
// kind (attest.RevokePayload and so on); nil where there is none.
func (r *Revocations) By(product, kind string, d attest.Digest) *verify.Evidence {
	return r.of(product).by(kind, d)
}

func (r *Revocations) of(product string) revoked {
	if r == nil {
		return nil
	}
	return r.products[product]
}

func (r revoked) by(kind string, d attest.Digest) *verify.Evidence {
	for _, e := range r[d] {
		if verify.As[attest.Revocation](e).Kind == kind {
			return e
		}
	}
	return nil
}

// evidence returns the revocation that voids e: by its payload, its subject,
// its key, the environment it names or its builder image.
func (r revoked) evidence(e *verify.Evidence) *verify.Evidence {
	if len(r) == 0 || !e.Proven() {
		return nil
	}
	environment, builder := names(e)
	return cmp.Or(
		r.by(attest.RevokePayload, e.Payload()),
		r.by(attest.RevokeKey, e.Signer()),
		r.by(attest.RevokeSubject, e.Subject()),
		r.by(attest.RevokeEnvironment, environment),
		r.by(attest.RevokeBuilder, builder),
	)
}

// names returns the environment and the builder image that e is about, or says
// something about. What provenance says of them is compared, never followed.
func names(e *verify.Evidence) (environment, builder attest.Digest) {
	if env := verify.As[attest.Environment](e); env != nil {
		return e.File(), env.BuilderImage
	}
	if b := verify.As[attest.Base](e); b != nil {
		return b.Environment, ""
	}
	if p := verify.As[attest.LivePatch](e); p != nil {
		return p.Environment, ""
	}
	return "", e.Subject() // provenance: of a builder image, or no such digest
}
