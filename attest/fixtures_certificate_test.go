package attest_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
)

const (
	spiffe = "spiffe://build.example/patches"
	oidc   = "https://issuer.example"
)

// caCertificate is an authority that issues by itself.
func caCertificate(t testing.TB) []byte {
	key := signerOf("authority").key
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(10), Subject: pkix.Name{CommonName: "corp root"}, NotBefore: year(2026), NotAfter: year(2036),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return created(t, cert, cert, key.Public(), key)
}

func created(t testing.TB, cert, parent *x509.Certificate, public, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(nil, cert, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// leafCertificate is one of the signer "release", and what change says of it.
func leafCertificate(t testing.TB, change func(*x509.Certificate)) []byte {
	return leafWith(t, signerOf("release").key.Public(), change)
}

func leafWith(t testing.TB, public any, change func(*x509.Certificate)) []byte {
	t.Helper()
	u, err := url.Parse(spiffe)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(11), URIs: []*url.URL{u}, NotBefore: year(2026), NotAfter: year(2026).Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{issuerExtension(t, oidc)},
	}
	if change != nil {
		change(cert)
	}
	ca, err := x509.ParseCertificate(caCertificate(t))
	if err != nil {
		t.Fatal(err)
	}
	return created(t, cert, ca, public, signerOf("authority").key)
}

var oidFulcioIssuer = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}

func issuerExtension(t testing.TB, issuer string) pkix.Extension {
	der, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidFulcioIssuer, Value: der}
}

// names is a SAN extension with these general names (tag, bytes).
func names(t testing.TB, list ...asn1.RawValue) func(*x509.Certificate) {
	der, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.URIs = nil
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der})
	}
}

func general(tag int, text string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func certificateMember(der []byte) string { return `"certificate":{"rawBytes":"` + b64(der) + `"}` }

// certifiedPolicy is the good policy in which the release team is a name in
// certificates, and no key.
func certifiedPolicy(t testing.TB) *attest.TrustPolicy {
	p := goodPolicy(t)
	ca := `"certificateAuthorities":[{"certChain":{"certificates":[{"rawBytes":"` + b64(caCertificate(t)) + `"}]},"uri":"https://ca.example.com","validFor":{"start":"2026-01-01T00:00:00Z"}}],`
	p.TrustedRoot = []byte(strings.Replace(string(p.TrustedRoot), `"mediaType"`, ca+`"mediaType"`, 1))
	p.Signers[1].Keys = []attest.SignerKey{}
	p.Signers[1].Identities = []attest.SignerIdentity{{
		SAN: spiffe, Issuer: oidc, CA: attest.DigestOf(caCertificate(t)), ValidFrom: year(2026), ValidUntil: year(2028),
	}}
	return p
}
