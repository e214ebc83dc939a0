package attest_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

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
		{"RSA", rsaKey(), "RSA keys are not taken"},
		{"private", signerOf("release").key, "keys of type *ecdsa.PrivateKey are not taken"},
		{"by value", signerOf("release").key.PublicKey, "keys of type ecdsa.PublicKey are not taken"},
	} {
		if _, err := attest.NewPublicKey(tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.want)
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
