package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/machinetest"
)

// The identity the suite's bundles are signed by, unless the case says another.
const (
	beaconIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	beaconIssuer   = "https://token.actions.githubusercontent.com"
)

// TestSigstoreConformance runs the Sigstore project's bundle cases, of Rekor v1
// and v2, through the program, with the artifact and with its digest: a folder
// ending in _fail is refused with exit code 6, every other is accepted. Some
// are refused before the bundle is read, as their key or root is what is wrong.
func TestSigstoreConformance(t *testing.T) {
	home(t)
	versions := map[int]int{}
	_, dirs := machinetest.Conformance(t, filepath.Join(packageDir, "..", ".."))
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			args := caseFlags(dir)
			artifact := either(dir, "artifact", filepath.Join(filepath.Dir(dir), "a.txt"))
			content, err := os.ReadFile(artifact)
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range []string{artifact, string(attest.DigestOf(content))} {
				o := cli(t, append([]string{"--format", "json", "verify", what}, args...)...)
				var a verifying.RootAnswer
				if err := json.Unmarshal([]byte(o.stdout), &a); err != nil && o.stdout != "" {
					t.Fatal(err)
				}
				if strings.HasSuffix(dir, "_fail") {
					if o.code != exit.Unproven || a.Verified || len(a.Bundles) > 0 && a.Bundles[0].Reason == "" {
						t.Errorf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
					}
					continue
				}
				if o.code != exit.OK || !a.Verified {
					t.Fatalf("exit code %d: %s%s", o.code, o.stdout, o.stderr)
				}
				versions[a.Bundles[0].Log.Rekor]++
			}
		})
	}
	if versions[1] != 2*9 || versions[2] != 2*12 {
		t.Errorf("accepted by version of the log: %v", versions)
	}
}

// A good signature by somebody else is refused, in either log, as is a key
// where a certificate signed.
func TestVerifyAnotherIdentity(t *testing.T) {
	home(t)
	ok(t, "keygen", "-o", "key.pem")
	_, dirs := machinetest.Conformance(t, filepath.Join(packageDir, "..", ".."))
	for _, dir := range dirs {
		name := filepath.Base(dir)
		if name != "happy-path-v0.3" && name != "happy-path-intoto-in-dsse-v3" && name != "rekor2-happy-path" && name != "rekor2-dsse-happy-path" {
			continue
		}
		artifact := filepath.Join(filepath.Dir(dir), "a.txt")
		args := append([]string{"verify", artifact}, caseFlags(dir)...)
		if o := cli(t, args...); o.code != exit.OK {
			t.Errorf("%s: %s%s", name, o.stdout, o.stderr)
		}
		fails(t, exit.Unproven, "UNTRUSTED_SIGNER", append(args, "--certificate-identity", beaconIdentity+"x")...)
		fails(t, exit.Unproven, "UNTRUSTED_SIGNER", append(args, "--certificate-oidc-issuer", beaconIssuer+"/")...)
		fails(t, exit.Unproven, "UNTRUSTED_SIGNER", append(args[:6:6], "--key", "key.pem.pub")...)
		fails(t, exit.Unproven, "SUBJECT_MISMATCH", append([]string{"verify", "key.pem.pub"}, args[2:]...)...)
	}
}

func caseFlags(dir string) []string {
	suite := filepath.Dir(filepath.Dir(dir))
	text := func(name, otherwise string) string {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return strings.TrimSpace(string(b))
		}
		return otherwise
	}
	args := []string{"--bundle", filepath.Join(dir, "bundle.sigstore.json"), "--trusted-root", either(dir, "trusted_root.json", filepath.Join(suite, "trusted_root.json"))}
	if key := either(dir, "key.pub", ""); key != "" {
		return append(args, "--key", key)
	}
	return append(args, "--certificate-identity", text("identity", beaconIdentity), "--certificate-oidc-issuer", text("issuer", beaconIssuer))
}

// either returns the case's own file, or what stands for it.
func either(dir, name, otherwise string) string {
	own := filepath.Join(dir, name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	return otherwise
}
