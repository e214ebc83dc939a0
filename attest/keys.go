package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

// A PublicKey is an ECDSA P-256 public key, the one kind of key that signs
// statements, host records and trust policies. The zero PublicKey verifies
// nothing.
type PublicKey struct {
	key *ecdsa.PublicKey
	der []byte
}

const pemPublicKey = "PUBLIC KEY"

// ParsePublicKeyPEM reads one PEM block "PUBLIC KEY" and nothing else.
func ParsePublicKeyPEM(b []byte) (*PublicKey, error) {
	b = bytes.TrimSpace(b)
	block, rest := pem.Decode(b)
	switch {
	case block == nil || !bytes.HasPrefix(b, []byte("-----BEGIN ")):
		return nil, errors.New(`public key is not a PEM block that starts with "-----BEGIN PUBLIC KEY-----"`)
	case block.Type == "PRIVATE KEY" || block.Type == "EC PRIVATE KEY":
		return nil, errors.New("this is a private key; the public key that belongs to it is asked for")
	case block.Type != pemPublicKey:
		return nil, fmt.Errorf("PEM block is %q, want %q", block.Type, pemPublicKey)
	case len(block.Headers) > 0:
		return nil, errors.New("PEM block has headers, which a public key does not")
	case len(rest) > 0:
		return nil, errors.New("trailing data after the PEM block of a public key")
	}
	return parseDER(block.Bytes)
}

// ParsePublicKey reads the standard base64 of a key's SPKI DER.
func ParsePublicKey(b64 string) (*PublicKey, error) {
	der, err := decodeBase64(b64)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return parseDER(der)
}

func parseDER(der []byte) (*PublicKey, error) {
	k, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("public key is not the DER of a SubjectPublicKeyInfo (RFC 5280)")
	}
	p, err := NewPublicKey(k)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p.der, der) {
		return nil, errors.New("public key is not in the one DER form of a P-256 key")
	}
	return p, nil
}

// NewPublicKey returns k, which has to be an *[ecdsa.PublicKey] on P-256. For
// any other kind the error says why it is not taken.
func NewPublicKey(k crypto.PublicKey) (*PublicKey, error) {
	ec, ok := k.(*ecdsa.PublicKey)
	if !ok {
		return nil, refuseKind(k)
	}
	if ec == nil || ec.Curve != elliptic.P256() {
		return nil, errors.New("ECDSA key is not on P-256: stock verifiers check other curves only with special flags; make a P-256 key")
	}
	//lint:ignore SA1019 without its coordinates a key makes the encoder panic
	if ec.X == nil || ec.Y == nil {
		return nil, errNoPoint
	}
	der, err := x509.MarshalPKIXPublicKey(ec)
	if err != nil {
		return nil, errNoPoint
	}
	return &PublicKey{key: ec, der: der}, nil
}

var errNoPoint = errors.New("ECDSA key is not a point on P-256")

func refuseKind(k crypto.PublicKey) error {
	switch k.(type) {
	case ed25519.PublicKey, *ed25519.PublicKey:
		return errors.New("Ed25519 keys cannot sign here: the log takes only Ed25519ph (Rekor v2) and envelope verifiers know only pure Ed25519, so no signature satisfies both; make an ECDSA P-256 key")
	case *rsa.PublicKey:
		return errors.New("RSA keys are not taken by this version; make an ECDSA P-256 key")
	}
	return fmt.Errorf("keys of type %T are not taken; make an ECDSA P-256 key", k)
}

// ID returns the sha256 of the key's SPKI DER, its identity everywhere.
func (k *PublicKey) ID() Digest { return DigestOf(k.der) }

// DER returns the key as SubjectPublicKeyInfo (RFC 5280).
func (k *PublicKey) DER() []byte { return bytes.Clone(k.der) }

// Base64 returns the standard base64 of the DER, as trust policies write keys.
func (k *PublicKey) Base64() string { return base64.StdEncoding.EncodeToString(k.der) }

// PEM returns the key as one PEM block "PUBLIC KEY".
func (k *PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: k.der})
}

// ECDSA returns the key for the standard library. It is not a copy.
func (k *PublicKey) ECDSA() *ecdsa.PublicKey { return k.key }

// Equal reports whether two keys are the same.
func (k *PublicKey) Equal(o *PublicKey) bool {
	return k != nil && o != nil && bytes.Equal(k.der, o.der)
}

// Hint returns the public key hint of the bundles we write, as cosign does:
// the standard base64 of the raw sha256 of the SPKI DER.
func (k *PublicKey) Hint() string { return base64.StdEncoding.EncodeToString(k.ID().Sum()) }

// decodeBase64 reads the one standard form: padded, no line breaks, no stray
// bits in the last character.
func decodeBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, errors.New("not standard base64 with padding (RFC 4648, section 4)")
	}
	return b, nil
}
