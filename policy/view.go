package policy

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A view is the facts with what several rules need, looked up once. It lives on
// the stack of Decide: rules are called by name and not through a pointer, so
// that it stays there.
type view struct {
	*Facts
	product  *product
	chain    [links]link
	parts    parts
	complete bool // all of parts are there
}

// look makes v, which is zero, the view of f.
func (v *view) look(f *Facts) {
	v.Facts, v.product = f, f.Trust.product(f.Product)
	f.chain(&v.chain)
	v.parts, v.complete = f.parts()
	var signer attest.Digest
	var has *grants
	for i := range v.chain {
		l := &v.chain[i]
		if v.product == nil || !l.evidence.Proven() {
			continue
		}
		if s := l.evidence.Signer(); s != signer {
			signer, has = s, v.product.keys[s]
		}
		l.trusted = has.hold(l.role, l.evidence.Time())
	}
}

// parts are the predicates that have to fit together.
type parts struct {
	patch       *attest.LivePatch
	base        *attest.Base
	environment *attest.Environment
	patchBuild  *attest.Provenance
	baseBuild   *attest.Provenance
	image       *attest.Provenance
}

// parts returns the predicates; false where one is missing or not proven.
func (f *Facts) parts() (p parts, complete bool) {
	if f.Patch == nil || f.Patch.Base == nil {
		return parts{}, false
	}
	b := f.Patch.Base
	p = parts{
		patch:       verify.As[attest.LivePatch](f.Patch.Statement),
		base:        verify.As[attest.Base](b.Statement),
		environment: verify.As[attest.Environment](b.Environment),
		patchBuild:  verify.As[attest.Provenance](f.Patch.Provenance),
		baseBuild:   verify.As[attest.Provenance](b.Provenance),
		image:       verify.As[attest.Provenance](b.Builder),
	}
	complete = p.patch != nil && p.base != nil && p.environment != nil && p.patchBuild != nil && p.baseBuild != nil && p.image != nil
	return p, complete
}

// A link is one statement a decision stands on.
type link struct {
	name     string
	evidence *verify.Evidence
	role     attest.Role // who may make it
	manifest attest.Digest
	file     attest.Digest // "": need not name one
	known    bool          // what it is about is known; the statement may be missing
	trusted  bool          // its signer had the role at its time
}

const links = 6

// chain lists the statements a decision stands on, from the patch down to the
// builder image, each with what it has to be about, in c, which is zero. What is
// not known stays so.
func (f *Facts) chain(c *[links]link) {
	c[0].name, c[0].role = "livepatch/v1 of the patch", attest.RolePatch
	c[1].name, c[1].role = "provenance of the patch", attest.RolePatch
	c[2].name, c[2].role = "base/v1 of the base", attest.RoleBase
	c[3].name, c[3].role = "provenance of the base", attest.RoleBase
	c[4].name, c[4].role = "environment/v1 of the base's environment", attest.RoleBase
	c[5].name, c[5].role = "provenance of the builder image", attest.RoleBuilder
	if f.Patch == nil {
		return
	}
	p := f.Patch
	c[0].is(p.Statement, p.Artifact.Manifest, p.Artifact.File)
	c[1].is(p.Provenance, p.Artifact.Manifest, p.Artifact.File)
	if p.Base == nil {
		return
	}
	b := p.Base
	c[2].is(b.Statement, b.Artifact.Manifest, b.Artifact.File)
	c[3].is(b.Provenance, b.Artifact.Manifest, b.Artifact.File)
	c[4].is(b.Environment, b.Artifact.Subject, "")
	c[5].evidence = b.Builder
	if s := verify.As[attest.Base](b.Statement); s != nil {
		c[4].file = s.Environment
	}
	if e := verify.As[attest.Environment](b.Environment); e != nil {
		c[5].is(b.Builder, e.BuilderImage, "")
	}
}

func (l *link) is(e *verify.Evidence, manifest, file attest.Digest) {
	l.evidence, l.manifest, l.file, l.known = e, manifest, file, true
}

// Evidence returns the payload digests of the statements a decision on f stands
// on: those that are there, in a fixed order.
func (f *Facts) Evidence() []attest.Digest {
	var all []attest.Digest
	var c [links]link
	f.chain(&c)
	for _, l := range c {
		if l.evidence.Proven() {
			all = append(all, l.evidence.Payload())
		}
	}
	return all
}
