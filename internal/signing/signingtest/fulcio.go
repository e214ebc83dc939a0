package signingtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A Fulcio is a certificate authority that answers Fulcio's API, together with
// the one identity provider whose tokens it believes.
type Fulcio struct {
	URL    string
	Issuer string // of the tokens
	Chain  []byte // PEM

	t           testing.TB
	root        *x509.Certificate
	key, tokens *ecdsa.PrivateKey
}

// NewFulcio starts one.
func NewFulcio(t testing.TB) *Fulcio {
	t.Helper()
	f := &Fulcio{t: t, Issuer: "https://issuer.example", key: newKey(t), tokens: newKey(t)}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fulcio of tests"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	var block []byte
	f.root, block = f.issue(tmpl, tmpl, f.key.Public())
	f.Chain = block
	srv := httptest.NewServer(http.HandlerFunc(f.certify))
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	return f
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f *Fulcio) issue(tmpl, parent *x509.Certificate, public any) (*x509.Certificate, []byte) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, public, f.key)
	if err != nil {
		f.t.Errorf("fulcio: %v", err)
		return nil, nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		f.t.Errorf("fulcio: %v", err)
	}
	return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

type claims struct {
	jwt.Claims
	Email    string `json:"email"`
	Verified bool   `json:"email_verified"`
}

// Token returns a token of the provider for an email address.
func (f *Fulcio) Token(email string) string { return f.tokenBy(f.tokens, email) }

// Forged returns one that the provider did not sign.
func (f *Fulcio) Forged(email string) string { return f.tokenBy(newKey(f.t), email) }

func (f *Fulcio) tokenBy(key *ecdsa.PrivateKey, email string) string {
	f.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims{
		jwt.Claims{Issuer: f.Issuer, Subject: email, Audience: jwt.Audience{"sigstore"}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute))}, email, true,
	}).Serialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// certify answers POST /api/v2/signingCert: the token is the provider's, and
// whoever sends it has the key.
func (f *Fulcio) certify(w http.ResponseWriter, r *http.Request) {
	var q struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Content string }
			ProofOfPossession []byte
		}
	}
	c, ok := f.believes(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if r.URL.Path != "/api/v2/signingCert" || !ok || json.NewDecoder(r.Body).Decode(&q) != nil {
		http.Error(w, "not a token of the provider", http.StatusUnauthorized)
		return
	}
	block, _ := pem.Decode([]byte(q.PublicKeyRequest.PublicKey.Content))
	if block == nil {
		http.Error(w, "no key", http.StatusBadRequest)
		return
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, isEC := public.(*ecdsa.PublicKey)
	sum := sha256.Sum256([]byte(c.Email))
	if err != nil || !isEC || !ecdsa.VerifyASN1(key, sum[:], q.PublicKeyRequest.ProofOfPossession) {
		http.Error(w, "whoever asks has not the key", http.StatusBadRequest)
		return
	}
	issuer, err := asn1.MarshalWithParams(c.Issuer, "utf8")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, leaf := f.issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), EmailAddresses: []string{c.Email}, NotBefore: time.Now().Add(-time.Second), NotAfter: time.Now().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}, f.root, key)
	_ = json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{
		"certificates": []string{string(leaf), string(f.Chain)},
	}}})
}

func (f *Fulcio) believes(token string) (claims, bool) {
	var c claims
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || parsed.Claims(f.tokens.Public(), &c) != nil {
		return c, false
	}
	return c, c.Verified && c.ValidateWithLeeway(jwt.Expected{Issuer: f.Issuer, AnyAudience: jwt.Audience{"sigstore"}, Time: time.Now()}, 0) == nil
}
