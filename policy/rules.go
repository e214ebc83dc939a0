package policy

import (
	"slices"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// The rules about the host, the trust policy and the evidence in itself.

func (f *view) hostActive() bool {
	switch {
	case f.Host == nil || f.Host.ID == "":
		f.missing("an enrolled host")
	case f.Host.State != HostActive:
		f.differs("state", HostActive, f.Host.State)
	}
	return true
}

func (f *view) hostKeyUnique() bool {
	if f.Host == nil {
		return false
	}
	if f.Host.Cloned {
		f.differs("machines that use the key of host "+f.Host.ID, "1", "2 or more")
	}
	return true
}

func (f *view) hostProduct() bool {
	if f.Host == nil {
		return false
	}
	if f.Product == "" || !slices.Contains(f.Host.Products, f.Product) {
		f.differs("product of the host", f.Product, listed(f.Host.Products))
	}
	return true
}

func listed(names []string) string {
	if len(names) > 8 {
		return strconv.Itoa(len(names)) + " others"
	}
	var all string
	for i, n := range names {
		if i > 0 {
			all += " "
		}
		all += n
	}
	return all
}

func (f *view) trustCurrent() bool {
	switch {
	case f.Trust == nil:
		f.missing("a trust policy")
	case f.Now.IsZero() || !f.Now.Before(f.Trust.expires):
		f.differs("now before the trust policy expires", f.Trust.expires.UTC().Format(time.RFC3339), f.Now.UTC().Format(time.RFC3339))
	case f.under.trust == nil:
		f.differs("product of the trust policy", f.Product, "")
	}
	return true
}

func (f *view) attested() bool {
	if f.Patch == nil {
		f.missing("an artifact that is a live patch")
		return true
	}
	complete := true
	for _, i := range [...]int{linkPatch, linkPatchImport, linkBase, linkBaseImport, linkEnvironment, linkPatchEnvironment, linkEquivalence} {
		if f.basis.has(i) && (f.Patch.Base != nil || i == linkPatch || i == linkPatchImport) {
			complete = f.present(i, f.parts.has(i)) && complete
		}
	}
	return complete && f.Patch.Base != nil
}

func (f *view) provenance() bool {
	if f.Patch == nil {
		return false
	}
	complete := true
	for _, i := range [...]int{linkPatchBuild, linkBaseBuild, linkBuilder, linkPatchBuilder} {
		if f.basis.has(i) {
			complete = f.chain[i].known && f.present(i, f.parts.has(i)) && complete
		}
	}
	return complete && f.Patch.Base != nil
}

// present asks for a statement of the right type. One that is there and not
// proven is for another rule to tell, and so is that what it would be about is
// revoked: then nobody asks for it any more, and it is not complete.
func (f *view) present(i int, ok bool) (complete bool) {
	switch l := &f.chain[i]; {
	case ok || l.evidence != nil && !l.evidence.Proven():
	case l.evidence == nil && f.condemned(i) != nil:
		return false
	case l.evidence == nil:
		f.missing(statements[i].name)
	default:
		f.ev = l.evidence
		f.differs(statements[i].name, "a statement of its type", l.evidence.Type())
	}
	return true
}

// condemned returns the revocation of what a link is about, itself; nil where
// there is none. It is so whether anybody made a statement or not.
func (f *view) condemned(i int) *verify.Evidence {
	return f.under.revoked.by(f.chain[i].manifest, attest.RevokeSubject, attest.RevokeBuilder)
}

func (f *view) logged() bool {
	complete := true
	for i := range f.chain {
		l := &f.chain[i]
		if !f.basis.has(i) {
			continue
		}
		complete = complete && l.evidence != nil
		if l.evidence != nil && !l.evidence.Proven() {
			f.missing("proof of " + statements[i].name)
		}
	}
	return complete
}

func (f *view) signersTrusted() bool {
	if f.under.trust == nil {
		return false
	}
	complete := true
	for i := range f.chain {
		l := &f.chain[i]
		if !f.basis.has(i) {
			continue
		}
		if l.vetted == nil {
			complete = false
			continue
		}
		if !l.vetted.trusted {
			f.ev = l.evidence
			f.differs("signer of "+statements[i].name, "role "+string(statements[i].role)+" at "+l.evidence.Time().Format(time.RFC3339), "key "+string(l.evidence.Signer()))
		}
	}
	return complete
}

func (f *view) notRevoked() bool {
	if f.Patch == nil || f.Patch.Base == nil {
		return false
	}
	if f.Revoked == nil {
		f.missing("knowledge of the product's revocations")
		return true
	}
	for i := range f.chain {
		switch l := &f.chain[i]; {
		case !f.basis.has(i):
		case l.vetted != nil && l.vetted.revoked != nil:
			f.revoked(i, l.vetted.revoked)
		case l.evidence == nil:
			if by := f.condemned(i); by != nil {
				f.revoked(i, by)
			}
		}
	}
	return true
}

func (f *view) revoked(i int, by *verify.Evidence) {
	r := verify.As[attest.Revocation](by)
	f.ev = by
	f.differs(statements[i].name, "not revoked", "revoked by "+r.Kind+" "+string(r.Digest)+": "+r.Reason)
}

func (f *view) notContested() bool {
	if f.Patch == nil || f.Patch.Base == nil || f.Host == nil {
		return false
	}
	f.agreed("the patch", f.Patch.Contested)
	f.agreed("the patch's base", f.Patch.Base.Contested)
	for _, b := range f.Host.Bases {
		if b == nil || b == f.Patch.Base {
			continue
		}
		f.agreed("the host's base", b.Contested)
		f.mappedAlike(f.Patch.Base, b)
	}
	return true
}

// mappedAlike asks that two manifests of one file, which are one base, map it
// to one environment.
func (f *view) mappedAlike(a, b *Base) {
	x, y := verify.As[attest.Base](a.Statement), verify.As[attest.Base](b.Statement)
	if x != nil && y != nil && x.File == y.File && x.Environment != y.Environment {
		f.ev = b.Statement
		f.differs("environment of base file "+string(x.File.Digest), string(x.Environment), string(y.Environment))
	}
}

func (f *view) agreed(what, contested string) {
	if contested != "" {
		f.differs("statements about "+what, "agreed", contested)
	}
}
