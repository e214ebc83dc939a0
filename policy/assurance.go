package policy

import (
	"github.com/patchfit/patchfit/internal/strictjson"
)

// Assurance is how well something is known, on two axes. The levels are
// computed from evidence, never taken from a claim.
type Assurance struct {
	Host string `json:"host"` // of the host record
	Base string `json:"base"` // of the base the host runs
}

// The levels a decision can find. Of the host, levels above can be asked for;
// nothing reaches them yet.
const (
	HostSigned     = "signed"     // by the host's enrolled key
	BaseObserved   = "observed"   // only hosts have seen it
	BaseImported   = "imported"   // a vendor's, as a trusted importer verified
	BaseBuilt      = "built"      // provenance by the product's base authority
	BaseReproduced = "reproduced" // and somebody else built it again, bit for bit
)

// hostLevel returns the rank of a level of the host axis, from 1 up; 0 for a
// name that is none.
func hostLevel(name string) int {
	switch name {
	case "reported":
		return 1
	case HostSigned:
		return 2
	case "corroborated":
		return 3
	case "quoted":
		return 4
	case "appraised":
		return 5
	}
	return 0
}

// baseLevel does the same for the base axis.
func baseLevel(name string) int {
	switch name {
	case BaseObserved:
		return 1
	case BaseImported:
		return 2
	case BaseBuilt:
		return 3
	case BaseReproduced:
		return 4
	}
	return 0
}

func (a *Assurance) check() error {
	if hostLevel(a.Host) < hostLevel(HostSigned) {
		return strictjson.Errorf("/minimumAssurance/host", "%.40q is not signed, corroborated, quoted or appraised", a.Host)
	}
	if baseLevel(a.Base) == 0 {
		return strictjson.Errorf("/minimumAssurance/base", "%.40q is not observed, imported, built or reproduced", a.Base)
	}
	return nil
}

// assurance asks that the levels found reach the levels asked for.
func (f *view) assurance() bool {
	if f.Host == nil || f.Host.Record == nil || f.Patch == nil || f.Patch.Base == nil {
		return false
	}
	if f.Site == nil || f.Site.MinimumAssurance.check() != nil {
		f.missing("a site policy that says how well things have to be known")
		return true
	}
	want := &f.Site.MinimumAssurance
	if hostLevel(HostSigned) < hostLevel(want.Host) { // the only records there are
		f.bySite(f.Site.Modes.MinimumHost, ruleAssurance, "assurance of the host record", "at least "+want.Host, HostSigned)
	}
	if got := f.baseAssurance(); baseLevel(got) < baseLevel(want.Base) {
		f.bySite(f.Site.Modes.MinimumBase, ruleAssurance, "assurance of the base", "at least "+want.Base, got)
	}
	f.linted()
	return true
}

// baseAssurance returns how well the patch's base is known.
func (f *view) baseAssurance() string {
	if f.basis.has(linkBaseImport) {
		return f.importedAs()
	}
	if provenance := &f.chain[3]; f.parts.baseBuild != nil && provenance.vetted.trusted {
		if f.baseReproduced() {
			return BaseReproduced
		}
		return BaseBuilt
	}
	return BaseObserved
}
