package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/patchfit/patchfit/attest"
)

// A name is how certificates say who somebody is.
type name struct{ san, issuer string }

// An identity is one name in certificates of one authority that the trust
// policy names, with the sigstore-go verifier that accepts a bundle by it.
//
// No proof is asked that a certificate log has the certificate (SCT). Such logs
// make misissue by a public authority visible; here the owner of the trust
// policy chose the authority, and a certificate counts only where it stands in a
// leaf of the log: every one that was used is public anyway.
type identity struct {
	id       attest.Digest
	name     name
	ca       attest.Digest
	window   window
	chains   []*root.FulcioCertificateAuthority // those with the root ca
	verifier *sigstore.Verifier
	policy   sigstore.PolicyBuilder
}

const notByCertificate = "/dsseEnvelope/signatures/0: not a signature over these bytes by the key of the bundle's certificate"

// A window is the time [from, until); without end where until is zero.
type window struct{ from, until time.Time }

func (w window) String() string {
	s := "from " + w.from.Format(time.RFC3339)
	if !w.until.IsZero() {
		s += " until " + w.until.Format(time.RFC3339)
	}
	return s
}

func (w window) holds(t time.Time) bool {
	return !t.Before(w.from) && (w.until.IsZero() || t.Before(w.until))
}

// newIdentities returns what the trust policy says of certificates, by name.
func newIdentities(p *attest.TrustPolicy, material root.TrustedMaterial) (map[name][]*identity, error) {
	all := make(map[name][]*identity)
	for _, s := range p.Signers {
		for _, i := range s.Identities {
			n, err := newIdentity(i, material)
			if err != nil {
				return nil, fmt.Errorf("trust policy: signer %q: %w", s.Name, err)
			}
			all[n.name] = append(all[n.name], n)
		}
	}
	return all, nil
}

func newIdentity(i attest.SignerIdentity, material root.TrustedMaterial) (*identity, error) {
	id, err := i.ID()
	if err != nil {
		return nil, err
	}
	n := &identity{id: id, name: name{i.SAN, i.Issuer}, ca: i.CA, window: window{i.ValidFrom, i.ValidUntil}}
	for _, ca := range material.FulcioCertificateAuthorities() {
		if f, ok := ca.(*root.FulcioCertificateAuthority); ok && attest.DigestOf(f.Root.Raw) == i.CA {
			n.chains = append(n.chains, f)
		}
	}
	if n.policy, err = n.asked(); err != nil {
		return nil, err
	}
	n.verifier, err = sigstore.NewVerifier(oneAuthority{material, n.chains},
		sigstore.WithTransparencyLog(1), sigstore.WithSignedTimestamps(1), sigstore.WithoutStatementPredicate())
	return n, err
}

// asked is what sigstore-go compares. It has no way to ask for a certificate
// that names no issuer; by name, identities are looked up with both.
func (n *identity) asked() (sigstore.PolicyBuilder, error) {
	if n.name.issuer == "" {
		return sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithoutIdentitiesUnsafe()), nil
	}
	san, err := sigstore.NewSANMatcher(n.name.san, "")
	if err != nil {
		return sigstore.PolicyBuilder{}, err
	}
	issuer, err := sigstore.NewIssuerMatcher(n.name.issuer, "")
	if err != nil {
		return sigstore.PolicyBuilder{}, err
	}
	who, err := sigstore.NewCertificateIdentity(san, issuer, certificate.Extensions{})
	return sigstore.NewPolicy(sigstore.WithoutArtifactUnsafe(), sigstore.WithCertificateIdentity(who)), err
}

// oneAuthority is trusted material with the chains of one authority, so that a
// certificate of another is no certificate.
type oneAuthority struct {
	root.TrustedMaterial
	chains []*root.FulcioCertificateAuthority
}

func (m oneAuthority) FulcioCertificateAuthorities() []root.CertificateAuthority {
	all := make([]root.CertificateAuthority, len(m.chains))
	for i, c := range m.chains {
		all[i] = c
	}
	return all
}

// certified verifies a bundle by a certificate: its name and authority are an
// identity of the trust policy, and a timestamp authority saw the signature
// while every certificate of the chain was valid and the identity counted.
func (v *Verifier) certified(b *attest.Bundle) (*identity, *sigstore.VerificationResult, *Refusal) {
	candidates, refusal := v.named(b.Certificate)
	if refusal != nil {
		return nil, nil, refusal
	}
	if b.Envelope.Verify(b.Certificate.SigningKey()) != nil {
		return nil, nil, refuse(BadSignature, notByCertificate)
	}
	for _, n := range candidates {
		result, err := n.verifier.Verify(b.Sigstore, n.policy)
		if err != nil {
			if r := n.diagnose(b, err); refusal == nil || r.Reason != UntrustedSigner {
				refusal = r
			}
			continue
		}
		for _, t := range result.VerifiedTimestamps {
			if r := n.counts(t.Timestamp); r != nil {
				return nil, nil, r
			}
		}
		return n, result, nil
	}
	return nil, nil, refusal
}

// named returns the identities that have the certificate's name.
func (v *Verifier) named(c *attest.Certificate) ([]*identity, *Refusal) {
	const at = "/verificationMaterial/certificate/rawBytes"
	// RFC 5280 reads a certificate that names no usage as one for any.
	if !slices.Contains(c.X509().ExtKeyUsage, x509.ExtKeyUsageCodeSigning) {
		return nil, refuse(UntrustedSigner, "%s: certificate of %q does not say that it is for code signing (extended key usage)", at, c.SAN())
	}
	is := name{c.SAN(), c.Issuer()}
	if found := v.identities[is]; len(found) > 0 {
		return found, nil
	}
	for n := range v.identities {
		if n.san == is.san {
			return nil, refuse(UntrustedSigner, "%s: certificate of %q names the issuer %q, the trust policy %q", at, is.san, is.issuer, n.issuer)
		}
	}
	return nil, refuse(UntrustedSigner, "%s: the trust policy names no identity %q (issuer %q)", at, is.san, is.issuer)
}

func (n *identity) counts(t time.Time) *Refusal {
	if n.window.holds(t) {
		return nil
	}
	return refuse(Expired, "signed at %s; identity %q counts %v", t.UTC().Format(time.RFC3339), n.name.san, n.window)
}

// diagnose says which of the things sigstore-go checks does not hold, as its
// like does for keys.
func (n *identity) diagnose(b *attest.Bundle, err error) *Refusal {
	if _, err := n.verifier.VerifyTransparencyLogInclusion(b.Sigstore); err != nil {
		return refuse(NotLogged, "/verificationMaterial/tlogEntries/0: %v", err)
	}
	times, timeErr := n.verifier.VerifyObserverTimestamps(b.Sigstore, nil)
	if timeErr != nil {
		return refuse(NotLogged, "/verificationMaterial/timestampVerificationData: %v", timeErr)
	}
	for _, t := range times {
		if r := n.issued(b.Certificate, t.Timestamp); r != nil {
			return r
		}
	}
	if id := b.Envelope.Signatures[0].KeyID; id != "" {
		return refuse(BadSignature, "/dsseEnvelope/signatures/0/keyid: signed by a certificate's key, the key id says %q", id)
	}
	return refuse(Corrupt, "%v", err)
}

// issued refuses a certificate that the identity's authority did not issue, or
// whose chain was not valid at t.
func (n *identity) issued(c *attest.Certificate, t time.Time) (refusal *Refusal) {
	for _, ca := range n.chains {
		_, err := ca.Verify(c.X509(), t)
		if err == nil {
			return nil
		}
		if r := n.chainRefusal(ca, c, t, err); refusal == nil || r.Reason == Expired {
			refusal = r
		}
	}
	if refusal == nil {
		refusal = refuse(UntrustedSigner, "the trusted root has no certificate authority with the root %s", n.ca)
	}
	return refusal
}

func (n *identity) chainRefusal(ca *root.FulcioCertificateAuthority, c *attest.Certificate, t time.Time, err error) *Refusal {
	const at = "/verificationMaterial/certificate/rawBytes"
	when := t.UTC().Format(time.RFC3339)
	var invalid x509.CertificateInvalidError
	switch {
	case t.Before(ca.ValidityPeriodStart), !ca.ValidityPeriodEnd.IsZero() && t.After(ca.ValidityPeriodEnd):
		return refuse(Expired, "%s: signed at %s; authority %s counts %v", at, when, n.ca, window{ca.ValidityPeriodStart, ca.ValidityPeriodEnd})
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		which := "the certificate"
		if !bytes.Equal(invalid.Cert.Raw, c.X509().Raw) {
			which = fmt.Sprintf("the authority's certificate %q", invalid.Cert.Subject)
		}
		return refuse(Expired, "%s: signed at %s; %s is valid %v", at, when, which, window{invalid.Cert.NotBefore.UTC(), invalid.Cert.NotAfter.UTC()})
	}
	return refuse(UntrustedSigner, "%s: certificate of %q is not one of the authority %s: %v", at, n.name.san, n.ca, err)
}

// Certificate returns nil where the trust policy names the certificate's
// identity and its authority, and all of it counts at the time now: such a
// certificate's signatures, timestamped now, are evidence. The error is always a
// *[Refusal].
func (v *Verifier) Certificate(c *attest.Certificate, now time.Time) error {
	candidates, refusal := v.named(c)
	if refusal != nil {
		return refusal
	}
	for _, n := range candidates {
		r := n.issued(c, now)
		if r == nil {
			r = n.counts(now)
		}
		if r == nil {
			return nil
		}
		if refusal == nil || r.Reason == Expired {
			refusal = r
		}
	}
	return refusal
}
