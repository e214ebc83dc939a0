package publish

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
)

type signer struct {
	signature.Signer
	key *attest.PublicKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.LoadSigner(k, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	p, err := attest.NewPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{s, p}
}

func statement(t *testing.T, name string) []byte {
	t.Helper()
	b, err := attest.NewStatement("https://example.org/test/v1", []attest.Subject{{Digest: attest.DigestOf([]byte(name))}}, attest.Unknown(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// envelope gets the draft of payload and reports whether s signed for it.
func envelope(t *testing.T, d drafts, s signer, payload []byte) (b []byte, signed bool) {
	t.Helper()
	b, fresh, err := d.envelope(payload, s.key, func() ([]byte, error) {
		signed = true
		return attest.SignEnvelope(attest.PayloadType, payload, s)
	})
	if err != nil {
		t.Fatal(err)
	}
	if fresh != signed {
		t.Errorf("fresh %t, signed %t", fresh, signed)
	}
	return b, signed
}

func TestAnEnvelopeIsSignedOnce(t *testing.T) {
	s, dir := newSigner(t), t.TempDir()
	d := newDrafts(dir, "127.0.0.1:1")
	one, two := statement(t, "one"), statement(t, "two")
	first, signed := envelope(t, d, s, one)
	if !signed {
		t.Error("the first envelope was not signed")
	}
	if again, signed := envelope(t, newDrafts(dir, "127.0.0.1:1"), s, one); signed || !bytes.Equal(first, again) {
		t.Error("the envelope was signed again")
	}
	if _, signed := envelope(t, d, s, two); !signed {
		t.Error("another statement got the first one's envelope")
	}
	if _, signed := envelope(t, newDrafts(dir, "127.0.0.1:2"), s, one); !signed {
		t.Error("another server got the first one's envelope")
	}
	if _, signed := envelope(t, d, newSigner(t), one); !signed {
		t.Error("another key got the first one's envelope")
	}
}

func TestTheFirstOfTwoAtATimeCounts(t *testing.T) {
	s, d := newSigner(t), newDrafts(t.TempDir(), "h")
	payload := statement(t, "one")
	var inner []byte
	outer, _, err := d.envelope(payload, s.key, func() ([]byte, error) {
		inner, _ = envelope(t, d, s, payload) // somebody is faster
		return attest.SignEnvelope(attest.PayloadType, payload, s)
	})
	if err != nil || !bytes.Equal(outer, inner) {
		t.Errorf("two publishes at a time have two envelopes: %v", err)
	}
}

func TestForgedDraftsAreRefused(t *testing.T) {
	s, stranger := newSigner(t), newSigner(t)
	payload := statement(t, "one")
	sign := func(s signer, payload []byte) []byte {
		b, err := attest.SignEnvelope(attest.PayloadType, payload, s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, content := range map[string][]byte{
		"by another key":       sign(stranger, payload),
		"of another statement": sign(s, statement(t, "two")),
		"garbage":              []byte("{}"),
	} {
		d := newDrafts(t.TempDir(), "h")
		if err := d.write(d.path(payload, s.key, envelopeSuffix), content); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.envelope(payload, s.key, nil); err == nil {
			t.Errorf("an envelope %s was taken", name)
		}
		if err := d.write(d.path(payload, s.key, bundleSuffix), content); err != nil {
			t.Fatal(err)
		}
		if d.bundle(payload, s.key) != nil {
			t.Errorf("a bundle %s was taken", name)
		}
	}
}

func TestAnEnvelopeThatCannotBeKeptIsNotUsed(t *testing.T) {
	s := newSigner(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	payload := statement(t, "one")
	d := newDrafts(file, "h") // a file where the directory should be
	if _, _, err := d.envelope(payload, s.key, func() ([]byte, error) { return attest.SignEnvelope(attest.PayloadType, payload, s) }); err == nil {
		t.Error("an envelope that is not kept would be logged")
	}
}

func TestManifestsHaveNoTimes(t *testing.T) {
	one, d, err := encode(ocispec.Manifest{ArtifactType: attest.ArtifactBase, Config: emptyConfig(), Layers: []ocispec.Descriptor{emptyConfig()}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.patchfit.base.v1",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},` +
		`"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}`
	if string(one) != want || string(d.Digest) != string(attest.DigestOf(one)) || d.Size != int64(len(one)) {
		t.Errorf("manifest %s\nwant %s\ndescriptor %+v", one, want, d)
	}
}

func TestTranslate(t *testing.T) {
	err := translate(&errcode.ErrorResponse{StatusCode: 403, Errors: errcode.Errors{{Code: "DENIED", Message: "ENV_MISMATCH: want a; got b; build it again"}}})
	var e *api.Error
	if !errors.As(err, &e) || e.Status != 403 || e.Code != "DENIED" || e.Message != "ENV_MISMATCH: want a; got b" || e.Remedy != "build it again" {
		t.Errorf("%+v", e)
	}
	if plain := errors.New("x"); translate(plain) != plain {
		t.Error("an error that is no answer was changed")
	}
}

func TestInvocationIsTheSameEachTime(t *testing.T) {
	again := invocation("a", "b")
	if invocation("a", "b") != again || invocation("ab", "") == again {
		t.Error("invocations are told apart wrongly")
	}
}
