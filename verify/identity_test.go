package verify_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const (
	spiffe = "spiffe://build.example/patches"
	oidc   = "https://issuer.example"
)

// An office is a lab whose signer of bases is a name in certificates.
type office struct {
	*lab
	ca     *verifytest.CA
	signer *verifytest.Signer
}

// newOffice makes one; change says what the authority's certificates say.
func newOffice(t *testing.T, issuer string, change func(root, intermediate *x509.Certificate)) *office {
	t.Helper()
	a := verifytest.New(t)
	ca := a.CA("corp", change)
	s := ca.Certified(string(attest.RoleBase), spiffe, issuer, nil)
	l := &lab{Authority: a, product: a.Product("lib/demo")}
	l.world = a.World(l.product, "one")
	l.said, l.verifier = l.world.Said()[2], l.newVerifier(t)
	return &office{l, ca, s}
}

// says returns the bundle of the office's statement by s.
func (o *office) says(s *verifytest.Signer) []byte {
	return o.Bundle(o.Statement(o.said.Type, o.said.About.Manifest, o.said.About.File, o.said.Predicate), s)
}

func (o *office) check(raw []byte) (*verify.Evidence, error) {
	return o.verifier.Bundle(raw, o.said.About)
}

func TestCertificateProves(t *testing.T) {
	for name, issuer := range map[string]string{"with an issuer": oidc, "without": ""} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, issuer, nil)
			ev, err := o.check(o.says(o.signer))
			if err != nil {
				t.Fatal(err)
			}
			id, err := o.signer.Identity.ID()
			if err != nil {
				t.Fatal(err)
			}
			if !ev.Proven() || ev.Signer() != id || ev.Key() != o.signer.Key.ID() || !ev.Time().Equal(o.Now) {
				t.Errorf("signer %s, key %s, time %s", ev.Signer(), ev.Key(), ev.Time())
			}
		})
	}
}

// TestOneIdentityIsOneVoice: short-lived certificates of one name are one
// signer, whatever their keys.
func TestOneIdentityIsOneVoice(t *testing.T) {
	o := newOffice(t, oidc, nil)
	first, err := o.check(o.says(o.signer))
	if err != nil {
		t.Fatal(err)
	}
	o.Now = o.Now.Add(time.Hour)
	second, err := o.check(o.says(o.ca.Certificate(spiffe, oidc, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if first.Signer() != second.Signer() || first.Key() == second.Key() {
		t.Errorf("signers %s and %s, keys %s and %s", first.Signer(), second.Signer(), first.Key(), second.Key())
	}
}

func TestEmailIdentity(t *testing.T) {
	a := verifytest.New(t)
	ca := a.CA("corp", nil)
	s := ca.Certified(string(attest.RoleBase), "release@example.org", oidc, nil)
	l := &lab{Authority: a, product: a.Product("lib/demo")}
	l.world = a.World(l.product, "one")
	o := &office{l, ca, s}
	o.said, o.verifier = o.world.Said()[2], o.newVerifier(t)
	if _, err := o.check(o.says(s)); err != nil {
		t.Error(err)
	}
	_, err := o.check(o.says(ca.Certificate("other@example.org", oidc, nil)))
	wantRefusal(t, err, verify.UntrustedSigner, `names no identity "other@example.org"`)
}

// TestExpiredCertificateKeepsWhatItSigned and signs nothing more: the timestamp
// decides, not the clock of who asks.
func TestExpiredCertificateKeepsWhatItSigned(t *testing.T) {
	o := newOffice(t, oidc, nil)
	before := o.says(o.signer)
	o.Now = o.Now.AddDate(0, 3, 0)
	if _, err := o.check(before); err != nil {
		t.Errorf("signed while it was valid: %v", err)
	}
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.Expired, "the certificate is valid from", "signed at 2026-06-01")
	o.Now = verifytest.Epoch.Add(-2 * time.Minute)
	_, err = o.check(o.says(o.signer))
	wantRefusal(t, err, verify.Expired, "the certificate is valid from", "signed at 2026-03-01T11:58:00Z")
}

func TestIdentityWindow(t *testing.T) {
	o := newOffice(t, oidc, nil)
	o.signer.Until = o.Now.Add(time.Minute)
	o.verifier = o.newVerifier(t)
	if _, err := o.check(o.says(o.signer)); err != nil {
		t.Error(err)
	}
	for _, at := range []time.Time{o.signer.Until, o.signer.Until.Add(time.Second)} {
		o.Now = at
		_, err := o.check(o.says(o.signer))
		wantRefusal(t, err, verify.Expired, `identity "spiffe://build.example/patches" counts from`)
	}
	o.Now, o.signer.From = verifytest.Epoch, verifytest.Epoch.Add(time.Second)
	o.signer.Until = time.Time{}
	o.verifier = o.newVerifier(t)
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.Expired, "counts from 2026-03-01T12:00:01Z")
}

func TestWrongIdentity(t *testing.T) {
	o := newOffice(t, oidc, nil)
	for _, san := range []string{
		"spiffe://build.example/other", "spiffe://build.example/patches/", "spiffe://build.example/Patches",
		"spiffe://build.example/patches2", "spiffe://evil.example/patches", "spiffe://build.example/patches?x=1",
		"https://build.example/patches", "release@example.org",
	} {
		_, err := o.check(o.says(o.ca.Certificate(san, oidc, nil)))
		wantRefusal(t, err, verify.UntrustedSigner, "the trust policy names no identity", san)
	}
}

func TestWrongIssuer(t *testing.T) {
	o := newOffice(t, oidc, nil)
	for _, issuer := range []string{"https://evil.example", oidc + "/", ""} {
		_, err := o.check(o.says(o.ca.Certificate(spiffe, issuer, nil)))
		wantRefusal(t, err, verify.UntrustedSigner, "names the issuer "+`"`+issuer+`"`, `the trust policy "`+oidc+`"`)
	}
	bare := newOffice(t, "", nil)
	_, err := bare.check(bare.says(bare.ca.Certificate(spiffe, oidc, nil)))
	wantRefusal(t, err, verify.UntrustedSigner, `names the issuer "`+oidc+`"`, `the trust policy ""`)
}

func TestAuthorityNotNamed(t *testing.T) {
	o := newOffice(t, oidc, nil)
	// In the trusted root, under the same name, but not the identity's.
	second := o.CA("corp", nil)
	o.verifier = o.newVerifier(t)
	_, err := o.check(o.says(second.Certificate(spiffe, oidc, nil)))
	wantRefusal(t, err, verify.UntrustedSigner, "is not one of the authority "+string(o.ca.Digest()))
	// In no trusted root at all.
	stranger := verifytest.New(t).CA("corp", nil)
	_, err = o.check(o.says(stranger.Certificate(spiffe, oidc, nil)))
	wantRefusal(t, err, verify.UntrustedSigner, "is not one of the authority "+string(o.ca.Digest()))
}

// TestIntermediateExpired: cosign took a certificate whose issuer's own
// certificate had ended before (CVE-2026-24122).
func TestIntermediateExpired(t *testing.T) {
	o := newOffice(t, oidc, func(_, intermediate *x509.Certificate) { intermediate.NotAfter = verifytest.Epoch.Add(-time.Hour) })
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.Expired, "the authority's certificate", "corp issuing", "until 2026-03-01T11:00:00Z")
	o = newOffice(t, oidc, func(root, _ *x509.Certificate) { root.NotAfter = verifytest.Epoch.Add(-time.Hour) })
	_, err = o.check(o.says(o.signer))
	wantRefusal(t, err, verify.Expired, "the authority's certificate", "corp root", "until 2026-03-01T11:00:00Z")
}

func TestAuthorityEnded(t *testing.T) {
	o := newOffice(t, oidc, nil)
	o.ca.End = o.Now.Add(-time.Second)
	o.verifier = o.newVerifier(t)
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.Expired, "authority "+string(o.ca.Digest())+" counts from")
}

func TestUsageMissing(t *testing.T) {
	o := newOffice(t, oidc, nil)
	for name, usages := range map[string][]x509.ExtKeyUsage{
		"none": {}, "server": {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, "any": {x509.ExtKeyUsageAny},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.check(o.says(o.ca.Certificate(spiffe, oidc, func(c *x509.Certificate) { c.ExtKeyUsage = usages })))
			wantRefusal(t, err, verify.UntrustedSigner, "does not say that it is for code signing")
		})
	}
	// An authority that is for servers only issues no certificate for code.
	o = newOffice(t, oidc, func(_, intermediate *x509.Certificate) {
		intermediate.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.UntrustedSigner, "incompatible key usage")
}

func TestChainTooLong(t *testing.T) {
	o := newOffice(t, oidc, func(root, _ *x509.Certificate) { root.MaxPathLenZero = true })
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.UntrustedSigner, "too many intermediates")
}

func TestNameConstraints(t *testing.T) {
	o := newOffice(t, oidc, func(_, intermediate *x509.Certificate) {
		intermediate.PermittedURIDomains, intermediate.PermittedDNSDomainsCritical = []string{"elsewhere.example"}, true
	})
	_, err := o.check(o.says(o.signer))
	wantRefusal(t, err, verify.UntrustedSigner, "not permitted")
}

func TestUnknownCriticalExtension(t *testing.T) {
	o := newOffice(t, oidc, nil)
	_, err := o.check(o.says(o.ca.Certificate(spiffe, oidc, func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
	})))
	wantRefusal(t, err, verify.UntrustedSigner, "unhandled critical extension")
}

func TestCertificateBundleChanged(t *testing.T) {
	o := newOffice(t, oidc, nil)
	good := o.says(o.signer)
	other := decode(t, o.says(o.ca.Certificate(spiffe, oidc, nil)))
	const cert, sigs, body = "verificationMaterial/certificate", "dsseEnvelope/signatures", "verificationMaterial/tlogEntries/0/canonicalizedBody"
	_, err := o.check(edit(t, good, sigs, at(other, sigs)))
	wantRefusal(t, err, verify.BadSignature, "the key of the bundle's certificate")
	_, err = o.check(edit(t, good, cert, at(other, cert)))
	wantRefusal(t, err, verify.BadSignature, "the key of the bundle's certificate")
	_, err = o.check(edit(t, good, body, at(other, body)))
	wantRefusal(t, err, verify.NotLogged, "canonicalizedBody")
	_, err = o.check(edit(t, good, cert, nil))
	wantRefusal(t, err, verify.Corrupt, "publicKey: missing")

	// The key alone in the log is another entry than the certificate.
	e, perr := attest.ParseBundle(good)
	if perr != nil {
		t.Fatal(perr)
	}
	bare := decode(t, o.BundleOf(e.Envelope.Raw, o.signer.Key))
	const entries = "verificationMaterial/tlogEntries"
	_, err = o.check(edit(t, good, entries, at(bare, entries)))
	wantRefusal(t, err, verify.NotLogged, "tlogEntries/0")
	// And a certificate is no key of the trust policy.
	_, err = o.check(o.BundleOf(e.Envelope.Raw, o.signer.Key))
	wantRefusal(t, err, verify.UntrustedSigner, "did not make this signature")
}

// TestCertificateMayWrite: what the log asks before it takes a leaf.
func TestCertificateMayWrite(t *testing.T) {
	o := newOffice(t, oidc, nil)
	if err := o.verifier.Certificate(o.signer.Certificate, o.Now); err != nil {
		t.Error(err)
	}
	wantRefusal(t, o.verifier.Certificate(o.signer.Certificate, o.Now.Add(time.Hour)), verify.Expired, "the certificate is valid from")
	wantRefusal(t, o.verifier.Certificate(o.ca.Certificate("spiffe://x/y", oidc, nil).Certificate, o.Now), verify.UntrustedSigner, "names no identity")
	wantRefusal(t, o.verifier.Certificate(o.CA("corp", nil).Certificate(spiffe, oidc, nil).Certificate, o.Now), verify.UntrustedSigner, "is not one of the authority")
	o.signer.Until = o.Now
	wantRefusal(t, o.newVerifier(t).Certificate(o.signer.Certificate, o.Now), verify.Expired, "counts from")
}
