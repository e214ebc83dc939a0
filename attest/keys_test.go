package attest_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
)

func TestPublicKeyForms(t *testing.T) {
	k := signerOf("release").public(t)
	sum := sha256.Sum256(k.DER())
	if want := attest.DigestFromSum(sum[:]); k.ID() != want {
		t.Errorf("ID is %s, want the sha256 of the DER, %s", k.ID(), want)
	}
	if want := base64.StdEncoding.EncodeToString(sum[:]); k.Hint() != want {
		t.Errorf("hint is %s, want as cosign writes it %s", k.Hint(), want)
	}
	for name, parse := range map[string]func() (*attest.PublicKey, error){
		"PEM":    func() (*attest.PublicKey, error) { return attest.ParsePublicKeyPEM(k.PEM()) },
		"base64": func() (*attest.PublicKey, error) { return attest.ParsePublicKey(k.Base64()) },
		"ECDSA":  func() (*attest.PublicKey, error) { return attest.NewPublicKey(k.ECDSA()) },
	} {
		if got, err := parse(); err != nil || !got.Equal(k) {
			t.Errorf("%s does not read back: %v", name, err)
		}
	}
	if k.Equal(signerOf("root one").public(t)) || k.Equal(nil) {
		t.Error("two keys that differ are equal")
	}
	if der := k.DER(); len(der) > 0 {
		der[0] ^= 0xff
		if k.ID() != attest.DigestFromSum(sum[:]) {
			t.Error("a caller can change the key through DER")
		}
	}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  any
		want string
	}{
		{"nothing", nil, "keys of type <nil> are not taken"},
		{"nil pointer", (*ecdsa.PublicKey)(nil), "not on P-256"},
		{"no curve", &ecdsa.PublicKey{}, "not on P-256"},
		{"no point", &ecdsa.PublicKey{Curve: elliptic.P256()}, "not a point on P-256"},
		{"P-384", p384(t), "not on P-256"},
		{"Ed25519", logKey().Public(), "Ed25519 keys cannot sign here: the log takes only Ed25519ph"},
		{"RSA nothing", (*rsa.PublicKey)(nil), "RSA key has no modulus"},
		{"RSA no modulus", &rsa.PublicKey{E: 65537}, "RSA key has no modulus"},
		{"RSA 1024", rsaOf(1024, 65537), "RSA key has 1024 bits; keys of 2048, 3072 and 4096 bits are taken"},
		{"RSA 2047", rsaOf(2047, 65537), "RSA key has 2047 bits"},
		{"RSA 8192", rsaOf(8192, 65537), "RSA key has 8192 bits"},
		{"RSA exponent 1", rsaOf(2048, 1), "the exponent 1"},
		{"RSA exponent even", rsaOf(2048, 4), "the exponent 4"},
		{"RSA exponent negative", rsaOf(2048, -3), "the exponent -3"},
		{"RSA by value", *rsaKey(), "keys of type rsa.PublicKey are not taken"},
		{"private", signerOf("release").key, "keys of type *ecdsa.PrivateKey are not taken"},
		{"by value", signerOf("release").key.PublicKey, "keys of type ecdsa.PublicKey are not taken"},
	} {
		if _, err := attest.NewPublicKey(tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.want)
		}
	}
}

// rsaOf has the form of an RSA key of so many bits; nobody knows its factors.
func rsaOf(bits, e int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: e}
}

func TestRSAKeys(t *testing.T) {
	for bits, want := range map[int]string{
		2048: "PKIX_RSA_PKCS1V15_2048_SHA256", 3072: "PKIX_RSA_PKCS1V15_3072_SHA256", 4096: "PKIX_RSA_PKCS1V15_4096_SHA256",
	} {
		k, err := attest.NewPublicKey(rsaOf(bits, 65537))
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Details().String(); got != want {
			t.Errorf("%d bits: details %s, want %s", bits, got, want)
		}
		if again, err := attest.ParsePublicKey(k.Base64()); err != nil || !again.Equal(k) || again.Details() != k.Details() {
			t.Errorf("%d bits: does not read back: %v", bits, err)
		}
		if k.ECDSA() != nil {
			t.Errorf("%d bits: is an ECDSA key", bits)
		}
		if _, err := attest.ParseLoginKey(k.Base64()); err == nil || !strings.Contains(err.Error(), "proven with an ECDSA P-256 key") {
			t.Errorf("%d bits: proves who one is: %v", bits, err)
		}
	}
	if k, err := attest.ParseLoginKey(signerOf("host").public(t).Base64()); err != nil || k.ECDSA() == nil {
		t.Errorf("ECDSA key: %v", err)
	}
}

// TestEnvelopeByRSA also asks that there is one scheme a key: PSS, and another
// hash, are no signatures of an RSA key here.
func TestEnvelopeByRSA(t *testing.T) {
	key := rsaPrivate(t)
	s, err := signature.LoadRSAPKCS1v15Signer(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := attest.SignEnvelope("text/x-test", []byte("x"), s)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(raw, "text/x-test")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Verify(pub), pub.Verify(e.PAE(), e.Signatures[0].Sig)); err != nil {
		t.Error(err)
	}
	if e.Verify(signerOf("release").public(t)) == nil || pub.Verify([]byte("y"), e.Signatures[0].Sig) == nil {
		t.Error("verifies with another key, or over another message")
	}
	pss, err := signature.LoadRSAPSSSigner(key, crypto.SHA256, nil)
	if err != nil {
		t.Fatal(err)
	}
	sha512, err := signature.LoadRSAPKCS1v15Signer(key, crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]signature.Signer{"PSS": pss, "sha512": sha512} {
		if _, err := attest.SignEnvelope("text/x-test", []byte("x"), s); err == nil || !strings.Contains(err.Error(), "does not sign with the sha256") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParsePublicKeyOneForm(t *testing.T) {
	k := signerOf("release").public(t)
	for name, in := range map[string]string{
		"empty":        "",
		"no padding":   strings.TrimRight(k.Base64(), "="),
		"line break":   k.Base64()[:40] + "\n" + k.Base64()[40:],
		"space around": " " + k.Base64(),
		"web-safe":     base64.URLEncoding.EncodeToString(append(k.DER(), 0xff, 0xff, 0xff)),
		"trailing DER": base64.StdEncoding.EncodeToString(append(k.DER(), 0)),
		"compressed":   base64.StdEncoding.EncodeToString(compressed(k)),
	} {
		if _, err := attest.ParsePublicKey(in); err == nil {
			t.Errorf("%s: %q was read as a key", name, in)
		}
	}
}

// compressed is the SPKI of k with a compressed point, the other form of it.
func compressed(k *attest.PublicKey) []byte {
	head, point := k.DER()[:len(k.DER())-65], k.DER()[len(k.DER())-65:]
	der := append(bytes.Clone(head), 2+point[64]&1)
	der[1] -= 32           // of the outer sequence
	der[len(head)-2] -= 32 // of the bit string
	return append(der, point[1:33]...)
}

func TestDigest(t *testing.T) {
	d := attest.DigestOf([]byte("x"))
	if got := d.Short(); got != d.Hex()[:12] {
		t.Errorf("Short is %q", got)
	}
	var zero attest.Digest
	if zero.Sum() != nil || zero.Hex() != "" || zero.Short() != "" {
		t.Errorf("the zero digest has sum %x, hex %q, short %q", zero.Sum(), zero.Hex(), zero.Short())
	}
	if got := attest.DigestFromSum(d.Sum()); got != d {
		t.Errorf("%s became %s", d, got)
	}
	if attest.Digest("sha256:zz").Sum() != nil {
		t.Error("a digest that is none has a sum")
	}
}
