package policy

import (
	"slices"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// The rules about what evidence is about, the host's record, and the fit.

func (f *view) subjectsMatch(found []Finding) (bool, []Finding) {
	c := compare(found)
	for i := range f.chain {
		l := &f.chain[i]
		if l.evidence.Proven() {
			c.about(l, f.Product)
		}
	}
	p, complete := &f.parts, f.complete
	if complete {
		c.artifacts(f, p)
	}
	c.ev = nil
	if f.Host == nil || f.Host.Record == nil {
		return false, c.found
	}
	c.same("host", "the record", f.Host.ID, f.Host.Record.Host)
	return complete && len(c.found) == c.n, c.found
}

// about asks that a statement is about its artifact, both manifest and file, and
// names this product. That the file is the one the predicate describes, its
// parser saw to.
func (c *comparison) about(l *link, product string) {
	e := l.evidence
	c.ev = e
	c.same("manifest", l.name, string(l.manifest), string(e.Subject()))
	if l.role != attest.RoleBuilder {
		c.same("file", l.name, string(l.file), string(e.File()))
	}
	if verify.As[attest.Environment](e) == nil {
		c.same("product", l.name, product, ProductOf(e))
	}
}

// artifacts asks that the manifests are what the statements take them for.
func (c *comparison) artifacts(f *view, p *parts) {
	a, b := &f.Patch.Artifact, &f.Patch.Base.Artifact
	repository := ""
	if f.product != nil {
		repository = f.product.Repository
	}
	c.ev = f.Patch.Statement
	c.same("type", "the patch's manifest", attest.ArtifactPatch, a.Type)
	c.same("repository", "the patch", repository, a.Repository)
	c.same("OCI subject", "the patch", string(b.Manifest), string(a.Subject))
	c.size("size of the file of livepatch/v1", a.FileSize, p.patch.File.Size)
	c.ev = f.Patch.Base.Statement
	c.same("type", "the base's manifest", attest.ArtifactBase, b.Type)
	c.same("repository", "the base", repository, b.Repository)
	c.size("size of the file of base/v1", b.FileSize, p.base.File.Size)
}

func (c *comparison) size(field string, want, got int64) {
	if want != got || want <= 0 {
		c.differs(field, strconv.FormatInt(want, 10), strconv.FormatInt(got, 10))
	}
}

func (f *view) recordFresh(found []Finding) (bool, []Finding) {
	if f.Host == nil {
		return false, found
	}
	c := compare(found)
	r, got := f.Host.Record, f.Host.Received
	if r == nil || got.IsZero() {
		c.missing("a host record")
		return c.done()
	}
	age, skew := f.Now.Sub(got), r.Time.Sub(got)
	switch {
	case f.Site == nil || f.Site.MaxRecordAge <= 0:
		c.missing("a site policy that says how old a record may be")
	case age > f.Site.MaxRecordAge:
		c.differs("age of the host record", "at most "+f.Site.MaxRecordAge.String(), age.Round(time.Second).String())
	case age < -verify.MaxClockSkew:
		c.differs("arrival of the host record", "before "+f.Now.UTC().Format(time.RFC3339), got.UTC().Format(time.RFC3339))
	case skew > verify.MaxClockSkew || skew < -verify.MaxClockSkew:
		c.differs("time in the host record", got.UTC().Format(time.RFC3339), r.Time.UTC().Format(time.RFC3339))
	}
	return c.done()
}

func (f *view) recordNewest(found []Finding) (bool, []Finding) {
	if f.Host == nil || f.Host.Record == nil {
		return false, found
	}
	c := compare(found)
	if want, got := f.Host.Sequence, f.Host.Record.Sequence; want != got || got < 1 {
		c.differs("sequence of the host record", strconv.FormatInt(want, 10), strconv.FormatInt(got, 10))
	}
	return c.done()
}

// baseKnown asks that every measurement of the product is of a base, and every
// base of the host is measured.
func (f *view) baseKnown(found []Finding) (bool, []Finding) {
	if f.Host == nil || f.Patch == nil {
		return false, found
	}
	c := compare(found)
	if f.Patch.Base == nil {
		c.missing("the base the patch is attached to")
	}
	if f.Host.Record == nil {
		return false, c.found
	}
	measured := 0
	for i := range f.Host.Record.Running {
		r := &f.Host.Record.Running[i]
		if r.Product != f.Product {
			continue
		}
		measured++
		if !isMeasured(f.Host.Bases, *r) {
			c.differs("base with the measurement "+r.Measurement.Kind+" "+string(r.Measurement.Digest)+" build-id "+r.Measurement.BuildID, "one of the product", "")
		}
	}
	if measured == 0 {
		c.missing("a measurement of a base of the product in the host record")
	}
	for _, b := range f.Host.Bases {
		c.running(f, b)
	}
	return len(f.Host.Bases) > 0 && len(c.found) == c.n, c.atMost(maxDifferences)
}

// atMost returns what was found: of this comparison the first n, and how many
// there are where there are more.
func (c *comparison) atMost(n int) []Finding {
	all := len(c.found) - c.n
	if all <= n {
		return c.found
	}
	return append(c.found[:c.n+n], Finding{
		Want: "a base of the product for each measurement, and a measurement of each base",
		Got:  strconv.Itoa(all) + " without, of which these are the first " + strconv.Itoa(n),
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

func (c *comparison) running(f *view, b *Base) {
	for i := range f.Host.Record.Running {
		if r := &f.Host.Record.Running[i]; r.Product == f.Product && b.Matches(*r) {
			return
		}
	}
	c.missing("a measurement in the host record of each base it is said to run")
}

func (f *view) baseMatch(found []Finding) (bool, []Finding) {
	p, complete := &f.parts, f.complete
	if !complete || f.Host == nil || len(f.Host.Bases) == 0 {
		return false, found
	}
	c := compare(found)
	c.ev = f.Patch.Statement
	a := &f.Patch.Base.Artifact
	c.same("base", "livepatch/v1", string(a.Manifest), string(p.patch.Base))
	c.same("base file", "livepatch/v1", string(a.File), string(p.patch.BaseFile))
	for _, b := range f.Host.Bases {
		if b != nil {
			c.same("file", "the base the host runs", string(b.Artifact.File), string(p.patch.BaseFile))
		}
	}
	return c.done()
}

func (f *view) fitBasis(found []Finding) (bool, []Finding) {
	if f.product == nil {
		return false, found
	}
	c := compare(found)
	if !slices.Contains(f.product.FitBases, attest.FitEnvironment) {
		c.differs("basis of fit", listed(f.product.FitBases), attest.FitEnvironment)
	}
	return c.done()
}
