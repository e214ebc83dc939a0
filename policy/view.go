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
	chain    [links]link
	parts    parts
	complete bool   // all of parts are there
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
	v.parts.read(f)
	v.parts.chain(f, &v.chain)
	v.complete = v.parts.complete()
	if f.Patch == nil {
		return
	}
	v.vet(0, &f.Patch.under, f.Patch.vetted[:])
	if b := f.Patch.Base; b != nil {
		v.vet(2, &b.under, b.vetted[:])
	}
}

// vet takes, for the links from first on, what was found when they were
// gathered, where they are the same statements, gathered under the same trust
// policy and revocations, and finds it anew where not.
func (v *view) vet(first int, under *gathering, gathered []vetted) {
	same := under.is(v.Trust, v.Product, v.Revoked)
	for i := range gathered {
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
}

// read fills p, which is zero, with the predicates there are. What is missing
// or not proven stays nil.
func (p *parts) read(f *Facts) {
	if f.Patch == nil {
		return
	}
	p.patch = verify.As[attest.LivePatch](f.Patch.Statement)
	p.patchBuild = verify.As[attest.Provenance](f.Patch.Provenance)
	b := f.Patch.Base
	if b == nil {
		return
	}
	p.base = verify.As[attest.Base](b.Statement)
	p.baseBuild = verify.As[attest.Provenance](b.Provenance)
	p.environment = verify.As[attest.Environment](b.Environment)
	p.image = verify.As[attest.Provenance](b.Builder)
}

// complete reports whether all of them are there.
func (p *parts) complete() bool {
	return p.patch != nil && p.base != nil && p.environment != nil && p.patchBuild != nil && p.baseBuild != nil && p.image != nil
}

const links = 6

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
	b := f.Patch.Base
	if b == nil {
		return
	}
	a = &b.Artifact
	c[2].is(b.Statement, a.Manifest, a.File)
	c[3].is(b.Provenance, a.Manifest, a.File)
	c[4].is(b.Environment, a.Subject, "")
	c[5].evidence = b.Builder
	if p.base != nil {
		c[4].file = p.base.Environment
	}
	if p.environment != nil {
		c[5].is(b.Builder, p.environment.BuilderImage, "")
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
	for i := range c {
		if c[i].evidence.Proven() {
			all = append(all, c[i].evidence.Payload())
		}
	}
	if e := f.channel(); e.Proven() {
		all = append(all, e.Payload())
	}
	return all
}
