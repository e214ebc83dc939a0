package modsign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	_ "crypto/sha256" // what modules are signed over
	_ "crypto/sha512"
)

// The parts of CMS that a module's signature has (RFC 5652). What it may not
// have is not optional here, and so is refused.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version     int
	Digests     []pkix.AlgorithmIdentifier `asn1:"set"`
	Content     struct{ Type asn1.ObjectIdentifier }
	SignerInfos []signerInfo `asn1:"set"`
}

type signerInfo struct {
	Version   int
	Signer    asn1.RawValue // issuerAndSerial, or [0] with a key id
	Digest    pkix.AlgorithmIdentifier
	Algorithm pkix.AlgorithmIdentifier
	Signature []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

func oidData() asn1.ObjectIdentifier       { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1} }
func oidSignedData() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2} }
func oidRSA() asn1.ObjectIdentifier        { return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1} }
func oidSHA256() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
}
func oidECDSASHA256() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2} }

// hashOf returns the hash of a digest algorithm; SHA-1 is none any more.
func hashOf(a pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	for last, h := range map[int]crypto.Hash{1: crypto.SHA256, 2: crypto.SHA384, 3: crypto.SHA512} {
		oid := append(slices.Clone(oidSHA256()[:8]), last)
		if a.Algorithm.Equal(oid) {
			return h, noParameters(a)
		}
	}
	return 0, fmt.Errorf("digest algorithm %s is not SHA-256, SHA-384 or SHA-512", a.Algorithm)
}

// noParameters allows none and NULL, which writers disagree about.
func noParameters(a pkix.AlgorithmIdentifier) error {
	if p := a.Parameters.FullBytes; len(p) > 0 && !bytes.Equal(p, asn1.NullBytes) {
		return fmt.Errorf("algorithm %s has parameters", a.Algorithm)
	}
	return nil
}

// parse reads a signature. It proves nothing yet.
func parse(der []byte) (*signerInfo, error) {
	var outer contentInfo
	if err := whole(der, &outer); err != nil {
		return nil, fmt.Errorf("PKCS#7: %w", err)
	}
	if !outer.Type.Equal(oidSignedData()) {
		return nil, fmt.Errorf("PKCS#7: content of type %s is no signed data", outer.Type)
	}
	var data signedData
	if err := whole(outer.Content.Bytes, &data); err != nil {
		return nil, fmt.Errorf("PKCS#7 signed data: %w (certificates, attributes and content have no place in a module's signature)", err)
	}
	if !data.Content.Type.Equal(oidData()) || len(data.SignerInfos) != 1 || len(data.Digests) != 1 {
		return nil, errors.New("PKCS#7 signed data: want detached data, one digest algorithm and one signer")
	}
	s := &data.SignerInfos[0]
	if !s.Digest.Algorithm.Equal(data.Digests[0].Algorithm) {
		return nil, fmt.Errorf("PKCS#7 signed data: digest algorithm %s, its signer's is %s", data.Digests[0].Algorithm, s.Digest.Algorithm)
	}
	return s, nil
}

// whole reads v and asks that nothing follows, and that it was in its one form.
func whole(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes follow", len(rest))
	}
	return nil
}

// names asks that a signer is the owner of a certificate.
func (s *signerInfo) names(cert *x509.Certificate) error {
	if s.Signer.Class == asn1.ClassContextSpecific && s.Signer.Tag == 0 && !s.Signer.IsCompound {
		if len(cert.SubjectKeyId) == 0 || !bytes.Equal(s.Signer.Bytes, cert.SubjectKeyId) {
			return fmt.Errorf("signed by the key with the id %x, the certificate's is %x", s.Signer.Bytes, cert.SubjectKeyId)
		}
		return nil
	}
	var id issuerAndSerial
	if err := whole(s.Signer.FullBytes, &id); err != nil {
		return fmt.Errorf("PKCS#7 signer: %w", err)
	}
	if !bytes.Equal(id.Issuer.FullBytes, cert.RawIssuer) || id.Serial.Cmp(cert.SerialNumber) != 0 {
		return fmt.Errorf("signed with certificate %x of another issuer, or another than %x of %s", id.Serial, cert.SerialNumber, cert.Issuer)
	}
	return nil
}

// verify checks the signature over a module.
func (s *signerInfo) verify(module []byte, public crypto.PublicKey) (crypto.Hash, error) {
	hash, err := hashOf(s.Digest)
	if err != nil {
		return 0, err
	}
	h := hash.New()
	h.Write(module)
	sum := h.Sum(nil)
	switch k := public.(type) {
	case *rsa.PublicKey:
		if !s.Algorithm.Algorithm.Equal(oidRSA()) {
			return 0, fmt.Errorf("signature algorithm %s is not RSA", s.Algorithm.Algorithm)
		}
		if err := noParameters(s.Algorithm); err != nil {
			return 0, err
		}
		err = rsa.VerifyPKCS1v15(k, hash, sum, s.Signature)
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(k, sum, s.Signature) {
			err = errors.New("not over this module, or not by this key")
		}
	default:
		return 0, fmt.Errorf("a key of type %T signs no modules", public)
	}
	if err != nil {
		return 0, fmt.Errorf("the module's signature does not verify: %w", err)
	}
	return hash, nil
}
