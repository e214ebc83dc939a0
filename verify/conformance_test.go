package verify_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sigstore "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/machinetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// The identity the suite's bundles are signed by, unless the case says another.
const (
	beaconIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	beaconIssuer   = "https://token.actions.githubusercontent.com"
)

// A conformanceCase is one folder of the Sigstore conformance suite's data.
type conformanceCase struct {
	name, dir, suite string
	fails            bool
}

// TestSigstoreConformance runs the Sigstore project's bundle cases through the
// sigstore-go this package stands on: a folder ending in _fail is refused,
// every other is accepted, with the artifact's bytes and with its digest.
//
// The suite is about the public Sigstore instance. It signs with certificates
// and, where it signs with a key, a message and not a DSSE envelope, into a
// Rekor v1 log. Our own verifier takes none of that. So the cases are run with
// the options ours has (one log, one signed timestamp) where the bundle carries
// a signed timestamp in a Rekor v2 log, and with the suite's own where it does
// not; that ours refuses all of them is TestConformanceCasesAreNotOurs.
func TestSigstoreConformance(t *testing.T) {
	for _, c := range conformanceCases(t) {
		t.Run(c.name, func(t *testing.T) {
			for _, byDigest := range []bool{false, true} {
				err := c.run(byDigest)
				if c.fails && err == nil {
					t.Errorf("by digest %t: accepted", byDigest)
				}
				if !c.fails && err != nil {
					t.Errorf("by digest %t: %v", byDigest, err)
				}
			}
		})
	}
}

// No case of the suite has the one form we read, so every one is refused, with
// a reason and without a panic, even by a trust policy that trusts the case's
// own log, timestamp authority and key.
func TestConformanceCasesAreNotOurs(t *testing.T) {
	a := verifytest.New(t)
	for _, c := range conformanceCases(t) {
		raw, err := os.ReadFile(c.file("bundle.sigstore.json"))
		if err != nil {
			t.Fatal(err)
		}
		p := a.TrustPolicy(a.Product("conformance"))
		if own, err := os.ReadFile(c.file("trusted_root.json")); err == nil {
			p.TrustedRoot = own
		}
		if pem, err := os.ReadFile(filepath.Join(c.dir, "key.pub")); err == nil {
			if key, err := attest.ParsePublicKeyPEM(pem); err == nil {
				p.Signers[0].Keys[0].Key = key.Base64()
			}
		}
		v, err := verify.New(p)
		if err != nil {
			if c.fails {
				continue // the trusted root itself is what is wrong
			}
			t.Fatalf("%s: %v", c.name, err)
		}
		artifact, err := os.ReadFile(c.artifact())
		if err != nil {
			t.Fatal(err)
		}
		ev, err := v.Bundle(raw, verify.Artifact{Manifest: attest.DigestOf(artifact)})
		var r *verify.Refusal
		if ev != nil || !errors.As(err, &r) || r.Reason != verify.Corrupt {
			t.Errorf("%s: %v, %v; want %s", c.name, ev, err, verify.Corrupt)
		}
	}
}

func conformanceCases(t *testing.T) (cases []conformanceCase) {
	t.Helper()
	suite, dirs := machinetest.Conformance(t, "..")
	for _, dir := range dirs {
		name := filepath.Base(dir)
		cases = append(cases, conformanceCase{name, dir, suite, strings.HasSuffix(name, "_fail")})
	}
	return cases
}

// file returns the path of the case's own file, or of the suite's.
func (c conformanceCase) file(name string) string {
	own := filepath.Join(c.dir, name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return filepath.Join(c.suite, name)
}

func (c conformanceCase) artifact() string {
	own := filepath.Join(c.dir, "artifact")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return filepath.Join(c.suite, "bundle-verify", "a.txt")
}

// text returns a file of the case, or what stands for it.
func (c conformanceCase) text(name, otherwise string) string {
	b, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		return otherwise
	}
	return strings.TrimSpace(string(b))
}

func (c conformanceCase) run(byDigest bool) error {
	material, err := root.NewTrustedRootFromPath(c.file("trusted_root.json"))
	if err != nil {
		return err
	}
	b, err := bundle.LoadJSONFromPath(filepath.Join(c.dir, "bundle.sigstore.json"))
	if err != nil {
		return err
	}
	artifact, err := os.ReadFile(c.artifact())
	if err != nil {
		return err
	}
	of := sigstore.WithArtifact(bytes.NewReader(artifact))
	if byDigest {
		sum := sha256.Sum256(artifact)
		of = sigstore.WithArtifactDigest("sha256", sum[:])
	}
	pem, err := os.ReadFile(filepath.Join(c.dir, "key.pub"))
	if err == nil {
		return c.byKey(b, material, pem, of)
	}
	return c.byIdentity(b, material, of)
}

func (c conformanceCase) byKey(b *bundle.Bundle, material root.TrustedMaterial, pem []byte, of sigstore.ArtifactPolicyOption) error {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return err
	}
	v, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return err
	}
	one := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(v, verifytest.Epoch.AddDate(-100, 0, 0), verifytest.Epoch.AddDate(100, 0, 0)), nil
	})
	sv, err := sigstore.NewVerifier(root.TrustedMaterialCollection{material, one}, timeOptions(b)...)
	if err != nil {
		return err
	}
	_, err = sv.Verify(b, sigstore.NewPolicy(of, sigstore.WithKey()))
	return err
}

func (c conformanceCase) byIdentity(b *bundle.Bundle, material root.TrustedMaterial, of sigstore.ArtifactPolicyOption) error {
	id, err := sigstore.NewShortCertificateIdentity(c.text("issuer", beaconIssuer), "", c.text("identity", beaconIdentity), "")
	if err != nil {
		return err
	}
	sv, err := sigstore.NewVerifier(material, append(timeOptions(b), sigstore.WithSignedCertificateTimestamps(1))...)
	if err != nil {
		return err
	}
	_, err = sv.Verify(b, sigstore.NewPolicy(of, sigstore.WithCertificateIdentity(id)))
	return err
}

// timeOptions are ours for bundles of a Rekor v2 log, which gives no time of
// its own; for those of a Rekor v1 log its time counts too, as in the suite.
func timeOptions(b *bundle.Bundle) []sigstore.VerifierOption {
	entries, err := b.TlogEntries()
	if err == nil && len(entries) == 1 && entries[0].IsRekorV2() {
		return []sigstore.VerifierOption{sigstore.WithTransparencyLog(1), sigstore.WithSignedTimestamps(1)}
	}
	return []sigstore.VerifierOption{sigstore.WithTransparencyLog(1), sigstore.WithObserverTimestamps(1)}
}
