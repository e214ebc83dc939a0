package attest

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"

	"github.com/sigstore/sigstore-go/pkg/root"
)

func (i SignerIdentity) check(at spot) error {
	return cmp.Or(
		checkSAN(at.member("san"), i.SAN),
		checkHint(at.member("issuer"), i.Issuer),
		at.member("ca").digest(i.CA),
		at.member("validFrom").time(i.ValidFrom),
		optional(i.ValidUntil, at.member("validUntil").time),
		checkWindow(at, i.ValidFrom, i.ValidUntil),
	)
}

// email is the address of HTML's email inputs, which is what people have.
var email = regexp.MustCompile(`^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// checkSAN asks for a name in its one form: a URI with a scheme, or a bare
// email address. Names are compared byte by byte.
func checkSAN(at spot, v string) error {
	if err := at.line(v); err != nil {
		return err
	}
	if u, err := url.Parse(v); err == nil && u.Scheme != "" && u.String() == v && (u.Host != "" || u.Opaque != "") {
		return nil
	}
	if email.MatchString(v) {
		return nil
	}
	return at.errorf("%.80q is neither a URI nor an email address in its one form", v)
}

// checkIdentities asks that no identity belongs to two signers, nor stands
// twice, and that the trusted root has the authority each one names.
func checkIdentities(at spot, p *TrustPolicy) error {
	if !slices.ContainsFunc(p.Signers, func(s Signer) bool { return len(s.Identities) > 0 }) {
		return nil
	}
	authorities, err := authorityRoots(p.TrustedRoot)
	if err != nil {
		return err
	}
	owner := make(map[Digest]string)
	for n, s := range p.Signers {
		for j, identity := range s.Identities {
			at := at.index(n).member("identities").index(j)
			if err := identity.check(at); err != nil {
				return err
			}
			if !authorities[identity.CA] {
				return at.member("ca").errorf("%s is the root of no certificate authority in /trustedRoot", identity.CA)
			}
			id, err := identity.ID()
			if err != nil {
				return at.errorf("%v", err)
			}
			if other, dup := owner[id]; dup {
				return at.errorf("this identity is already one of %q", other)
			}
			owner[id] = s.Name
		}
	}
	return nil
}

// authorityRoots returns the digests of the certificates at the roots of the
// certificate authorities.
func authorityRoots(trustedRoot []byte) (map[Digest]bool, error) {
	tr, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return nil, spot("/trustedRoot").errorf("%v", err)
	}
	roots := make(map[Digest]bool)
	for _, ca := range tr.FulcioCertificateAuthorities() {
		if f, ok := ca.(*root.FulcioCertificateAuthority); ok {
			roots[DigestOf(f.Root.Raw)] = true
		}
	}
	return roots, nil
}
