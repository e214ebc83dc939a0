package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// maxText is the longest compact JWS that is read, in characters.
const maxText = 4 << 10

// signatureText is how long an ES256 signature is: two numbers of 32 bytes.
const signatureText = 86

// Errors of reading a JWS. Neither says more: whoever sent it is nobody yet.
var (
	ErrForm      = errors.New("not a compact ES256 JWS of the expected type")
	ErrSignature = errors.New("signature does not verify")
)

// Sign returns claims as a compact JWS (RFC 7515) of type typ: ES256, and a
// header of alg and typ alone.
func Sign(typ string, signer crypto.Signer, claims any) (string, error) {
	payload, err := strictjson.Canonical(claims)
	if err != nil {
		return "", err
	}
	if _, ok := signer.Public().(*ecdsa.PublicKey); !ok {
		return "", fmt.Errorf("who one is is proven with an ECDSA P-256 key, this one is a %T", signer.Public())
	}
	key := jose.SigningKey{Algorithm: jose.ES256, Key: cryptosigner.Opaque(signer)}
	s, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return "", fmt.Errorf("signing with %T: %w", signer.Public(), err)
	}
	sealed, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return sealed.CompactSerialize()
}

// Unverified is a JWS whose form is right and whose signature nobody has
// looked at. What was read from it is what its sender says.
type Unverified struct{ jws *jose.JSONWebSignature }

// Read parses text, a compact JWS of type typ as [Sign] makes it, and its
// claims into the struct claims points to, strictly. Any other header is
// refused unread: no other algorithm, no key, no certificate, no criticals.
func Read(typ, text string, claims any) (*Unverified, error) {
	if len(text) > maxText || !canonicalSegments(text, header(typ)) {
		return nil, ErrForm
	}
	jws, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, ErrForm
	}
	if err := strictjson.Unmarshal(jws.UnsafePayloadWithoutVerification(), maxText, claims); err != nil {
		return nil, fmt.Errorf("reading the claims: %w", err)
	}
	return &Unverified{jws}, nil
}

// Verify checks the signature with the key of who is said to have made it.
func (u *Unverified) Verify(key *attest.PublicKey) error {
	if key == nil || key.ECDSA() == nil {
		return ErrSignature
	}
	if _, err := u.jws.Verify(key.ECDSA()); err != nil {
		return ErrSignature
	}
	return nil
}

// header is the one protected header a JWS of type typ has, encoded.
func header(typ string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"` + typ + `"}`))
}

// canonicalSegments reports whether text is head and two more segments of
// base64url in the one form that encodes their bytes, so that a JWS has one
// text.
func canonicalSegments(text, head string) bool {
	segments := strings.Split(text, ".")
	if len(segments) != 3 || segments[0] != head || len(segments[2]) != signatureText {
		return false
	}
	for _, s := range segments[1:] {
		b, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != s {
			return false
		}
	}
	return true
}
