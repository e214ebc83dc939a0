package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/verify"
)

// GatherBase picks from p the evidence about the base a: its base/v1 and
// provenance, the environment the base/v1 names, and the provenance of that
// environment's builder image. Statements of those who have the role for them
// go before others, and live ones before revoked ones; what is left to pick
// when there is no good one is picked all the same, so that Decide can say
// what is wrong with it. Two trusted live statements that do not say the same
// make the base Contested.
func GatherBase(t *Trust, product string, a Artifact, p *Pool) *Base {
	g := newGathering(t, product, p.Revoked)
	b := &Base{Artifact: a, under: g}
	about := p.About(a.Manifest)
	var contested [3]string
	b.Statement, contested[0] = pick[attest.Base](g, attest.RoleBase, about)
	b.Provenance, contested[1] = pick[attest.Provenance](g, attest.RoleBase, about)
	b.Import, contested[2] = pick[attest.Import](g, attest.RoleImport, about)
	b.Contested = cmp.Or(contested[0], contested[1], contested[2])
	said, role := b.statement()
	b.trusted = g.trusts(role, said)
	if s := verify.As[attest.Base](b.Statement); s != nil {
		b.Environment = g.environment(p.Environment(s.Environment), a.Subject)
	}
	if e := verify.As[attest.Environment](b.Environment); e != nil {
		b.Builder, _ = pick[attest.Provenance](g, attest.RoleBuilder, p.About(e.BuilderImage))
	}
	for i, e := range [...]*verify.Evidence{b.Statement, b.Provenance, b.Environment, b.Builder} {
		b.vetted[i] = g.vet(statements[linkBase+i].role, e)
	}
	b.imported[0] = g.vet(attest.RoleImport, b.Import)
	b.rebuilds = g.rebuilds(b.rebuilt(), p)
	return b
}

// GatherPatch picks from p the evidence about the patch a, as [GatherBase] does
// for bases. base is the base its manifest is attached to; nil: unknown.
func GatherPatch(t *Trust, product string, a Artifact, base *Base, p *Pool) *Patch {
	g := newGathering(t, product, p.Revoked)
	patch := &Patch{Artifact: a, Base: base, under: g}
	about := p.About(a.Manifest)
	var contested [4]string
	patch.Statement, contested[0] = pick[attest.LivePatch](g, attest.RolePatch, about)
	patch.Provenance, contested[1] = pick[attest.Provenance](g, attest.RolePatch, about)
	patch.Import, contested[2] = pick[attest.Import](g, attest.RoleImport, about)
	patch.Equivalence, contested[3] = g.equivalence(patch, base, p)
	patch.Contested = cmp.Or(contested[0], contested[1], contested[2], contested[3])
	if s := verify.As[attest.LivePatch](patch.Statement); s != nil {
		patch.Environment = g.environment(p.Environment(s.Environment), "")
	}
	if e := verify.As[attest.Environment](patch.Environment); e != nil {
		patch.Builder, _ = pick[attest.Provenance](g, attest.RoleBuilder, p.About(e.BuilderImage))
	}
	for i, e := range [...]*verify.Evidence{patch.Statement, patch.Provenance} {
		patch.vetted[i] = g.vet(statements[i].role, e)
	}
	for i, e := range [...]*verify.Evidence{patch.Import, patch.Environment, patch.Builder, patch.Equivalence} {
		patch.beside[i] = g.vet(statements[besidePatch(i)].role, e)
	}
	patch.rebuilds = g.rebuilds(patch.rebuilt(), p)
	return patch
}

// Matches reports whether r, one measurement of a running host, is of this
// base: a statement of the product's base authority lists it, all of it, or one
// of an importer where the base is of others.
func (b *Base) Matches(r attest.Running) bool {
	if b == nil || !b.trusted {
		return false
	}
	said, _ := b.statement()
	product, list := Measurements(said)
	return product == r.Product && slices.Contains(list, r.Measurement)
}

// trusts reports whether e counts here: its signer has the role, and it names
// this product where its type names one.
func (g gathering) trusts(role attest.Role, e *verify.Evidence) bool {
	return g.trust.trusted(role, e) && (ProductOf(e) == g.product || verify.As[attest.Environment](e) != nil)
}

// rank orders statements by how much they count; lower is better.
func (g gathering) rank(role attest.Role, e *verify.Evidence) int {
	switch {
	case !g.trusts(role, e):
		return 2
	case g.revoked.evidence(e) != nil:
		return 1
	}
	return 0
}

// environment picks the statement of an environment that is about manifest, or
// about any manifest where none is.
func (g gathering) environment(all []*verify.Evidence, manifest attest.Digest) *verify.Evidence {
	var here []*verify.Evidence
	for _, e := range all {
		if e.Subject() == manifest {
			here = append(here, e)
		}
	}
	if len(here) == 0 {
		here = all
	}
	e, _ := pick[attest.Environment](g, attest.RoleBase, here)
	return e
}

// pick returns the statement with a predicate *T that counts most, and what
// the ones that count fully disagree about.
func pick[T any](g gathering, role attest.Role, all []*verify.Evidence) (best *verify.Evidence, contested string) {
	for _, e := range all {
		if verify.As[T](e) == nil {
			continue
		}
		if best == nil || g.before(role, e, best) {
			best = e
		}
	}
	if best == nil || g.rank(role, best) != 0 {
		return best, ""
	}
	for _, e := range all {
		if verify.As[T](e) != nil && g.rank(role, e) == 0 && meaning(e) != meaning(best) {
			return best, fmt.Sprintf("statements %s and %s, both %s, both live and trusted, differ", best.Payload(), e.Payload(), e.Type())
		}
	}
	return best, ""
}

func (g gathering) before(role attest.Role, a, b *verify.Evidence) bool {
	return cmp.Or(
		cmp.Compare(g.rank(role, a), g.rank(role, b)),
		cmp.Compare(a.LogIndex(), b.LogIndex()),
		cmp.Compare(a.Payload(), b.Payload()),
	) < 0
}

// meaning returns what has to be alike in two statements for them to agree:
// the whole predicate, or of provenance the environment and the builder image.
// A builder image may be built again; its provenance names neither.
func meaning(e *verify.Evidence) string {
	if p := verify.As[attest.Provenance](e); p != nil {
		environment, _ := p.Dependency(attest.DependencyEnvironment)
		builder, _ := p.Dependency(attest.DependencyBuilder)
		return string(environment + " " + builder)
	}
	if b := verify.As[attest.Base](e); b != nil {
		return canonical(b, e)
	}
	if p := verify.As[attest.LivePatch](e); p != nil {
		return canonical(p, e)
	}
	if i := verify.As[attest.Import](e); i != nil {
		return meaningOfImport(i, e)
	}
	if q := verify.As[attest.Equivalence](e); q != nil {
		return meaningOfEquivalence(q, e)
	}
	return string(e.File())
}

func canonical(predicate any, e *verify.Evidence) string {
	b, err := strictjson.Canonical(predicate)
	if err != nil {
		return string(e.Payload()) // agrees with nothing else
	}
	return string(b)
}
