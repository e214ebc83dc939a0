package policy

import (
	"cmp"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// Revocations are the revocations in effect, per product. Nil is not "none":
// whoever does not know the revocations allows nothing.
type Revocations struct {
	id       *identity
	products map[string]revoked
}

// revoked maps what is revoked in one product to the revocations that say so.
type revoked map[attest.Digest][]*verify.Evidence

// NewRevocations keeps those of evs that a signer with role revocation in the
// product they name made.
func NewRevocations(t *Trust, evs []*verify.Evidence) *Revocations {
	r := &Revocations{id: new(identity), products: make(map[string]revoked)}
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
	return r.of(product).by(d, kind)
}

// Of returns a revocation in product that voids e in any way; nil where there is
// none.
func (r *Revocations) Of(product string, e *verify.Evidence) *verify.Evidence {
	return r.of(product).evidence(e)
}

// Key returns a revocation in product that voids e for the key that signed it;
// nil where there is none.
func (r *Revocations) Key(product string, e *verify.Evidence) *verify.Evidence {
	return r.of(product).key(e)
}

func (r *Revocations) identity() *identity {
	if r == nil {
		return nil
	}
	return r.id
}

func (r *Revocations) of(product string) revoked {
	if r == nil {
		return nil
	}
	return r.products[product]
}

func (r revoked) by(d attest.Digest, kinds ...string) *verify.Evidence {
	if d == "" {
		return nil
	}
	for _, e := range r[d] {
		if slices.Contains(kinds, verify.As[attest.Revocation](e).Kind) {
			return e
		}
	}
	return nil
}

// key returns a revocation of the key that signed e, or of the identity it
// belongs to, that voids e.
func (r revoked) key(e *verify.Evidence) *verify.Evidence {
	for _, named := range [...]attest.Digest{e.Signer(), e.Key()} {
		for _, by := range r[named] {
			if verify.As[attest.Revocation](by).Kind == attest.RevokeKey && voids(by, e) {
				return by
			}
		}
	}
	return nil
}

// voids reports whether by, a revocation of the key that signed e, is of e: it
// is of all the key said, or e is at its place in the log or later. What is in
// another log has no place there, and nobody can say that it was before. Its
// timestamp does not matter: whoever has the key may have a clock, too.
func voids(by, e *verify.Evidence) bool {
	log, index, ok := by.Since()
	return !ok || e.Log() != log || e.LogIndex() >= index
}

// evidence returns the revocation that voids e: by its payload, its subject,
// its key or identity, the environment it names or its builder image.
func (r revoked) evidence(e *verify.Evidence) *verify.Evidence {
	if len(r) == 0 || !e.Proven() {
		return nil
	}
	environment, builder := names(e)
	return cmp.Or(
		r.by(e.Payload(), attest.RevokePayload),
		r.key(e),
		r.by(e.Subject(), attest.RevokeSubject, attest.RevokeBuilder),
		r.by(environment, attest.RevokeEnvironment),
		r.by(builder, attest.RevokeBuilder),
	)
}

// names returns the environment and the builder image e says something about,
// beside its subject. What provenance says of them is compared with these,
// never followed.
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
	if q := verify.As[attest.Equivalence](e); q != nil {
		return q.Environment, ""
	}
	if r := verify.As[attest.Rebuild](e); r != nil {
		return r.Environment, ""
	}
	return "", ""
}
