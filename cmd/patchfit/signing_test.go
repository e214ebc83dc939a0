package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/keyfile"
	"github.com/patchfit/patchfit/internal/signing"
	"github.com/patchfit/patchfit/internal/signing/signingtest"
)

// TestKeysElsewhere publishes with keys that this program never reads: a real
// program of sigstore's plugin protocol signs, the trust policy included.
func TestKeysElsewhere(t *testing.T) {
	s := newSite(t)
	keys := signingtest.Box(t)
	for name, typ := range map[string]string{"release": "rsa-3072", "liar": "ecdsa-p256", "other": "ecdsa-p256"} {
		ok(t, "keygen", "--type", typ, "-o", filepath.Join(keys, name))
	}
	if err := os.Link("root.pem", filepath.Join(keys, "root")); err != nil {
		t.Fatal(err)
	}
	ok(t, "trust", "edit", "policy.signed.json", "-o", "next.json", "--add-signer", "service=box://release",
		"--authority", repository+":builder=service", "--authority", repository+":base=service", "--authority", repository+":patch=service")
	ok(t, "trust", "sign", "next.json", "--key", "box://root")
	ok(t, append(s.admin, "trust", "push", "next.signed.json")...)

	builds(t)
	s.as(t, "publisher")
	published(t, "builder-image", "builder", "--to", repository, "--key", "box://release")
	published(t, "base", "a.so", "--capture", "a.json", "--to", repository+":a", "--key", "box://release")
	patch := published(t, "patch", "patch.so", "--capture", "patch.json", "--base", "a", "--to", repository+":fix", "--key", "box://release")
	about := repository + "@" + string(patch.Artifacts[0].Digest)
	ok(t, "verify", about)

	v, e := summarized(t, about, "--key", "box://release")
	if key := must(attest.NewPublicKey(must(keyfile.LoadSigner(filepath.Join(keys, "release")))(t).Public()))(t); v.Key != key.ID() || !v.Logged || e.Verify(key) != nil {
		t.Errorf("verification summary by a key of a service: %+v", v)
	}
	fails(t, exit.Failure, "does not sign with the sha256 and the key it names", "verify", about, "--vsa", "x.json", "--verifier-id", verifierID, "--key", "box://liar")
	fails(t, exit.Failure, "sigstore-kms-nobodys is not on the PATH", "verify", about, "--vsa", "x.json", "--verifier-id", verifierID, "--key", "nobodys://key")

	fails(t, exit.Failure, "does not sign with the sha256 and the key it names", "publish", "base", "b.so", "--capture", "b.json", "--to", repository, "--key", "box://liar")
	fails(t, exit.Failure, "no such key", "publish", "base", "b.so", "--capture", "b.json", "--to", repository, "--key", "box://none")
	fails(t, exit.Failure, "sigstore-kms-nobodys is not on the PATH", "publish", "base", "b.so", "--capture", "b.json", "--to", repository, "--key", "nobodys://key")
}

const verifierID = "https://verifier.example/production"

// summarized verifies with a verification summary, and returns what was said of it
// and its envelope.
func summarized(t *testing.T, what string, by ...string) (*verifying.Summary, *attest.Envelope) {
	t.Helper()
	v := answer[verifying.Answer](t, append([]string{"verify", what, "--vsa", "summary.json", "--verifier-id", verifierID}, by...)...)
	e := must(attest.ParseEnvelope(must(os.ReadFile("summary.json"))(t), attest.PayloadType))(t)
	if v.VSA == nil || v.VSA.Result != attest.SummaryPassed {
		t.Fatalf("verification summary: %+v", v.VSA)
	}
	return v.VSA, e
}

// An authority of these tests: a root that issues by itself, in a file.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, path string) *authority {
	t.Helper()
	a := &authority{key: ecKey(t)}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corp root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	a.cert = a.issue(t, path, tmpl, tmpl, a.key.Public())
	return a
}

func (a *authority) issue(t *testing.T, path string, tmpl, parent *x509.Certificate, public any) *x509.Certificate {
	t.Helper()
	der := must(x509.CreateCertificate(rand.Reader, tmpl, parent, public, a.key))(t)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return must(x509.ParseCertificate(der))(t)
}

// certify writes a certificate of the private key in the file key.pem, valid
// for d from now.
func (a *authority) certify(t *testing.T, key, san string, d time.Duration) {
	t.Helper()
	signer := must(keyfile.LoadSigner(key + ".pem"))(t)
	now := time.Now()
	a.issue(t, key+".crt", &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{must(url.Parse(san))(t)}, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(d),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, a.cert, signer.Public())
}

// TestCertificatesPublish: whoever has a certificate of the named authority, in
// the named name, publishes; two keys of one name are one signer.
func TestCertificatesPublish(t *testing.T) {
	s := newSite(t)
	const san = "spiffe://build.example/patches"
	ca := newAuthority(t, "ca.crt")
	fails(t, exit.Usage, "no meaning without its authority", "trust", "edit", "policy.signed.json", "-o", "x.json", "--add-identity", "pipeline="+san)
	ok(t, "trust", "edit", "policy.signed.json", "-o", "next.json", "--identity-ca", "ca.crt", "--add-identity", "pipeline="+san,
		"--authority", repository+":builder=pipeline", "--authority", repository+":base=pipeline", "--authority", repository+":patch=pipeline")
	ok(t, "trust", "sign", "next.json", "--key", "root.pem")
	ok(t, append(s.admin, "trust", "push", "next.signed.json")...)

	for _, key := range []string{"run1", "run2", "wrong", "late", "stray"} {
		ok(t, "keygen", "-o", key+".pem")
	}
	ca.certify(t, "run1", san, time.Hour)
	ca.certify(t, "run2", san, time.Hour)
	ca.certify(t, "wrong", "spiffe://build.example/tests", time.Hour)
	ca.certify(t, "late", san, -time.Second)
	newAuthority(t, "stray-ca.crt").certify(t, "stray", san, time.Hour)

	builds(t)
	s.as(t, "publisher")
	with := func(key string) []string { return []string{"--key", key + ".pem", "--certificate", key + ".crt"} }
	published(t, append([]string{"builder-image", "builder", "--to", repository}, with("run1")...)...)
	published(t, append([]string{"base", "a.so", "--capture", "a.json", "--to", repository + ":a"}, with("run1")...)...)
	patch := published(t, append([]string{"patch", "patch.so", "--capture", "patch.json", "--base", "a", "--to", repository + ":fix"}, with("run2")...)...)
	answer := answer[verifying.Answer](t, "verify", repository+"@"+string(patch.Artifacts[0].Digest))
	for _, r := range answer.Statements {
		if !r.Verified || r.Signer != "pipeline" {
			t.Errorf("statement %s is by %q", r.Type, r.Signer)
		}
	}

	about := repository + "@" + string(patch.Artifacts[0].Digest)
	v, e := summarized(t, about, with("run2")...)
	b := must(attest.ParseBundle(must(os.ReadFile("summary.sigstore.json"))(t)))(t)
	if !v.Logged || v.Identity != san || b.Certificate == nil || b.Certificate.SAN() != san || e.Verify(b.Certificate.SigningKey()) != nil {
		t.Errorf("verification summary by a name in a certificate: %+v", v)
	}
	if v, _ := summarized(t, about, with("wrong")...); v.Logged || v.Unlogged == "" {
		t.Errorf("verification summary by another name is logged: %+v", v)
	}
	summary := []string{"verify", about, "--vsa", "x.json", "--verifier-id", verifierID}
	fails(t, exit.Usage, "is for key", append(summary, "--key", "run1.pem", "--certificate", "run2.crt")...)
	fails(t, exit.Usage, "--vsa is missing", "verify", about, "--certificate", "run2.crt")

	base := []string{"publish", "base", "b.so", "--capture", "b.json", "--to", repository}
	fails(t, exit.Denied, "names no identity", append(base, with("wrong")...)...)
	fails(t, exit.Denied, "the certificate is valid from", append(base, with("late")...)...)
	fails(t, exit.Denied, "is not one of the authority", append(base, with("stray")...)...)
	fails(t, exit.Failure, "is for key", append(base, "--key", "run1.pem", "--certificate", "run2.crt")...)
	fails(t, exit.Denied, "no signer of the trust policy has the key", append(base, "--key", "run1.pem")...)
}

// TestFulcioPublishes: who has a token of the provider that the authority believes
// needs no key at all.
func TestFulcioPublishes(t *testing.T) {
	s := newSite(t)
	f := signingtest.NewFulcio(t)
	if err := os.WriteFile("chain.pem", f.Chain, 0o644); err != nil {
		t.Fatal(err)
	}
	ok(t, "trust", "edit", "policy.signed.json", "-o", "next.json", "--identity-ca", "chain.pem", "--identity-issuer", f.Issuer,
		"--add-identity", "people=release@example.org", "--authority", repository+":builder=people")
	ok(t, "trust", "sign", "next.json", "--key", "root.pem")
	ok(t, append(s.admin, "trust", "push", "next.signed.json")...)
	builds(t)
	s.as(t, "publisher")
	publish := []string{"publish", "builder-image", "builder", "--to", repository, "--key", "fulcio:" + f.URL}
	t.Setenv(signing.EnvToken, f.Token("other@example.org"))
	fails(t, exit.Denied, "names no identity", publish...)
	fails(t, exit.Failure, "is gone when this command ends", "trust", "edit", "next.json", "--add-signer", "x=fulcio:"+f.URL)
	t.Setenv(signing.EnvToken, f.Token("release@example.org"))
	first := published(t, publish[1:]...)
	about := repository + "@" + string(first.Artifacts[0].Digest)
	if v, _ := summarized(t, about, "--key", publish[6]); !v.Logged || v.Identity != "release@example.org" {
		t.Errorf("verification summary by a key of this run: %+v", v)
	}
	summary := []string{"verify", about, "--vsa", "x.json", "--verifier-id", verifierID, "--key", publish[6]}
	t.Setenv(signing.EnvToken, f.Token("other@example.org"))
	fails(t, exit.Failure, "the verification summary is not logged", summary...)
	t.Setenv(signing.EnvToken, f.Token("release@example.org"))
	ok(t, "mirror", "pull", about, "-o", "mirror")
	fails(t, exit.Usage, "is gone when this command ends", append(summary, "--offline", "--layout", "mirror", "--roots", string(s.roots))...)
	if again := published(t, publish[1:]...); len(again.Statements) != 1 || again.Statements[0].LogIndex != first.Statements[0].LogIndex {
		t.Errorf("another key publishes it again: %+v, was %+v", again, first)
	}
}
