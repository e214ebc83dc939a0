package policy

import (
	"slices"
	"strconv"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

// The rules about the host, the trust policy and the evidence in itself.

func (f *view) hostActive(found []Finding) (bool, []Finding) {
	c := compare(found)
	switch {
	case f.Host == nil || f.Host.ID == "":
		c.missing("an enrolled host")
	case f.Host.State != HostActive:
		c.differs("state", HostActive, f.Host.State)
	}
	return c.done()
}

func (f *view) hostKeyUnique(found []Finding) (bool, []Finding) {
	if f.Host == nil {
		return false, found
	}
	c := compare(found)
	if f.Host.Cloned {
		c.differs("machines that use the key of host "+f.Host.ID, "1", "2 or more")
	}
	return c.done()
}

func (f *view) hostProduct(found []Finding) (bool, []Finding) {
	if f.Host == nil {
		return false, found
	}
	c := compare(found)
	if f.Product == "" || !slices.Contains(f.Host.Products, f.Product) {
		c.differs("product of the host", f.Product, listed(f.Host.Products))
	}
	return c.done()
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

func (f *view) trustCurrent(found []Finding) (bool, []Finding) {
	c := compare(found)
	switch {
	case f.Trust == nil:
		c.missing("a trust policy")
	case f.Now.IsZero() || !f.Now.Before(f.Trust.expires):
		c.differs("now before the trust policy expires", f.Trust.expires.UTC().Format(time.RFC3339), f.Now.UTC().Format(time.RFC3339))
	case f.product == nil:
		c.differs("product of the trust policy", f.Product, "")
	}
	return c.done()
}

func (f *view) attested(found []Finding) (bool, []Finding) {
	c := compare(found)
	if f.Patch == nil {
		c.missing("an artifact that is a live patch")
		return c.done()
	}
	chain := &f.chain
	p, b := f.Patch, f.Patch.Base
	c.present(&chain[0], verify.As[attest.LivePatch](p.Statement) != nil)
	if b != nil {
		c.present(&chain[2], verify.As[attest.Base](b.Statement) != nil)
		c.present(&chain[4], verify.As[attest.Environment](b.Environment) != nil)
	}
	return b != nil && len(c.found) == c.n, c.found
}

func (f *view) provenance(found []Finding) (bool, []Finding) {
	if f.Patch == nil {
		return false, found
	}
	chain := &f.chain
	c := compare(found)
	complete := true
	for _, i := range [...]int{1, 3, 5} {
		l := &chain[i]
		if l.known {
			c.present(l, verify.As[attest.Provenance](l.evidence) != nil)
		}
		complete = complete && l.known
	}
	return complete && len(c.found) == c.n, c.found
}

// present asks for a statement of the right type. One that is there and not
// proven is for another rule to tell.
func (c *comparison) present(l *link, ok bool) {
	switch {
	case ok || l.evidence != nil && !l.evidence.Proven():
	case l.evidence == nil:
		c.missing(l.name)
	default:
		c.ev = l.evidence
		c.differs(l.name, "a statement of its type", l.evidence.Type())
	}
}

func (f *view) logged(found []Finding) (bool, []Finding) {
	c := compare(found)
	complete := true
	for i := range f.chain {
		l := &f.chain[i]
		complete = complete && l.evidence != nil
		if l.evidence != nil && !l.evidence.Proven() {
			c.missing("proof of " + l.name)
		}
	}
	return complete && len(c.found) == c.n, c.found
}

func (f *view) signersTrusted(found []Finding) (bool, []Finding) {
	if f.product == nil {
		return false, found
	}
	c := compare(found)
	complete := true
	for i := range f.chain {
		l := &f.chain[i]
		if !l.evidence.Proven() {
			complete = false
			continue
		}
		if !l.trusted {
			c.ev = l.evidence
			c.differs("signer of "+l.name, "role "+string(l.role)+" at "+l.evidence.Time().Format(time.RFC3339), "key "+string(l.evidence.Signer()))
		}
	}
	return complete && len(c.found) == c.n, c.found
}

func (f *view) notRevoked(found []Finding) (bool, []Finding) {
	if f.Patch == nil || f.Patch.Base == nil {
		return false, found
	}
	c := compare(found)
	if f.Revoked == nil {
		c.missing("knowledge of the product's revocations")
		return c.done()
	}
	set := f.Revoked.of(f.Product)
	if len(set) == 0 {
		return c.done()
	}
	for i := range f.chain {
		l := &f.chain[i]
		c.live(l.name, set.evidence(l.evidence))
	}
	return c.done()
}

func (c *comparison) live(what string, by *verify.Evidence) {
	if by == nil {
		return
	}
	r := verify.As[attest.Revocation](by)
	c.ev = by
	c.differs(what, "not revoked", "revoked by "+r.Kind+" "+string(r.Digest)+": "+r.Reason)
}

func (f *view) notContested(found []Finding) (bool, []Finding) {
	if f.Patch == nil || f.Patch.Base == nil || f.Host == nil {
		return false, found
	}
	c := compare(found)
	c.agreed("the patch", f.Patch.Contested)
	c.agreed("the patch's base", f.Patch.Base.Contested)
	for _, b := range f.Host.Bases {
		if b == nil || b == f.Patch.Base {
			continue
		}
		c.agreed("the host's base", b.Contested)
		c.mappedAlike(f.Patch.Base, b)
	}
	return c.done()
}

// mappedAlike asks that two manifests of one file, which are one base, map it
// to one environment.
func (c *comparison) mappedAlike(a, b *Base) {
	x, y := verify.As[attest.Base](a.Statement), verify.As[attest.Base](b.Statement)
	if x != nil && y != nil && x.File == y.File && x.Environment != y.Environment {
		c.ev = b.Statement
		c.differs("environment of base file "+string(x.File.Digest), string(x.Environment), string(y.Environment))
	}
}

func (c *comparison) agreed(what, contested string) {
	if contested != "" {
		c.differs("statements about "+what, "agreed", contested)
	}
}
