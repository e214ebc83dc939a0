package policy

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// A view is the facts with what several rules need, looked up once, and what
// rules found so far. It lives on the stack of Decide: rules are called by name
// and not through a pointer, so that it stays there.
type view struct {
	*Facts
	under    gathering
	basis    basis
	chain    [links]link
	parts    parts
	patch    claim
	base     claim
	complete bool   // all of parts the basis stands on are there
	passed   uint32 // rules, by number
	found    []Finding
	warned   []Finding        // by site rules that only warn, signed
	told     int              // of found, what earlier rules told
	ev       *verify.Evidence // the statement at fault, for what is found next
}

// look makes v, which is zero, the view of f.
func (v *view) look(f *Facts) {
	v.Facts = f
	if f.Patch != nil && f.Patch.under.is(f.Trust, f.Product, f.Revoked) {
		v.under = f.Patch.under
	} else {
		v.under = newGathering(f.Trust, f.Product, f.Revoked)
	}
	v.basis = v.under.basisOf(f.Patch)
	v.parts.read(f)
	v.parts.chain(f, &v.chain)
	v.patch, v.base = v.parts.claims(v.basis)
	v.complete = v.parts.complete(v.basis)
	if f.Patch == nil {
		return
	}
	v.vet(linkPatch, &f.Patch.under, f.Patch.vetted[:])
	for i := range f.Patch.beside {
		v.vet(besidePatch(i), &f.Patch.under, f.Patch.beside[i:i+1])
	}
	if b := f.Patch.Base; b != nil {
		v.vet(linkBase, &b.under, b.vetted[:])
		v.vet(linkBaseImport, &b.under, b.imported[:])
	}
}

// vet takes, for the links from first on, what was found when they were
// gathered, where they are the same statements, gathered under the same trust
// policy and revocations, and finds it anew where not.
func (v *view) vet(first int, under *gathering, gathered []vetted) {
	same := under.is(v.Trust, v.Product, v.Revoked)
	for i := range gathered {
		if !v.basis.has(first + i) {
			continue
		}
		switch l := &v.chain[first+i]; {
		case !l.evidence.Proven():
		case same && gathered[i].of == l.evidence.Identity():
			l.vetted = &gathered[i]
		default:
			anew := v.under.vet(statements[first+i].role, l.evidence)
			l.vetted = &anew
		}
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

	patchImport, baseImport *attest.Import
	patchEnvironment        *attest.Environment
	patchImage              *attest.Provenance
	equivalence             *attest.Equivalence
}

// read fills p, which is zero, with the predicates there are. What is missing
// or not proven stays nil.
func (p *parts) read(f *Facts) {
	if f.Patch == nil {
		return
	}
	p.patch = verify.As[attest.LivePatch](f.Patch.Statement)
	p.patchBuild = verify.As[attest.Provenance](f.Patch.Provenance)
	p.patchImport = verify.As[attest.Import](f.Patch.Import)
	p.patchEnvironment = verify.As[attest.Environment](f.Patch.Environment)
	p.patchImage = verify.As[attest.Provenance](f.Patch.Builder)
	p.equivalence = verify.As[attest.Equivalence](f.Patch.Equivalence)
	b := f.Patch.Base
	if b == nil {
		return
	}
	p.base = verify.As[attest.Base](b.Statement)
	p.baseBuild = verify.As[attest.Provenance](b.Provenance)
	p.environment = verify.As[attest.Environment](b.Environment)
	p.image = verify.As[attest.Provenance](b.Builder)
	p.baseImport = verify.As[attest.Import](b.Import)
}

// statements are what a decision stands on, from the patch down to the builder
// image, and who may make them.
var statements = [links]struct {
	name string
	role attest.Role
}{
	{"livepatch/v1 of the patch", attest.RolePatch},
	{"provenance of the patch", attest.RolePatch},
	{"base/v1 of the base", attest.RoleBase},
	{"provenance of the base", attest.RoleBase},
	{"environment/v1 of the base's environment", attest.RoleBase},
	{"provenance of the builder image", attest.RoleBuilder},
	{"import/v1 of the patch", attest.RoleImport},
	{"import/v1 of the base", attest.RoleImport},
	{"environment/v1 of the patch's environment", attest.RoleBase},
	{"provenance of the patch's builder image", attest.RoleBuilder},
	{"environment-equivalence/v1 of the base", attest.RoleBase},
}

// besidePatch returns the link of what is gathered beside a patch's own
// statement and provenance.
func besidePatch(i int) int {
	return [...]int{linkPatchImport, linkPatchEnvironment, linkPatchBuilder, linkEquivalence}[i]
}

// A link is one of these statements, with what it has to be about.
type link struct {
	evidence *verify.Evidence
	vetted   *vetted // nil where evidence is not proven
	manifest attest.Digest
	file     attest.Digest // "": need not name one
	known    bool          // what it is about is known; the statement may be missing
}

// chain lists the links of f in c, which is zero. What is not known stays so.
func (p *parts) chain(f *Facts, c *[links]link) {
	if f.Patch == nil {
		return
	}
	a := &f.Patch.Artifact
	c[0].is(f.Patch.Statement, a.Manifest, a.File)
	c[1].is(f.Patch.Provenance, a.Manifest, a.File)
	c[linkPatchImport].is(f.Patch.Import, a.Manifest, a.File)
	p.chainBeside(f.Patch, c)
	b := f.Patch.Base
	if b == nil {
		return
	}
	a = &b.Artifact
	c[2].is(b.Statement, a.Manifest, a.File)
	c[3].is(b.Provenance, a.Manifest, a.File)
	c[linkBaseImport].is(b.Import, a.Manifest, a.File)
	c[linkEquivalence].is(f.Patch.Equivalence, a.Manifest, a.File)
	c[4].is(b.Environment, a.Subject, "")
	c[5].evidence = b.Builder
	if p.base != nil {
		c[4].file = p.base.Environment
	}
	if p.environment != nil {
		c[5].is(b.Builder, p.environment.BuilderImage, "")
	}
}

// chainBeside lists the patch's own environment, which is known by its digest
// alone and may be attached anywhere, and its builder image.
func (p *parts) chainBeside(patch *Patch, c *[links]link) {
	if p.patch == nil {
		return
	}
	c[linkPatchEnvironment].is(patch.Environment, patch.Environment.Subject(), p.patch.Environment)
	c[linkPatchBuilder].evidence = patch.Builder
	if p.patchEnvironment != nil {
		c[linkPatchBuilder].is(patch.Builder, p.patchEnvironment.BuilderImage, "")
	}
}

func (l *link) is(e *verify.Evidence, manifest, file attest.Digest) {
	l.evidence, l.manifest, l.file, l.known = e, manifest, file, true
}

// Evidence returns the payload digests of the statements a decision on f stands
// on: those that are there, in a fixed order, and last the channel that offers the
// patch, or did, where trust policy or site policy asks for one.
func (f *Facts) Evidence() []attest.Digest {
	var all []attest.Digest
	var p parts
	var c [links]link
	p.read(f)
	p.chain(f, &c)
	under := newGathering(f.Trust, f.Product, f.Revoked)
	basis := under.basisOf(f.Patch)
	for i := range c {
		if basis.has(i) && c[i].evidence.Proven() {
			all = append(all, c[i].evidence.Payload())
		}
	}
	all = append(all, f.countedRebuilds()...)
	if e := f.channel(); e.Proven() {
		all = append(all, e.Payload())
	}
	return all
}
