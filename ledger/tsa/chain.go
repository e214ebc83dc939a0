package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

func checkChain(chain []*x509.Certificate) error {
	if len(chain) < 2 {
		return errors.New("want the authority's own and at least one above it")
	}
	leaf, last := chain[0], len(chain)-1
	if leaf.IsCA || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(leaf.UnknownExtKeyUsage) > 0 {
		return errors.New("the first is not for time stamping alone")
	}
	for _, e := range leaf.Extensions {
		if e.Id.Equal(oidExtKeyUsage) && !e.Critical {
			return errors.New("the first does not make its use, time stamping, critical")
		}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[last])
	for _, c := range chain[1:last] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: leaf.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	return err
}

// lifetime is how long the certificates NewChain makes are valid. Timestamps
// stay valid after it; new ones need a new chain, and a trust policy naming it.
const lifetime = 10 * 365 * 24 * time.Hour

// NewChain makes certificates for an authority with the given ECDSA key, valid
// from now on: its own and, above it, that of a root whose key is thrown away,
// so that nobody can ever make a second one.
func NewChain(key crypto.Signer) ([]*x509.Certificate, error) {
	start := time.Now().UTC().Truncate(time.Second)
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	root, err := template("patchfit timestamp root", start)
	if err != nil {
		return nil, err
	}
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	root.MaxPathLenZero = true
	if root, err = sign(root, root, rootKey.Public(), rootKey); err != nil {
		return nil, err
	}
	leaf, err := template("patchfit timestamp authority", start)
	if err != nil {
		return nil, err
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	if leaf.ExtraExtensions, err = timeStampingOnly(); err != nil {
		return nil, err
	}
	if leaf, err = sign(leaf, root, key.Public(), rootKey); err != nil {
		return nil, err
	}
	return []*x509.Certificate{leaf, root}, nil
}

// timeStampingOnly is the extended key usage, which the standard library would
// not mark as critical.
func timeStampingOnly() ([]pkix.Extension, error) {
	idKPTimeStamping := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	der, err := asn1.Marshal([]asn1.ObjectIdentifier{idKPTimeStamping})
	return []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: der}}, err
}

func template(name string, start time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"patchfit"}, CommonName: name},
		NotBefore:    start,
		NotAfter:     start.Add(lifetime),
	}, nil
}

func sign(c, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
