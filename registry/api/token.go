package api

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// An EnrolmentToken lets one host enrol, once. It carries all a host has to
// know of its server beforehand, so that nothing is trusted on first use.
// docs/spec/enrolment.md.
type EnrolmentToken struct {
	Server string        `json:"server"` // base URL
	TLSKey string        `json:"tlsKey"` // hex sha256 of the server key's SPKI DER; "" : the system's authorities vouch for it
	Roots  attest.Digest `json:"roots"`  // digest of the trust policy's roots
	ID     string        `json:"id"`     // public
	Secret string        `json:"secret"` // 256 bits, base64url; never in the journal
}

const (
	tokenPrefix   = "pfe1."
	maxTokenText  = 2 << 10
	tokenSecret   = 32 // bytes
	tokenIDLength = 26
)

// String returns the token's text: "pfe1." and unpadded base64url of its
// canonical JSON.
func (t EnrolmentToken) String() string {
	b, err := strictjson.Canonical(t)
	if err != nil { // strings that are not UTF-8: ParseEnrolmentToken refuses what comes out
		return tokenPrefix
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseEnrolmentToken reads a token's text. It has one form: what String
// returns for what was read is the text itself.
func ParseEnrolmentToken(text string) (*EnrolmentToken, error) {
	body, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(text) > maxTokenText {
		return nil, fmt.Errorf("this is not an enrolment token: they begin with %s and are at most %d characters long", tokenPrefix, maxTokenText)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, errors.New("this is not a whole enrolment token: its text was cut or changed")
	}
	t := &EnrolmentToken{}
	if err := strictjson.Unmarshal(b, maxTokenText, t); err != nil {
		return nil, fmt.Errorf("reading the enrolment token: %w", err)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("reading the enrolment token: %w", err)
	}
	if t.String() != text {
		return nil, errors.New("this is not a whole enrolment token: its text was changed")
	}
	return t, nil
}

func (t *EnrolmentToken) check() error {
	if _, err := ParseServer(t.Server); err != nil {
		return err
	}
	if t.TLSKey != "" {
		if _, err := attest.ParseDigest("sha256:" + t.TLSKey); err != nil {
			return strictjson.Errorf("/tlsKey", "not 64 lower-case hex digits")
		}
	}
	if len(t.ID) != tokenIDLength {
		return strictjson.Errorf("/id", "not %d characters", tokenIDLength)
	}
	// The decoder passes over line breaks, which nobody reads aloud.
	if b, err := base64.RawURLEncoding.Strict().DecodeString(t.Secret); err != nil || len(b) != tokenSecret || base64.RawURLEncoding.EncodeToString(b) != t.Secret {
		return strictjson.Errorf("/secret", "not %d bytes in base64url", tokenSecret)
	}
	return nil
}

// NewEnrolmentToken makes a token with a fresh id and secret.
func NewEnrolmentToken(server, tlsKey string, roots attest.Digest) EnrolmentToken {
	secret := make([]byte, tokenSecret)
	rand.Read(secret) // never fails: crypto/rand ends the process instead
	return EnrolmentToken{
		Server: server, TLSKey: tlsKey, Roots: roots,
		ID: rand.Text(), Secret: base64.RawURLEncoding.EncodeToString(secret),
	}
}

// proofContext keeps a proof from being a signature over anything else.
const proofContext = "patchfit enrolment v1\x00"

func proofSum(token, key string) []byte {
	sum := sha256.Sum256([]byte(proofContext + token + "\x00" + key))
	return sum[:]
}

// EnrolmentProof proves to the server that whoever enrols holds the host's
// private key: the key's ECDSA signature (ASN.1 DER, standard base64) over the
// sha256 of a fixed context, the token's id and the public key.
func EnrolmentProof(signer crypto.Signer, token *EnrolmentToken) (string, error) {
	key, err := attest.NewPublicKey(signer.Public())
	if err != nil {
		return "", err
	}
	sig, err := signer.Sign(rand.Reader, proofSum(token.ID, key.Base64()), crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("signing the enrolment proof: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sig), nil
}

// VerifyEnrolmentProof reports whether proof is key's for the token with id, in
// the one form of its base64: the decoder passes over line breaks.
func VerifyEnrolmentProof(key *attest.PublicKey, id, proof string) bool {
	sig, err := base64.StdEncoding.Strict().DecodeString(proof)
	if err != nil || len(sig) > 128 || base64.StdEncoding.EncodeToString(sig) != proof || key.ECDSA() == nil {
		return false
	}
	return ecdsa.VerifyASN1(key.ECDSA(), proofSum(id, key.Base64()), sig)
}

// ParseServer reads a server's base URL: scheme and host alone, https, or
// plain http on loopback.
func ParseServer(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return nil, fmt.Errorf("server address %.200q: not a URL", server)
	case u.Host == "" || u.User != nil || server != u.Scheme+"://"+u.Host:
		return nil, fmt.Errorf("server address %.200q is not https://host or https://host:port alone", server)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("server address %.200q: plain http is for loopback only; use https://", server)
	}
	return nil, fmt.Errorf("server address %.200q: scheme %q is not https", server, u.Scheme)
}
