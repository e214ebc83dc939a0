package attest_test

import (
	"bytes"
	"crypto"
	"io"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
)

func TestPAE(t *testing.T) {
	e := attest.Envelope{PayloadType: "http://example.com/HelloWorld", Payload: []byte("hello world")}
	if got, want := string(e.PAE()), "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want { // the specification's example
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSignAndVerify(t *testing.T) {
	payload := []byte("any bytes \x00\xff")
	raw := sign(t, "text/x-test", payload, "release")
	e, err := attest.ParseEnvelope(raw, "text/x-test")
	if err != nil {
		t.Fatal(err)
	}
	k := signerOf("release").public(t)
	if !bytes.Equal(e.Payload, payload) || !bytes.Equal(e.Raw, raw) || len(e.Signatures) != 1 || e.Signatures[0].KeyID != k.ID().Hex() {
		t.Errorf("envelope reads as %+v", e)
	}
	if err := e.Verify(k); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(e *attest.Envelope){
		"payload":      func(e *attest.Envelope) { e.Payload = []byte("any bytes \x00\xfe") },
		"payload type": func(e *attest.Envelope) { e.PayloadType = "text/x-tesu" },
		"signature":    func(e *attest.Envelope) { e.Signatures[0].Sig[10] ^= 1 },
		"no signature": func(e *attest.Envelope) { e.Signatures = nil },
		"trailing byte": func(e *attest.Envelope) {
			e.Signatures[0].Sig = append(e.Signatures[0].Sig, 0)
		},
	} {
		other, err := attest.ParseEnvelope(raw, "text/x-test")
		if err != nil {
			t.Fatal(err)
		}
		if change(other); other.Verify(k) == nil {
			t.Errorf("verifies with another %s", name)
		}
	}
	stranger := signerOf("stranger").public(t)
	if err := e.Verify(stranger); err == nil || !strings.Contains(err.Error(), string(stranger.ID())) {
		t.Errorf("a stranger's key: %v", err)
	}
	for _, k := range []*attest.PublicKey{nil, new(attest.PublicKey)} {
		if e.Verify(k) == nil {
			t.Errorf("verifies with the key %v", k)
		}
	}
}

func TestKeyIDIsOnlyAHint(t *testing.T) {
	raw := sign(t, "text/x-test", []byte("x"), "release")
	k, stranger := signerOf("release").public(t), signerOf("stranger").public(t)
	e, err := attest.ParseEnvelope(edit(t, raw, k.ID().Hex(), stranger.ID().Hex()), "text/x-test")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(k); err != nil {
		t.Errorf("a wrong hint hides a good signature: %v", err)
	}
	if e.Verify(stranger) == nil {
		t.Error("a hint is taken for a signature")
	}
}

func TestAddSignature(t *testing.T) {
	raw := sign(t, "text/x-test", []byte("x"), "root one", "root two")
	e, err := attest.ParseEnvelope(raw, "text/x-test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root one", "root two"} {
		if err := e.Verify(signerOf(name).public(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := attest.AddSignature(raw, signerOf("root two")); err == nil || !strings.Contains(err.Error(), "already signed by key "+signerOf("root two").public(t).ID().Hex()) {
		t.Errorf("the same key again: %v", err)
	}
	if _, err := attest.AddSignature(append(raw, '{'), signerOf("root three")); err == nil {
		t.Error("added a signature to what is no envelope")
	}
}

func TestSignEnvelopeRefuses(t *testing.T) {
	ed, err := signature.LoadSigner(logKey(), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	sha384, err := signature.LoadECDSASigner(signerOf("release").key, crypto.SHA384)
	if err != nil {
		t.Fatal(err)
	}
	good, err := signature.LoadECDSASigner(signerOf("release").key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, typ string
		signer    signature.Signer
		want      string
	}{
		{"Ed25519", "text/x", ed, "Ed25519 keys cannot sign here"},
		{"another hash", "text/x", sha384, "does not sign with the sha256"},
		{"another key", "text/x", liar{signerOf("release"), signerOf("stranger")}, "does not sign with the sha256 and the key"},
		{"no type", "", good, "/payloadType: empty"},
	} {
		if _, err := attest.SignEnvelope(tt.typ, []byte("x"), tt.signer); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want it to say %q", tt.name, err, tt.want)
		}
	}
	if _, err := attest.SignEnvelope("text/x", []byte("x"), good); err != nil {
		t.Errorf("sigstore's own signer: %v", err)
	}
	if _, err := attest.SignEnvelope("text/x", make([]byte, attest.MaxEnvelope), good); err == nil {
		t.Error("signed more than is read")
	}
	if _, err := attest.SignEnvelope("text/x", nil, good); err != nil {
		t.Errorf("an empty payload: %v", err)
	}
}

// A liar signs with one key and names another.
type liar struct{ signer, names signer }

func (l liar) PublicKey(o ...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return l.names.PublicKey(o...)
}

func (l liar) SignMessage(r io.Reader, o ...signature.SignOption) ([]byte, error) {
	return l.signer.SignMessage(r, o...)
}
