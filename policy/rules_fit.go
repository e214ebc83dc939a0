package policy

import (
	"slices"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// The rules about what evidence is about, the host's record, and the fit.

func (f *view) subjectsMatch() bool {
	for i := range f.chain {
		if f.basis.has(i) && f.chain[i].vetted != nil {
			f.about(i)
		}
	}
	if f.complete {
		f.artifacts()
	}
	f.ev = nil
	if f.Host == nil || f.Host.Record == nil {
		return false
	}
	f.same("host", "the record", f.Host.ID, f.Host.Record.Host)
	return f.complete
}

// about asks that a statement is about its artifact, both manifest and file, and
// names this product. That the file is the one the predicate describes, its
// parser saw to.
func (f *view) about(i int) {
	l, s := &f.chain[i], &statements[i]
	f.ev = l.evidence
	f.same("manifest", s.name, string(l.manifest), string(l.evidence.Subject()))
	if s.role != attest.RoleBuilder {
		f.same("file", s.name, string(l.file), string(l.evidence.File()))
	}
	if !l.vetted.anyProduct {
		f.same("product", s.name, f.Product, l.vetted.product)
	}
}

// artifacts asks that the manifests are what the statements take them for.
func (f *view) artifacts() {
	a, b := &f.Patch.Artifact, &f.Patch.Base.Artifact
	repository := ""
	if f.under.trust != nil {
		repository = f.under.trust.Repository
	}
	f.ev = f.chain[f.patch.link].evidence
	f.same("type", "the patch's manifest", attest.ArtifactPatch, a.Type)
	f.same("repository", "the patch", repository, a.Repository)
	f.same("OCI subject", "the patch", string(b.Manifest), string(a.Subject))
	f.size("size of the file of "+f.patch.name, a.FileSize, f.patch.file.Size)
	f.ev = f.chain[f.base.link].evidence
	f.same("type", "the base's manifest", attest.ArtifactBase, b.Type)
	f.same("repository", "the base", repository, b.Repository)
	f.size("size of the file of "+f.base.name, b.FileSize, f.base.file.Size)
}

func (f *view) size(field string, want, got int64) {
	if want != got || want <= 0 {
		f.differs(field, strconv.FormatInt(want, 10), strconv.FormatInt(got, 10))
	}
}

func (f *view) recordFresh() bool {
	if f.Host == nil {
		return false
	}
	r, got := f.Host.Record, f.Host.Received
	if r == nil || got.IsZero() {
		f.missing("a host record")
		return true
	}
	age, skew := f.Now.Sub(got), r.Time.Sub(got)
	switch {
	case f.Site == nil || f.Site.MaxRecordAge <= 0:
		f.missing("a site policy that says how old a record may be")
	case age > maxRecordAge: // whatever the site policy says
		f.differs("age of the host record", "at most "+min(f.Site.MaxRecordAge, maxRecordAge).String(), age.Round(time.Second).String())
	case age > f.Site.MaxRecordAge && f.Site.Modes.MaxRecordAge != Warn:
		f.differs("age of the host record", "at most "+f.Site.MaxRecordAge.String(), age.Round(time.Second).String())
	case age < -verify.MaxClockSkew:
		f.differs("arrival of the host record", "before "+f.Now.UTC().Format(time.RFC3339), got.UTC().Format(time.RFC3339))
	case skew > verify.MaxClockSkew || skew < -verify.MaxClockSkew:
		f.differs("time in the host record", got.UTC().Format(time.RFC3339), r.Time.UTC().Format(time.RFC3339))
	case age > f.Site.MaxRecordAge:
		f.bySite(Warn, ruleRecordFresh, "age of the host record", "at most "+f.Site.MaxRecordAge.String(), age.Round(time.Second).String())
	}
	return true
}

func (f *view) recordNewest() bool {
	if f.Host == nil || f.Host.Record == nil {
		return false
	}
	if want, got := f.Host.Sequence, f.Host.Record.Sequence; want != got || got < 1 {
		f.differs("sequence of the host record", strconv.FormatInt(want, 10), strconv.FormatInt(got, 10))
	}
	return true
}

// baseKnown asks that every measurement of the product is of a base, and every
// base of the host is measured.
func (f *view) baseKnown() bool {
	if f.Host == nil || f.Patch == nil {
		return false
	}
	n := len(f.found)
	if f.Patch.Base == nil {
		f.missing("the base the patch is attached to")
	}
	if f.Host.Record == nil {
		return false
	}
	measured := 0
	for i := range f.Host.Record.Running {
		r := &f.Host.Record.Running[i]
		if r.Product != f.Product {
			continue
		}
		measured++
		if !isMeasured(f.Host.Bases, *r) {
			f.differs("base with the measurement "+r.Measurement.Kind+" "+string(r.Measurement.Digest)+" build-id "+r.Measurement.BuildID, "one of the product", "")
		}
	}
	if measured == 0 {
		f.missing("a measurement of a base of the product in the host record")
	}
	for _, b := range f.Host.Bases {
		f.running(b)
	}
	f.summarize(n)
	return len(f.Host.Bases) > 0
}

// summarize keeps of what was found after n the first, and how many there are
// where there are more.
func (f *view) summarize(n int) {
	all := len(f.found) - n
	if all <= maxDifferences {
		return
	}
	f.found = append(f.found[:n+maxDifferences], Finding{
		Want: "a base of the product for each measurement, and a measurement of each base",
		Got:  strconv.Itoa(all) + " without, of which these are the first " + strconv.Itoa(maxDifferences),
	})
}

func isMeasured(bases []*Base, r attest.Running) bool {
	for _, b := range bases {
		if b.Matches(r) {
			return true
		}
	}
	return false
}

func (f *view) running(b *Base) {
	for i := range f.Host.Record.Running {
		if r := &f.Host.Record.Running[i]; r.Product == f.Product && b.Matches(*r) {
			return
		}
	}
	f.missing("a measurement in the host record of each base it is said to run")
}

func (f *view) baseMatch() bool {
	if !f.complete || f.Host == nil || len(f.Host.Bases) == 0 {
		return false
	}
	f.ev = f.chain[f.patch.link].evidence
	a := &f.Patch.Base.Artifact
	f.same("base", f.patch.name, string(a.Manifest), string(f.patch.base))
	f.same("base file", f.patch.name, string(a.File), string(f.patch.baseFile))
	for _, b := range f.Host.Bases {
		if b != nil {
			f.same("file", "the base the host runs", string(b.Artifact.File), string(f.patch.baseFile))
		}
	}
	return true
}

func (f *view) fitBasis() bool {
	if f.under.trust == nil {
		return false
	}
	if accepted := f.under.trust.FitBases; !slices.Contains(accepted, f.basis.name) {
		f.differs("basis of fit", listed(accepted), f.basis.name)
	}
	if f.basis.name == attest.FitVendor {
		f.vendorVerified()
	}
	return true
}
