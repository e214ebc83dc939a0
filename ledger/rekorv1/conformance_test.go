package rekorv1_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/machinetest"
	"github.com/patchfit/patchfit/ledger/rekorv1"
)

// conforming says of every Rekor v1 case of the Sigstore conformance suite why
// this package refuses it; "" accepts. Cases that are wrong in what this
// package does not ask (whose certificate, which timestamp) are accepted here
// and refused by those who ask: see cmd/patchfit.
var conforming = map[string]rekorv1.Reason{
	"happy-path-intoto-in-dsse-v3":           "",
	"happy-path-v0.1":                        "",
	"happy-path-v0.2":                        "",
	"happy-path-v0.3":                        "",
	"happy-path-v0.3-new-mediaType":          "",
	"intoto-with-custom-trust-root":          "",
	"managed-key-and-trusted-root":           "",
	"managed-key-happy-path":                 "",
	"trust-root-tlog-validity-end-inclusive": "",

	"intoto-tsa-timestamp-outside-cert-validity_fail": "", // the timestamp authority's time
	"invalid-ct-key_fail":                             "", // the certificate's SCT

	"bundle-empty-certificate-chain_fail":           rekorv1.Malformed,
	"bundle-from-wrong-instance_fail":               rekorv1.UnknownLog,
	"bundle-invalid-base64-signature_fail":          rekorv1.Malformed,
	"bundle-malformed-json_fail":                    rekorv1.Malformed,
	"bundle-negative-log-index_fail":                rekorv1.Malformed,
	"bundle-unknown-version_fail":                   rekorv1.Malformed,
	"bundle-with-root-cert_fail":                    rekorv1.NoProof,
	"checkpoint-bad-keyhint_fail":                   rekorv1.BadCheckpoint,
	"checkpoint-wrong-roothash_fail":                rekorv1.OtherCheckpoint,
	"dsse-invalid-sig_fail":                         rekorv1.OtherSignature,
	"dsse-mismatch-envelope_fail":                   rekorv1.OtherContent,
	"dsse-mismatch-sig_fail":                        rekorv1.OtherSignature,
	"inclusion-proof-corrupted-hash_fail":           rekorv1.BadProof,
	"incorrect-public-key_fail":                     rekorv1.InvalidEntry, // its own signature is not by that key
	"integrated-time-in-future_fail":                rekorv1.CertificateExpired,
	"intoto-expired-certificate_fail":               rekorv1.CertificateExpired,
	"intoto-log-entry-mismatch_fail":                rekorv1.InvalidEntry, // encodes the payload once, where Rekor does twice
	"intoto-missing-inclusion-proof_fail":           rekorv1.NoProof,
	"intoto-set-outside-signing-cert-validity_fail": rekorv1.CertificateExpired,
	"invalid-checkpoint-signature_fail":             rekorv1.BadCheckpoint,
	"invalid-inclusion-proof_fail":                  rekorv1.NoProof,
	"managed-key-no-key_fail":                       rekorv1.NoKey,
	"managed-key-wrong-key_fail":                    rekorv1.NoKey, // it is no point of its curve
	"message-digest-mismatch_fail":                  rekorv1.OtherArtifact,
	"set-invalid-signature_fail":                    rekorv1.BadPromise,
	"signature-mismatch_fail":                       rekorv1.OtherSignature,
	"wrong-hashedrekord-artifact_fail":              rekorv1.OtherContent,
	"wrong-hashedrekord-cert-and-sig_fail":          rekorv1.OtherKey,
	"wrong-hashedrekord-entry_fail":                 rekorv1.OtherContent,
	"wrong-material_fail":                           rekorv1.OtherArtifact,
}

// TestSigstoreConformance runs the Sigstore project's cases through this
// package and asserts the reason, as a case may be refused for another thing
// than the one it is about.
func TestSigstoreConformance(t *testing.T) {
	seen := 0
	_, dirs := machinetest.Conformance(t, filepath.Join("..", ".."))
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			want, isV1 := conforming[filepath.Base(dir)]
			e, err := runCase(t, dir)
			switch {
			case !isV1:
				notOurs(t, e, err)
			case want == "" && (err != nil || !e.Proven() || !e.Promised() || e.TreeSize == 0):
				t.Errorf("%+v, %v", e, err)
			case want != "":
				refused(t, e, err, want)
			}
			if isV1 {
				seen++
			}
		})
	}
	if seen != len(conforming) {
		t.Errorf("%d of the %d cases in the table are in the suite", seen, len(conforming))
	}
}

// notOurs asks that an entry of a Rekor v2 log is called that.
func notOurs(t *testing.T, e *rekorv1.Entry, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "mediaType") {
		t.Fatal(err)
	}
	var r *rekorv1.Refusal
	if e.Proven() || !errors.As(err, &r) {
		t.Fatalf("%+v, %v", e, err)
	}
	// One case is spoiled before its entry is read.
	if r.Reason != rekorv1.UnknownKind && !strings.Contains(r.Fact, "signedTimestamp") {
		t.Error(err)
	}
}

func runCase(t *testing.T, dir string) (*rekorv1.Entry, error) {
	t.Helper()
	suite := filepath.Dir(filepath.Dir(dir))
	material, err := root.NewTrustedRootFromPath(either(dir, suite, "trusted_root.json"))
	if strings.HasPrefix(filepath.Base(dir), "trust-root-tlog-missing-validity-start") {
		if err == nil {
			t.Error("the trusted root is accepted")
		}
		material, err = root.NewTrustedRootFromPath(filepath.Join(suite, "trusted_root.json"))
	}
	must(t, material, err)
	artifact := filepath.Join(dir, "artifact")
	if _, err := os.Stat(artifact); err != nil {
		artifact = filepath.Join(suite, "bundle-verify", "a.txt")
	}
	content, err := os.ReadFile(artifact)
	want := rekorv1.Want{Digest: attest.DigestOf(must(t, content, err))}
	if key, err := os.ReadFile(filepath.Join(dir, "key.pub")); err == nil {
		want.Key = key
	}
	b, err := os.ReadFile(filepath.Join(dir, "bundle.sigstore.json"))
	return rekorv1.New(material).Bundle(must(t, b, err), want)
}

func either(dir, other, name string) string {
	own := filepath.Join(dir, name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return filepath.Join(other, name)
}
