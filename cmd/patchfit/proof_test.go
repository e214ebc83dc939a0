package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
)

// A proof is made of a bundle, and checked with nothing but files.
func TestProofFiles(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	patch := publishAll(t)
	ref := repository + "@" + string(patch.Artifacts[0].Digest)
	var bundles []string
	for _, path := range must(filepath.Glob(filepath.Join(".patchfit", "*", "*.sigstore.json")))(t) {
		if b := parseBundle(t, path); b.Statement.Subjects[0].Digest == patch.Artifacts[0].Digest && b.Statement.Type == attest.TypeLivePatch {
			bundles = append(bundles, path)
		}
	}
	if len(bundles) != 1 {
		t.Fatalf("bundles %v", bundles)
	}
	ok(t, "audit", "prove", bundles[0], "-o", "old.tlog-proof")
	ok(t, "audit", "prove", ref, "--type", "livepatch", "--fresh", "-o", "fresh.tlog-proof")
	fails(t, exit.Usage, "there are 2 statements", "audit", "prove", ref)
	fails(t, exit.NotFound, "NO_ATTESTATION", "audit", "prove", ref, "--type", "base")
	fails(t, exit.Unproven, "name a Sigstore bundle", "audit", "prove", "old.tlog-proof")
	if text := ok(t, "audit", "prove", bundles[0]); !strings.HasPrefix(text, "c2sp.org/tlog-proof@v1\nindex ") {
		t.Errorf("%s", text)
	}
	ok(t, "audit", "prove", repository+":a", "--type", "base", "--fresh", "-o", "other.tlog-proof")

	lines := ok(t, "witness", "policy", "--trusted-root", "trusted_root.json")
	ok(t, "witness", "init", "w", "--name", "w.example")
	vkey := answer[struct{ VKey string }](t, "witness", "init", "w2", "--name", "w2.example").VKey
	for name, text := range map[string]string{
		"any.policy": lines + "\nquorum none\n", "two.policy": lines + "\nwitness w " + vkey + "\nquorum w\n",
		"log.policy": "log stranger.example+3d2c7ea3+AQ\nquorum none\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATCHFIT_CONFIG", t.TempDir()) // nothing but the files
	offline := func(proof, policy string) []string {
		return []string{"verify", "patch.so", "--bundle", bundles[0], "--trust-policy", "policy.signed.json", "--roots", string(s.roots), "--proof", proof, "--log-policy", policy}
	}
	for _, proof := range []string{"old.tlog-proof", "fresh.tlog-proof"} {
		v := answer[verifying.Answer](t, offline(proof, "any.policy")...)
		if !v.Verified || !v.Proof.Verified || v.Proof.Origin != "log.test" || v.Proof.Index >= v.Proof.Size {
			t.Errorf("%s: %+v", proof, v.Proof)
		}
		r := answer[verifying.RootAnswer](t, "verify", "patch.so", "--bundle", bundles[0], "--trusted-root", "trusted_root.json", "--key", "signer.pem.pub", "--proof", proof, "--log-policy", "any.policy")
		if !r.Verified || !r.Proof.Verified {
			t.Errorf("%s by a trusted root: %+v", proof, r.Proof)
		}
		fails(t, exit.Unproven, "NOT_LOGGED: checkpoint is not cosigned by enough witnesses", offline(proof, "two.policy")...)
	}
	fails(t, exit.Unproven, "NOT_LOGGED: log does not hold what its checkpoint says", offline("other.tlog-proof", "any.policy")...)
	good := must(os.ReadFile("fresh.tlog-proof"))(t)
	for name, change := range map[string]func([]byte) []byte{
		"cut":        func(b []byte) []byte { return b[:len(b)-10] },
		"index":      func(b []byte) []byte { return bytes.Replace(b, []byte("index "), []byte("index 1"), 1) },
		"empty":      func([]byte) []byte { return nil },
		"huge":       func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) },
		"a hash":     func(b []byte) []byte { i := bytes.IndexByte(b[30:], '\n') + 33; b[i] ^= 1; return b },
		"checkpoint": func(b []byte) []byte { i := bytes.Index(b, []byte("\n\n")) + 14; b[i] ^= 1; return b },
	} {
		if err := os.WriteFile(name+".tlog-proof", change(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		fails(t, exit.Unproven, "NOT_LOGGED", offline(name+".tlog-proof", "any.policy")...)
	}
	fails(t, exit.Failure, "reading the log policy", offline("old.tlog-proof", "log.policy")...)
	fails(t, exit.Usage, "--log-policy is missing", offline("old.tlog-proof", "")[:10]...)
	fails(t, exit.Usage, "goes with --proof", "verify", "patch.so", "--log-policy", "any.policy")
	fails(t, exit.Usage, "--proof is of one bundle, and 0 are named", "verify", "patch.so", "--proof", "old.tlog-proof")
}
