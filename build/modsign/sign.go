package modsign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/signature"
)

// A Signature is one that verified.
type Signature struct {
	Module []byte // what it is over: the module without it
	Hash   crypto.Hash
}

// Verify checks that b is a module with an appended signature by the owner of
// cert. The certificate is trusted as it is: like Linux, nobody asks when it
// ends or who made it.
func Verify(b []byte, cert *x509.Certificate) (*Signature, error) {
	module, der, err := Split(b)
	if err != nil {
		return nil, err
	}
	s, err := parse(der)
	if err != nil {
		return nil, err
	}
	if err := s.names(cert); err != nil {
		return nil, err
	}
	hash, err := s.verify(module, cert.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Signature{module, hash}, nil
}

// Sign returns a module with a signature by s appended, whose certificate cert
// is. The signature is over SHA-256. A module that is signed already is refused:
// a second signature would be over the first.
func Sign(module []byte, s signature.Signer, cert *x509.Certificate) ([]byte, error) {
	if len(module) == 0 || len(module) > MaxModule {
		return nil, fmt.Errorf("module of %d bytes, want 1 to %d", len(module), MaxModule)
	}
	if bytes.HasSuffix(module, []byte(Magic)) {
		return nil, errors.New("the module is signed already")
	}
	algorithm, err := algorithmOf(s, cert)
	if err != nil {
		return nil, err
	}
	raw, err := s.SignMessage(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	der, err := encode(raw, algorithm, cert)
	if err != nil {
		return nil, err
	}
	signed := join(module, der)
	if _, err := Verify(signed, cert); err != nil { // whatever signed may be broken, or have another key
		return nil, fmt.Errorf("what was signed is not what was asked for: %w", err)
	}
	return signed, nil
}

// algorithmOf asks that the key is the certificate's, and returns how it signs.
func algorithmOf(s signature.Signer, cert *x509.Certificate) (pkix.AlgorithmIdentifier, error) {
	none := pkix.AlgorithmIdentifier{}
	public, err := s.PublicKey()
	if err != nil {
		return none, fmt.Errorf("asking for the public key: %w", err)
	}
	switch k := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.Equal(public) {
			return pkix.AlgorithmIdentifier{Algorithm: oidRSA(), Parameters: asn1.NullRawValue}, nil
		}
	case *ecdsa.PublicKey:
		if k.Equal(public) {
			return pkix.AlgorithmIdentifier{Algorithm: oidECDSASHA256()}, nil
		}
	default:
		return none, fmt.Errorf("the certificate has a key of type %T, and modules are signed with RSA and ECDSA", k)
	}
	return none, fmt.Errorf("the certificate of %s is not for this key", cert.Subject)
}

func encode(raw []byte, algorithm pkix.AlgorithmIdentifier, cert *x509.Certificate) ([]byte, error) {
	signer, err := asn1.Marshal(issuerAndSerial{asn1.RawValue{FullBytes: cert.RawIssuer}, cert.SerialNumber})
	if err != nil {
		return nil, err
	}
	digest := pkix.AlgorithmIdentifier{Algorithm: oidSHA256()}
	data := signedData{Version: 1, Digests: []pkix.AlgorithmIdentifier{digest}, SignerInfos: []signerInfo{{
		Version: 1, Signer: asn1.RawValue{FullBytes: signer}, Digest: digest, Algorithm: algorithm, Signature: raw,
	}}}
	data.Content.Type = oidData()
	inner, err := asn1.Marshal(data)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData(), asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
}

// ParseCertificate reads the one certificate in b, PEM or DER.
func ParseCertificate(b []byte) (*x509.Certificate, error) {
	if block, rest := pem.Decode(b); block != nil {
		if block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("want one PEM block of type CERTIFICATE")
		}
		b = block.Bytes
	}
	cert, err := x509.ParseCertificate(b)
	if err != nil {
		return nil, fmt.Errorf("not a certificate, neither in PEM nor in DER: %w", err)
	}
	return cert, nil
}
