package verifytest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/patchfit/patchfit/attest"
)

// A CA is a certificate authority: a root, and an intermediate that issues, as
// step-ca has them. Trust policies have its chain once it is made.
type CA struct {
	Intermediate, Root *x509.Certificate
	// Start and End are the validity of the chain in the trusted root.
	Start, End time.Time

	authority *Authority
	key       *ecdsa.PrivateKey
}

// CA returns a new certificate authority, and change what its certificates say.
func (a *Authority) CA(name string, change func(root, intermediate *x509.Certificate)) *CA {
	a.t.Helper()
	tmpl := func(what string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: a.serial(), Subject: pkix.Name{CommonName: name + " " + what}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, NotBefore: Epoch.AddDate(-1, 0, 0), NotAfter: Epoch.AddDate(10, 0, 0),
		}
	}
	top, middle := tmpl("root"), tmpl("issuing")
	if change != nil {
		change(top, middle)
	}
	rootKey, key := a.newKey(), a.newKey()
	ca := &CA{authority: a, key: key, Start: top.NotBefore}
	ca.Root = a.issue(top, top, rootKey, rootKey)
	ca.Intermediate = a.issue(middle, ca.Root, rootKey, key)
	a.cas = append(a.cas, ca)
	return ca
}

// Digest names the authority in trust policies.
func (ca *CA) Digest() attest.Digest { return attest.DigestOf(ca.Root.Raw) }

// Certified returns the signer called name, who is san (a URI or an email
// address) in certificates of ca. Its certificate is good for ten minutes from a
// minute before Now; change says otherwise.
func (ca *CA) Certified(name, san, issuer string, change func(*x509.Certificate)) *Signer {
	a := ca.authority
	a.t.Helper()
	if a.signers[name] == nil {
		a.order = append(a.order, name)
	}
	s := ca.Certificate(san, issuer, change)
	s.Name = name
	s.Identity = &attest.SignerIdentity{SAN: san, Issuer: issuer, CA: ca.Digest()}
	a.signers[name] = s
	return s
}

// Certificate returns a signer with a certificate of ca, whom no trust policy
// names for it.
func (ca *CA) Certificate(san, issuer string, change func(*x509.Certificate)) *Signer {
	a := ca.authority
	a.t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: a.serial(), NotBefore: a.Now.Add(-time.Minute), NotAfter: a.Now.Add(9 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	if strings.Contains(san, ":") {
		u, err := url.Parse(san)
		if err != nil {
			a.t.Fatalf("certificate for %s: %v", san, err)
		}
		tmpl.URIs = []*url.URL{u}
	} else {
		tmpl.EmailAddresses = []string{san}
	}
	if issuer != "" {
		der, err := asn1.MarshalWithParams(issuer, "utf8")
		if err != nil {
			a.t.Fatalf("certificate for %s: %v", san, err)
		}
		tmpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: der}}
	}
	if change != nil {
		change(tmpl)
	}
	key := a.newKey()
	s := a.signerOf(san, key)
	var err error
	if s.Certificate, err = attest.ParseCertificate(a.issue(tmpl, ca.Intermediate, ca.key, key).Raw); err != nil {
		a.t.Fatalf("certificate for %s: %v", san, err)
	}
	return s
}

func (a *Authority) serial() *big.Int {
	a.serials++
	return big.NewInt(1000 + a.serials)
}

func (a *Authority) issue(tmpl, parent *x509.Certificate, parentKey, key *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), parentKey)
	if err != nil {
		a.t.Fatalf("certificate: %v", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatalf("certificate: %v", err)
	}
	return c
}
