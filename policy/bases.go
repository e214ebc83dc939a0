package policy

import (
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// The statements by number: what a decision can stand on, from the patch down.
const (
	linkPatch = iota
	linkPatchBuild
	linkBase
	linkBaseBuild
	linkEnvironment
	linkBuilder
	linkPatchImport
	linkBaseImport
	linkPatchEnvironment
	linkPatchBuilder
	linkEquivalence
	links
)

// A basis is a basis of fit: its name, and the statements it stands on. One
// statement less, and nothing fits by it; the others are not looked at.
type basis struct {
	name  string
	needs uint32 // bits by number of the link
}

const (
	onEnvironment = 1<<linkPatch | 1<<linkPatchBuild | 1<<linkBase | 1<<linkBaseBuild | 1<<linkEnvironment | 1<<linkBuilder
	onVouched     = 1<<linkPatchEnvironment | 1<<linkPatchBuilder | 1<<linkEquivalence
)

func byEnvironment() basis { return basis{attest.FitEnvironment, onEnvironment} }

// byVendor: an importer verified that one vendor made patch and base.
func byVendor() basis { return basis{attest.FitVendor, 1<<linkPatchImport | 1<<linkBaseImport} }

// byEquivalence: the base authority vouches for each difference from the
// environment of a base that was built.
func byEquivalence() basis { return basis{attest.FitEquivalent, onEnvironment | onVouched} }

// byReconstruction: it vouches for what nobody observed of an imported base.
func byReconstruction() basis {
	return basis{attest.FitEquivalent, 1<<linkPatch | 1<<linkPatchBuild | 1<<linkBaseImport | onVouched}
}

func (b basis) has(link int) bool { return b.needs&(1<<link) != 0 }

// basisOf returns the basis of fit that patch can have, by what is said of it
// and its base. That it holds, and that the product accepts it, the rules ask.
// What was built here is never taken for imported.
func (g *gathering) basisOf(p *Patch) basis {
	switch {
	case p == nil:
		return byEnvironment()
	case p.Statement == nil && p.Import != nil:
		return byVendor()
	case p.Base != nil && p.Base.Statement == nil && p.Base.Import != nil:
		return byReconstruction()
	case p.Equivalence != nil && g.trust != nil && slices.Contains(g.trust.FitBases, attest.FitEquivalent):
		return byEquivalence()
	}
	return byEnvironment()
}

// equivalence picks the statement that vouches for the environment of patch, as
// one for its base.
func (g gathering) equivalence(patch *Patch, base *Base, p *Pool) (*verify.Evidence, string) {
	s := verify.As[attest.LivePatch](patch.Statement)
	if s == nil || base == nil {
		return nil, ""
	}
	var of attest.Digest
	if b := verify.As[attest.Base](base.Statement); b != nil {
		of = b.Environment
	}
	if of == s.Environment {
		return nil, "" // there is no difference
	}
	var about []*verify.Evidence
	for _, e := range p.About(base.Artifact.Manifest) {
		if q := verify.As[attest.Equivalence](e); q != nil && q.Environment == s.Environment && q.BaseEnvironment == of {
			about = append(about, e)
		}
	}
	return pick[attest.Equivalence](g, attest.RoleBase, about)
}

// A claim is what the statement about a patch or a base says it is, whichever
// kind of statement that is.
type claim struct {
	link           int
	name           string // of the statement's type
	file           attest.File
	base, baseFile attest.Digest // of a patch
	target         attest.Target // of a base, and of an imported patch
}

// claims reads what the statements of the basis say of the patch and its base.
func (p *parts) claims(b basis) (patch, base claim) {
	switch {
	case !b.has(linkPatchImport) && p.patch != nil:
		patch = claim{linkPatch, "livepatch/v1", p.patch.File, p.patch.Base, p.patch.BaseFile, attest.Target{}}
	case b.has(linkPatchImport) && p.patchImport != nil && p.patchImport.Patch != nil:
		i := p.patchImport
		patch = claim{linkPatchImport, "import/v1", i.File, i.Patch.Base, i.Patch.BaseFile, i.Target}
	}
	switch {
	case !b.has(linkBaseImport) && p.base != nil:
		base = claim{link: linkBase, name: "base/v1", file: p.base.File, target: p.base.Target}
	case b.has(linkBaseImport) && p.baseImport != nil && p.baseImport.Patch == nil:
		base = claim{link: linkBaseImport, name: "import/v1", file: p.baseImport.File, target: p.baseImport.Target}
	}
	return patch, base
}

// has reports whether the predicate of a link is there, and of its type. An
// import of a base is none of a patch.
func (p *parts) has(link int) bool {
	switch link {
	case linkPatch:
		return p.patch != nil
	case linkPatchBuild:
		return p.patchBuild != nil
	case linkBase:
		return p.base != nil
	case linkBaseBuild:
		return p.baseBuild != nil
	case linkEnvironment:
		return p.environment != nil
	case linkBuilder:
		return p.image != nil
	case linkPatchImport:
		return p.patchImport != nil && p.patchImport.Patch != nil
	case linkBaseImport:
		return p.baseImport != nil && p.baseImport.Patch == nil
	case linkPatchEnvironment:
		return p.patchEnvironment != nil
	case linkPatchBuilder:
		return p.patchImage != nil
	case linkEquivalence:
		return p.equivalence != nil
	}
	return false
}

// complete reports whether all that the basis stands on is there.
func (p *parts) complete(b basis) bool {
	for i := range links {
		if b.has(i) && !p.has(i) {
			return false
		}
	}
	return true
}

// LivePatch returns what is said of the patch; nil where nothing is. Of an
// imported one it has no environment.
func (p *Patch) LivePatch() *attest.LivePatch {
	if s := verify.As[attest.LivePatch](p.Statement); s != nil {
		return s
	}
	if i := verify.As[attest.Import](p.Import); i != nil && p.Statement == nil {
		return i.LivePatch()
	}
	return nil
}

// Measurements returns the product and the measurements that a statement about
// a base lists; none where it is of another type.
func Measurements(e *verify.Evidence) (product string, list []attest.Measurement) {
	if b := verify.As[attest.Base](e); b != nil {
		return b.Product, b.Measurements
	}
	if i := verify.As[attest.Import](e); i != nil {
		return i.Product, i.Measurements
	}
	return "", nil
}

// statement returns the statement that says what the base is: that of its
// authority, or where there is none, that of an importer.
func (b *Base) statement() (*verify.Evidence, attest.Role) {
	if b.Statement == nil && b.Import != nil {
		return b.Import, attest.RoleImport
	}
	return b.Statement, attest.RoleBase
}

// meaningOfImport is what has to be alike in two imports: what the file is. By
// which package it came, and who says so in which words, may differ.
func meaningOfImport(i *attest.Import, e *verify.Evidence) string {
	c := *i
	c.Method, c.Word, c.Package, c.Chain, c.Path = "", "", attest.Package{}, nil, ""
	return canonical(&c, e)
}

func meaningOfEquivalence(q *attest.Equivalence, e *verify.Evidence) string {
	c := *q
	c.Reason = ""
	return canonical(&c, e)
}
