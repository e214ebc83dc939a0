package policy

import (
	"slices"
	"strconv"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// The rules of the bases of fit other than the environment.

// vendorMatch asks that one vendor made the patch and the base the host runs,
// for one target.
func (f *view) vendorMatch() bool {
	if !f.complete || f.Host == nil || f.Host.Record == nil {
		return false
	}
	p := &f.parts
	f.ev = f.chain[linkPatchImport].evidence
	f.same("vendor", "import/v1 of the patch", p.baseImport.Vendor, p.patchImport.Vendor)
	f.target("import/v1 of the patch", p.baseImport.Target, p.patchImport.Target)
	f.ev = nil
	f.target("the host record", p.baseImport.Target, f.Host.Record.Target)
	return true
}

// equivalentMatch asks that the base authority vouches for the environment the
// patch was built in, beside that of its base, or of one nobody observed.
func (f *view) equivalentMatch() bool {
	if !f.complete || f.Host == nil || f.Host.Record == nil {
		return false
	}
	p := &f.parts
	f.builtIn(linkPatchBuild, p.patch.Environment, p.patchEnvironment.BuilderImage)
	f.ev = f.chain[linkEquivalence].evidence
	f.same("environment", "environment-equivalence/v1", string(p.patch.Environment), string(p.equivalence.Environment))
	if f.basis.has(linkBase) {
		f.fromBuilt()
	} else {
		f.fromImported()
	}
	f.ev = f.chain[f.base.link].evidence
	f.target(f.base.name, p.patchEnvironment.Target, f.base.target)
	f.ev = nil
	f.target("the host record", p.patchEnvironment.Target, f.Host.Record.Target)
	return true
}

// builtIn asks that provenance names an environment and its builder image.
func (f *view) builtIn(link int, environment, builder attest.Digest) {
	f.ev = f.chain[link].evidence
	f.dependency(attest.DependencyEnvironment, environment, &f.chain[link].vetted.environment)
	f.dependency(attest.DependencyBuilder, builder, &f.chain[link].vetted.builder)
}

// fromBuilt asks that the statement names exactly what differs, and that it may
// differ.
func (f *view) fromBuilt() {
	p := &f.parts
	of := f.Patch.Base.Environment.File()
	f.same("baseEnvironment", "environment-equivalence/v1", string(of), string(p.equivalence.BaseEnvironment))
	f.builtIn(linkBaseBuild, of, p.environment.BuilderImage)
	f.ev = nil
	for _, b := range f.Host.Bases {
		if b != nil {
			f.same("environment", "the base the host runs", string(of), string(b.Environment.File()))
		}
	}
	f.ev = f.chain[linkPatch].evidence
	for _, d := range p.environment.Unvouchable(p.patchEnvironment) {
		f.differs(d.Field, d.Want, d.Got)
	}
	f.named(p.environment.Diff(p.patchEnvironment), p.equivalence.Differences)
}

// named reports what differs and is not vouched for, and what is vouched for
// and does not differ so.
func (f *view) named(differ []attest.Difference, vouched []attest.VouchedDifference) {
	n, want := len(f.found), attest.Vouch(differ)
	if slices.Equal(want, vouched) {
		return
	}
	f.ev = f.chain[linkPatch].evidence
	for _, d := range want {
		if !slices.Contains(vouched, d) {
			f.differs(d.Field, d.Base, d.Patch)
		}
	}
	f.ev = f.chain[linkEquivalence].evidence
	for _, v := range vouched {
		if !slices.Contains(want, v) {
			f.differs("vouched difference "+v.Field, "one there is", v.Base+" and "+v.Patch)
		}
	}
	if len(f.found) == n {
		f.differs("vouched differences", "in the order of the environments, each once", "another list")
	}
	f.few(n)
}

// few keeps of the differences found after n the first, and how many there are
// where there are more.
func (f *view) few(n int) {
	if all := len(f.found) - n; all > maxDifferences {
		f.found = f.found[:n+maxDifferences]
		f.differs("differences", "at most "+strconv.Itoa(maxDifferences)+" listed", strconv.Itoa(all))
	}
}

// fromImported asks that the statement lists exactly what nobody observed, and
// that what was observed is alike.
func (f *view) fromImported() {
	p := &f.parts
	if got := p.equivalence.BaseEnvironment; got != "" {
		f.differs("baseEnvironment of environment-equivalence/v1", "", string(got))
	}
	observed := p.baseImport.Observed
	want := observed.Unobserved()
	if !slices.Equal(want, p.equivalence.Unobserved) {
		f.differs("unobserved", strings.Join(want, " "), strings.Join(p.equivalence.Unobserved, " "))
	}
	f.ev = f.chain[linkPatch].evidence
	if want, got := observed.Configuration, p.patchEnvironment.Configuration; want != "" && want != got {
		f.differs("configuration", string(want), string(got))
	}
	if want, got := observed.Compiler, p.patchEnvironment.Compiler.Version; want != "" && want != got {
		f.differs("compiler/version", want, got)
	}
}

// vendorVerified asks that both imports have a chain: a vendor that nobody
// verified made nothing.
func (f *view) vendorVerified() {
	for _, i := range [...]int{linkPatchImport, linkBaseImport} {
		imported := f.parts.patchImport
		if i == linkBaseImport {
			imported = f.parts.baseImport
		}
		if imported != nil && !imported.Verified() {
			f.ev = f.chain[i].evidence
			f.differs("origin of "+statements[i].name, attest.OriginImported, imported.Origin)
		}
	}
}

// importedAs returns the assurance of a base by its import.
func (f *view) importedAs() string {
	l, i := &f.chain[linkBaseImport], f.parts.baseImport
	if i != nil && i.Verified() && l.vetted != nil && l.vetted.trusted {
		return BaseImported
	}
	return BaseObserved
}
