package attest

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/patchfit/patchfit/internal/strictjson"
)

// A Credential is what stands beside a signature for who made it, in bundles and
// in the log: a *[PublicKey] or a *[Certificate].
type Credential interface {
	// SigningKey returns the key that verifies the signature.
	SigningKey() *PublicKey
}

// SigningKey returns k.
func (k *PublicKey) SigningKey() *PublicKey { return k }

// SigningKey returns the certificate's key; nil for nil.
func (c *Certificate) SigningKey() *PublicKey {
	if c == nil {
		return nil
	}
	return c.key
}

// keyOf returns c's key; nil where there is no credential.
func keyOf(c Credential) *PublicKey {
	if c == nil {
		return nil
	}
	return c.SigningKey()
}

// A Certificate is a certificate that can sign statements: one name, and a key
// of a kind that is taken. Whether anybody trusted issued it, and whether it was
// valid, is for package verify.
type Certificate struct {
	key    *PublicKey
	cert   *x509.Certificate
	san    string
	issuer string
}

// maxCertificate is the largest certificate that is read, in bytes: a log entry
// with it has to fit into a leaf.
const maxCertificate = 16 << 10

// The extensions that are read (RFC 5280, section 4.2.1.6; Sigstore's oid-info).
var (
	oidSAN      = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidIssuer   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8} // DER UTF8String
	oidIssuerV1 = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1} // the raw bytes
)

// ParseCertificatePEM reads the first PEM block "CERTIFICATE". What follows it,
// as authorities write whole chains, is not a signer's to choose: which
// intermediates count, the trust policy says.
func ParseCertificatePEM(b []byte) (*Certificate, error) {
	block, _ := pem.Decode(bytes.TrimSpace(b))
	switch {
	case block == nil:
		return nil, errors.New(`certificate is not a PEM block that starts with "-----BEGIN CERTIFICATE-----"`)
	case block.Type != pemCertificate:
		return nil, fmt.Errorf("PEM block is %q, want %q", block.Type, pemCertificate)
	}
	return ParseCertificate(block.Bytes)
}

const pemCertificate = "CERTIFICATE"

// ParseCertificate reads the DER of a certificate that can sign statements.
func ParseCertificate(der []byte) (*Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("certificate of %d bytes exceeds the limit of %d", len(der), maxCertificate)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("not the DER of one X.509 certificate")
	}
	c := &Certificate{cert: cert}
	if c.key, err = NewPublicKey(cert.PublicKey); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	switch {
	case cert.IsCA:
		return nil, errors.New("certificate is an authority's, which signs certificates and no statements")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, errors.New("certificate is not for digital signatures (key usage)")
	}
	if c.san, err = oneName(cert); err != nil {
		return nil, err
	}
	c.issuer, err = issuerOf(cert)
	return sound(c, err)
}

// oneName returns the one name of a certificate, a URI or an email address. A
// certificate with more could be read as one person's and meant as another's.
func oneName(cert *x509.Certificate) (string, error) {
	const tagEmail, tagURI = 1, 6 // GeneralName (RFC 5280)
	var names []asn1.RawValue
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSAN) {
			continue
		}
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return "", errors.New("certificate has names that are not DER (subject alternative name)")
		}
	}
	if len(names) != 1 {
		return "", fmt.Errorf("certificate has %d names (subject alternative name), want 1", len(names))
	}
	// By a tag of another class the standard library sees no name: one that no
	// authority's name constraints are asked of.
	if n := names[0]; n.Class != asn1.ClassContextSpecific || n.IsCompound || n.Tag != tagEmail && n.Tag != tagURI {
		return "", errors.New("certificate's name is neither a URI nor an email address (subject alternative name)")
	}
	name := string(names[0].Bytes)
	return name, checkSAN("", name)
}

// issuerOf returns the issuer of the token an authority as Fulcio saw, where
// the certificate names one.
func issuerOf(cert *x509.Certificate) (string, error) {
	var found []string
	for _, e := range cert.Extensions {
		switch {
		case e.Id.Equal(oidIssuerV1):
			found = append(found, string(e.Value))
		case e.Id.Equal(oidIssuer):
			var s string
			rest, err := asn1.UnmarshalWithParams(e.Value, &s, "utf8")
			if err != nil || len(rest) > 0 {
				return "", errors.New("certificate's issuer extension is not a DER UTF8String")
			}
			found = append(found, s)
		}
	}
	for _, s := range found {
		if err := spot("").line(s); err != nil || s != found[0] {
			return "", errors.New("certificate's issuer extensions are not one line of text, or differ")
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil
}

// Equal reports whether two certificates are the same.
func (c *Certificate) Equal(o *Certificate) bool {
	if c == nil || o == nil {
		return c == o
	}
	return bytes.Equal(c.cert.Raw, o.cert.Raw)
}

// DER returns the certificate as it came.
func (c *Certificate) DER() []byte { return bytes.Clone(c.cert.Raw) }

// X509 returns the certificate for the standard library. It is not a copy.
func (c *Certificate) X509() *x509.Certificate { return c.cert }

// SAN returns the certificate's one name.
func (c *Certificate) SAN() string { return c.san }

// Issuer returns the issuer of the token the authority saw; "" where the
// certificate names none.
func (c *Certificate) Issuer() string { return c.issuer }

// Name returns the sha256 of the canonical JSON of issuer and san: what a leaf
// tells of an identity, which is not its authority.
func (c *Certificate) Name() Digest { return nameDigest(c.san, c.issuer) }

// Name returns that of the identity's certificates.
func (i SignerIdentity) Name() Digest { return nameDigest(i.SAN, i.Issuer) }

func nameDigest(san, issuer string) Digest {
	b, err := strictjson.Canonical(struct {
		Issuer string `json:"issuer"`
		SAN    string `json:"san"`
	}{issuer, san})
	if err != nil {
		return "" // names nobody
	}
	return DigestOf(b)
}

// ID returns the identity's digest: the sha256 of the canonical JSON of ca,
// issuer and san. Every certificate of one identity is one voice, whatever its
// key, and a revocation of the digest ends them all.
func (i SignerIdentity) ID() (Digest, error) {
	b, err := strictjson.Canonical(struct {
		CA     Digest `json:"ca"`
		Issuer string `json:"issuer"`
		SAN    string `json:"san"`
	}{i.CA, i.Issuer, i.SAN})
	if err != nil {
		return "", err
	}
	return DigestOf(b), nil
}
