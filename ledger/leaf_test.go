package ledger_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/types/hashedrekord"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

func signed(t testing.TB) (*attest.Envelope, *attest.PublicKey, signature.Signer) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signedBy(t, k)
}

func signedBy(t testing.TB, k crypto.Signer) (*attest.Envelope, *attest.PublicKey, signature.Signer) {
	t.Helper()
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return envelope(t, s), pub, s
}

func envelope(t testing.TB, s signature.Signer) *attest.Envelope {
	t.Helper()
	b, err := attest.SignEnvelope("text/plain", []byte("hello"), s)
	if err != nil {
		t.Fatal(err)
	}
	e, err := attest.ParseEnvelope(b, "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestLeafIsRekors holds our leaf to the one rekor-tiles makes.
func TestLeafIsRekors(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 { // base64 has its own traps
		e, key, _ := signed(t)
		switch i {
		case 0:
			e, key, _ = signedBy(t, small)
		case 1:
			e, key, _ = signedBy(t, large)
		}
		req, err := ledger.Leaf(e, key)
		if err != nil {
			t.Fatal(err)
		}
		body, err := ledger.LeafBody(req)
		if err != nil {
			t.Fatal(err)
		}
		want, err := hashedrekord.ToEntryHash(req.GetDigest(), req.GetSignature())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ledger.EntryHash(body), want) {
			t.Fatalf("%s\nis not the leaf rekor-tiles makes", body)
		}
		rebuilt, err := ledger.EntryBody(e, key)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(body), string(rebuilt)); d != "" {
			t.Fatal(d)
		}
	}
}

func TestLeafRefuses(t *testing.T) {
	e, key, s := signed(t)
	_, other, so := signed(t)
	if _, err := ledger.Leaf(e, other); err == nil {
		t.Error("a leaf with a key that did not sign")
	}
	b, err := attest.AddSignature(e.Raw, so)
	if err != nil {
		t.Fatal(err)
	}
	two, err := attest.ParseEnvelope(b, "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Leaf(two, key); err == nil {
		t.Error("a leaf of an envelope with two signatures")
	}
	if _, err := ledger.EntryBody(two, key); err == nil {
		t.Error("an entry of an envelope with two signatures")
	}
	if _, err := ledger.EntryBody(e, nil); err == nil {
		t.Error("an entry without a key")
	}
	req, err := ledger.Leaf(e, key)
	if err != nil {
		t.Fatal(err)
	}
	req.Signature.Verifier.KeyDetails = protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256
	if _, err := ledger.LeafBody(req); err == nil || !strings.Contains(err.Error(), "the key is of kind PKIX_ECDSA_P256_SHA_256") {
		t.Errorf("a leaf that names another kind of key: %v", err)
	}
	req.Signature.Verifier.KeyDetails = protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
	req.Signature.Content = envelope(t, so).Signatures[0].Sig
	if _, err := ledger.LeafBody(req); err == nil {
		t.Error("a leaf with another's signature")
	}
	req.Signature.Content = envelope(t, s).Signatures[0].Sig
	if _, err := ledger.LeafBody(req); err != nil {
		t.Error("a second signature by the same key is refused:", err)
	}
}

func TestParseEntry(t *testing.T) {
	e, key, _ := signed(t)
	body, err := ledger.EntryBody(e, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ledger.ParseEntry(body)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != attest.DigestOf(e.PAE()) || !bytes.Equal(got.Signature, e.Signatures[0].Sig) || !got.Key.Equal(key) {
		t.Errorf("%+v", got)
	}
	s := string(body)
	for name, bad := range map[string]string{
		"empty":     "",
		"version":   strings.Replace(s, "0.0.2", "0.0.1", 1),
		"kind":      strings.Replace(s, `"hashedrekord"`, `"dsse"`, 1),
		"algorithm": strings.Replace(s, "SHA2_256", "SHA2_512", 1),
		"details":   strings.Replace(s, "P256_SHA_256", "P384_SHA_384", 1),
		"space":     strings.Replace(s, ":", ": ", 1),
		"member":    strings.Replace(s, "{", `{"a":1,`, 1),
		"trailing":  s + "\n",
		"cut":       s[:len(s)-1],
		"key":       strings.Replace(s, `"rawBytes":"M`, `"rawBytes":"N`, 1),
	} {
		if bad == s {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := ledger.ParseEntry([]byte(bad)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

func rsaKey(t testing.TB) *attest.PublicKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, pub, _ := signedBy(t, k)
	return pub
}

// FuzzParseEntry: what is read is written as it was.
func FuzzParseEntry(f *testing.F) {
	e, key, _ := signed(f)
	body, err := ledger.EntryBody(e, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	if body, err = ledger.EntryBody(e, rsaKey(f)); err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ledger.ParseEntry(b)
		if err != nil {
			return
		}
		again := &attest.Envelope{Signatures: []attest.Signature{{Sig: got.Signature}}}
		rebuilt, err := ledger.EntryBody(again, got.Key)
		if err != nil || len(rebuilt) != len(b) {
			t.Fatalf("%d bytes became %d, %v", len(b), len(rebuilt), err)
		}
	})
}
