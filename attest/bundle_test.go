package attest_test

import (
	"bytes"
	"crypto"
	"strings"
	"testing"

	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/proto"

	"github.com/patchfit/patchfit/attest"
)

func TestNewBundle(t *testing.T) {
	payload := statementBytes(t, "base")
	raw := bundleOf(t, payload)
	b, err := attest.ParseBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	k := signerOf("release").public(t)
	if !bytes.Equal(b.Raw, raw) || !bytes.Equal(b.Envelope.Payload, payload) || b.Statement.Type != attest.TypeBase || b.KeyHint != k.Hint() {
		t.Errorf("bundle reads as %+v", b)
	}
	if err := b.Envelope.Verify(k); err != nil {
		t.Error(err)
	}
	if again := bundleOf(t, payload); !bytes.Equal(raw, again) {
		t.Error("the same parts make another bundle")
	}
}

// TestStockVerifier has sigstore-go verify a bundle's signature and log
// inclusion: what we write is not ours alone to read. Timestamps are left to
// the tests of those who make real ones.
func TestStockVerifier(t *testing.T) {
	b, err := attest.ParseBundle(bundleOf(t, statementBytes(t, "base")))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := root.NewTrustedRootFromJSON(trustedRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	check := func(signer string, subject attest.Digest) error {
		v, err := signature.LoadECDSAVerifier(signerOf(signer).public(t).ECDSA(), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		key := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
			return root.NewExpiringKey(v, year(2026), year(2028)), nil
		})
		sev, err := verify.NewVerifier(root.TrustedMaterialCollection{tr, key}, verify.WithTransparencyLog(1), verify.WithNoObserverTimestamps())
		if err != nil {
			t.Fatal(err)
		}
		_, err = sev.Verify(b.Sigstore, verify.NewPolicy(verify.WithArtifactDigest("sha256", subject.Sum()), verify.WithKey()))
		return err
	}
	if err := check("release", digest("base manifest")); err != nil {
		t.Errorf("by the manifest: %v", err)
	}
	if err := check("release", baseFile.Digest); err != nil {
		t.Errorf("by the file: %v", err)
	}
	if check("release", digest("other")) == nil {
		t.Error("verifies for another artifact")
	}
	if check("stranger", digest("base manifest")) == nil {
		t.Error("verifies with another key")
	}
}

func TestNewBundleRefuses(t *testing.T) {
	payload := statementBytes(t, "base")
	env := sign(t, attest.PayloadType, payload, "release")
	e, err := attest.ParseEnvelope(env, attest.PayloadType)
	if err != nil {
		t.Fatal(err)
	}
	k := signerOf("release").public(t)
	entry := func(change func(*rekor.TransparencyLogEntry)) *rekor.TransparencyLogEntry {
		p := proto.CloneOf(logEntry(t, e, k))
		change(p)
		return p
	}
	good := entry(func(*rekor.TransparencyLogEntry) {})
	for _, tt := range []struct {
		name     string
		envelope []byte
		key      *attest.PublicKey
		entry    *rekor.TransparencyLogEntry
		stamp    []byte
		want     string
	}{
		{"another key", env, signerOf("stranger").public(t), good, granted, "no signature of the envelope is by key"},
		{"no key", env, nil, good, granted, "no key to verify with"},
		{"two signatures", sign(t, attest.PayloadType, payload, "release", "farm"), k, good, granted, "/dsseEnvelope/signatures: 2 signatures"},
		{"another payload type", sign(t, attest.PolicyPayload, payload, "release"), k, good, granted, "/payloadType"},
		{"no statement", sign(t, attest.PayloadType, []byte("{}"), "release"), k, good, granted, "/dsseEnvelope/payload/_type: missing"},
		{"no entry", env, k, nil, granted, "bundle would be refused"},
		{"empty entry", env, k, new(rekor.TransparencyLogEntry), granted, "/verificationMaterial/tlogEntries/0"},
		{"no proof", env, k, entry(func(p *rekor.TransparencyLogEntry) { p.InclusionProof = nil }), granted, "/inclusionProof: missing"},
		{"entry of rekor v1", env, k, entry(func(p *rekor.TransparencyLogEntry) { p.KindVersion.Version = "0.0.1" }), granted, "/kindVersion/version"},
		{"negative index", env, k, entry(func(p *rekor.TransparencyLogEntry) { p.LogIndex = -1 }), granted, "/logIndex"},
		{"no timestamp", env, k, good, nil, "/signedTimestamp"},
		{"no envelope", nil, k, good, granted, "envelope: empty document"},
	} {
		if b, err := attest.NewBundle(tt.envelope, tt.key, tt.entry, tt.stamp); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %.60s, %v; want an error that says %q", tt.name, b, err, tt.want)
		}
	}
}

// TestBundleLeaves changes every leaf of a good bundle. What is refused here
// need not be looked at again; what is not is signed, or listed.
func TestBundleLeaves(t *testing.T) {
	good := bundleOf(t, statementBytes(t, "base"))
	k := signerOf("release").public(t)
	first, err := attest.ParseBundle(good)
	if err != nil {
		t.Fatal(err)
	}
	free := 0
	for changed := range leavesChanged(t, good) {
		b, err := attest.ParseBundle(changed)
		if err != nil || b.Envelope.Verify(k) != nil || b.KeyHint != first.KeyHint {
			continue
		}
		// Left are the log's key id, the checkpoint's signature and the body,
		// which a verifier holds against the log's key and the envelope.
		was, is := first.Sigstore.VerificationMaterial.TlogEntries[0], b.Sigstore.VerificationMaterial.TlogEntries[0]
		if free++; proto.Equal(was, is) {
			t.Errorf("a change of a good bundle goes unseen:\n%s", changed)
		}
	}
	if free == 0 {
		t.Error("no changed bundle was read: the test does not test")
	}
}
