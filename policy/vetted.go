package policy

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// An identity tells what is in one trust policy, or one set of revocations,
// from what is in another: each is made with its own, which goes where its
// content goes. (It has a size because things without one may share an address.)
type identity struct{ _ byte }

// A gathering is what evidence is gathered under: a trust policy, revocations,
// and one product. Their contents never change.
type gathering struct {
	policy      *identity
	revocations *identity
	product     string
	trust       *product // of the policy; nil: it does not name the product
	revoked     revoked  // of the revocations
}

func newGathering(t *Trust, product string, r *Revocations) gathering {
	return gathering{t.identity(), r.identity(), product, t.product(product), r.of(product)}
}

// is reports whether g is under these.
func (g *gathering) is(t *Trust, product string, r *Revocations) bool {
	return g.policy == t.identity() && g.revocations == r.identity() && g.product == product
}

// A vetted is what there is to look up about one statement, in itself and under
// a gathering. Of other evidence, or under another gathering, a decision looks
// it up again. It is never a verdict: what facts say beside it is compared each
// time.
type vetted struct {
	of *verify.Identity // of the statement; nil: nothing is vetted

	trusted bool             // its signer had the role at its time
	revoked *verify.Evidence // a trusted revocation that voids it; nil: none

	product    string // that it names
	anyProduct bool   // its type names none
	// What provenance names.
	environment, builder dependency
}

// vet looks up what there is about e, as a statement for role. Nothing is true
// of what is not proven.
func (g *gathering) vet(role attest.Role, e *verify.Evidence) vetted {
	if !e.Proven() {
		return vetted{}
	}
	v := vetted{
		of: e.Identity(), trusted: g.trust.trusted(role, e), revoked: g.revoked.evidence(e),
		product: ProductOf(e), anyProduct: verify.As[attest.Environment](e) != nil,
	}
	if v.product == g.product {
		v.product = g.product // the same bytes, in one place, compare fastest
	}
	if p := verify.As[attest.Provenance](e); p != nil {
		v.environment = dependencyOf(p, attest.DependencyEnvironment)
		v.builder = dependencyOf(p, attest.DependencyBuilder)
	}
	return v
}

// A dependency is what provenance says of its dependencies of one name: how
// many there are, and the sha256 of the last, in hex.
type dependency struct {
	named int
	hex   string
}

func dependencyOf(p *attest.Provenance, name string) (d dependency) {
	for _, r := range p.BuildDefinition.ResolvedDependencies {
		if r.Name == name {
			d.named++
			d.hex = r.Digest["sha256"]
		}
	}
	return d
}
