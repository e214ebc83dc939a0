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
	"math"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature"
)

// A PublicKey is a key that can sign statements and trust policies: ECDSA P-256,
// or RSA of 2048, 3072 or 4096 bits. The zero PublicKey verifies nothing.
type PublicKey struct {
	key     crypto.PublicKey // *ecdsa.PublicKey or *rsa.PublicKey
	details protocommon.PublicKeyDetails
	der     []byte
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
		return nil, errors.New("public key is not in the one DER form of its kind")
	}
	return p, nil
}

// ParseLoginKey reads, as [ParsePublicKey] does, the key by which a host or a
// principal says who it is: ECDSA P-256, because assertions are ES256.
func ParseLoginKey(b64 string) (*PublicKey, error) {
	k, err := ParsePublicKey(b64)
	if err != nil {
		return nil, err
	}
	if k.ECDSA() == nil {
		return nil, errors.New("an RSA key signs statements; who one is is proven with an ECDSA P-256 key")
	}
	return k, nil
}

// NewPublicKey returns k, which has to be an *[ecdsa.PublicKey] on P-256 or an
// *[rsa.PublicKey] of a size Rekor v2 takes. For any other kind the error says
// why it is not taken.
func NewPublicKey(k crypto.PublicKey) (*PublicKey, error) {
	switch k := k.(type) {
	case *ecdsa.PublicKey:
		return newECDSA(k)
	case *rsa.PublicKey:
		return newRSA(k)
	}
	return nil, refuseKind(k)
}

func newECDSA(k *ecdsa.PublicKey) (*PublicKey, error) {
	if k == nil || k.Curve != elliptic.P256() {
		return nil, errors.New("ECDSA key is not on P-256: stock verifiers check other curves only with special flags; make a P-256 key")
	}
	//lint:ignore SA1019 without its coordinates a key makes the encoder panic
	if k.X == nil || k.Y == nil {
		return nil, errNoPoint
	}
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, errNoPoint
	}
	return &PublicKey{k, protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256, der}, nil
}

var errNoPoint = errors.New("ECDSA key is not a point on P-256")

// newRSA takes the exponents the standard library verifies with; it compares
// the whole padded block, so that a small one opens nothing.
func newRSA(k *rsa.PublicKey) (*PublicKey, error) {
	if k == nil || k.N == nil {
		return nil, errors.New("RSA key has no modulus")
	}
	details, ok := map[int]protocommon.PublicKeyDetails{
		2048: protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256,
		3072: protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256,
		4096: protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256,
	}[k.N.BitLen()]
	if !ok {
		return nil, fmt.Errorf("RSA key has %d bits; keys of 2048, 3072 and 4096 bits are taken, as in Rekor v2", k.N.BitLen())
	}
	if k.N.Bit(0) == 0 || k.E < 3 || k.E%2 == 0 || k.E > math.MaxInt32 {
		return nil, fmt.Errorf("RSA key has an even modulus or the exponent %d, which verifies nothing", k.E)
	}
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fmt.Errorf("encoding an RSA key: %w", err)
	}
	return &PublicKey{k, details, der}, nil
}

func refuseKind(k crypto.PublicKey) error {
	switch k.(type) {
	case ed25519.PublicKey, *ed25519.PublicKey:
		return errors.New("Ed25519 keys cannot sign here: the log takes only Ed25519ph (Rekor v2) and envelope verifiers know only pure Ed25519, so no signature satisfies both; make an ECDSA P-256 key")
	}
	return fmt.Errorf("keys of type %T are not taken; make an ECDSA P-256 or RSA key", k)
}

// Details names the key's kind as Sigstore does, in log entries: there is one
// signature scheme a kind, ECDSA or RSA PKCS #1 v1.5, each with sha256.
func (k *PublicKey) Details() protocommon.PublicKeyDetails { return k.details }

// Verifier returns the key for sigstore's code.
func (k *PublicKey) Verifier() (signature.Verifier, error) {
	if k == nil {
		return nil, errNoKey
	}
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		return signature.LoadECDSAVerifier(key, crypto.SHA256)
	case *rsa.PublicKey:
		return signature.LoadRSAPKCS1v15Verifier(key, crypto.SHA256)
	}
	return nil, errNoKey
}

var errNoKey = errors.New("no key to verify with")

// Verify returns nil where sig is k's signature over message.
func (k *PublicKey) Verify(message, sig []byte) error {
	v, err := k.Verifier()
	if err != nil {
		return err
	}
	if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); err != nil {
		return fmt.Errorf("not a signature by key %s", k.ID())
	}
	return nil
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

// ECDSA returns an ECDSA key for the standard library, nil for any other kind.
// It is not a copy.
func (k *PublicKey) ECDSA() *ecdsa.PublicKey {
	ec, _ := k.key.(*ecdsa.PublicKey)
	return ec
}

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
