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
	"github.com/patchfit/patchfit/internal/schematest"
	"github.com/patchfit/patchfit/verify"
)

// TestVerifyTellsEachCheck verifies one patch through the server, out of a mirror,
// and from files beside it; against a base, and after it was revoked.
func TestVerifyTellsEachCheck(t *testing.T) {
	answers := schematest.Load(t, filepath.Join("..", "..", "docs", "spec", "schema", "verify-answer.json"))
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	verified := func(t *testing.T, code int, args ...string) verifying.Answer {
		t.Helper()
		return verified(t, answers, code, args...)
	}
	digest := publishAll(t).Artifacts[0].Digest
	base := published(t, "base", "b.so", "--capture", "b.json", "--to", repository+":b", "--key", "signer.pem").Artifacts[1].Digest

	v := verified(t, exit.OK, repository+":fix", "--base", "a.so")
	if v.Offline || !v.Revocations.Known || v.Revocations.From != "the server" || v.Fit == nil || !v.Fit.Allow || v.Fit.Basis != attest.FitEnvironment {
		t.Errorf("through the server: %+v", v)
	}
	ok(t, "mirror", "pull", repository, "-o", "mirror.tar")
	ok(t, "revoke", "--to", repository, "--kind", "subject", "--digest", string(digest), "--reason", "wraps", "--key", "signer.pem")
	ok(t, "mirror", "pull", repository, "-o", "revoked")
	if v := verified(t, exit.Denied, repository+":fix"); v.Statements[0].Reason != string(verify.Revoked) {
		t.Errorf("revoked, through the server: %+v", v.Statements[0])
	}

	t.Setenv("PATCHFIT_CONFIG", t.TempDir()) // no server is known from here on
	offline := []string{"--offline", "--roots", string(s.roots), "--layout", "mirror.tar"}
	in := func(layout string, args ...string) []string {
		return append([]string{"--offline", "--roots", string(s.roots), "--layout", layout}, args...)
	}
	v = verified(t, exit.OK, append([]string{repository + ":fix", "--base", "a.so"}, offline...)...)
	if !v.Offline || v.Revocations.From != "the mirror" || !v.Fit.Allow {
		t.Errorf("out of the mirror: %+v", v)
	}
	if v := verified(t, exit.OK, append([]string{"patch.so"}, offline...)...); len(v.Statements) != 2 {
		t.Errorf("a file, out of the mirror: %d statements", len(v.Statements))
	}
	v = verified(t, exit.Denied, append([]string{repository + ":fix", "--base", "b.so"}, offline...)...)
	if !strings.Contains(ruleOf(v, "environment-match"), "flags/4") {
		t.Errorf("for another base: %+v", v.Fit)
	}
	verified(t, exit.Denied, append([]string{repository + ":fix", "--base", string(attest.DigestOf(nil))}, offline...)...)
	if v := verified(t, exit.Denied, in("revoked", repository+":fix", "--base", "a.so")...); v.Statements[0].Reason != string(verify.Revoked) || v.Fit.Allow {
		t.Errorf("revoked, out of the mirror: %+v", v)
	}
	verified(t, exit.OK, in("revoked", repository+"@"+string(base))...)

	fails(t, exit.Usage, "asks no server", "verify", repository+":fix", "--offline", "--trust-policy", "policy.signed.json", "--roots", string(s.roots))
	fails(t, exit.NotFound, "UNFINISHED", "verify", repository+":fix", "--layout", t.TempDir(), "--roots", string(s.roots))
	s.besides(t, answers, digest)
}

// besides verifies a file by the bundles that lie beside it, and a bundle by
// itself.
func (s *site) besides(t *testing.T, answers schematest.Schema, digest attest.Digest) {
	t.Helper()
	policy := []string{"--offline", "--trust-policy", "policy.signed.json", "--roots", string(s.roots)}
	paths, err := filepath.Glob(filepath.Join(".patchfit", "*", "*.sigstore.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		b := parseBundle(t, path)
		if len(b.Statement.Subjects) != 2 || b.Statement.Subjects[0].Digest != digest {
			continue
		}
		name := "patch.so." + filepath.Base(path)
		if err := os.WriteFile(name, must(os.ReadFile(path))(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v := verified(t, answers, exit.OK, append([]string{"patch.so"}, policy...)...)
	if len(v.Statements) != 2 || v.Revocations.Known || outcomeOf(v, "revocations") != "not-asked" {
		t.Errorf("beside the file: %+v", v)
	}
	fails(t, exit.Usage, "nothing is known of revocations", append([]string{"verify", "patch.so", "--base", "a.so"}, policy...)...)

	bundle := must(filepath.Glob("patch.so.*.sigstore.json"))(t)[0]
	if v := verified(t, answers, exit.OK, append([]string{bundle}, policy...)...); outcomeOf(v, "subject") != "not-asked" {
		t.Errorf("a bundle by itself: %+v", v)
	}
	raw := must(os.ReadFile(bundle))(t)
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile("patch.so.spoiled.sigstore.json", raw, 0o600); err != nil {
		t.Fatal(err)
	}
	verified(t, answers, exit.Unproven, append([]string{"patch.so"}, policy...)...)
}

// verified runs verify, which has to end with a code and print what its schema
// says.
func verified(t *testing.T, answers schematest.Schema, code int, args ...string) verifying.Answer {
	t.Helper()
	o := cli(t, append([]string{"--format", "json", "verify"}, args...)...)
	if o.code != code {
		t.Fatalf("verify %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), o.code, code, o.stdout, o.stderr)
	}
	if err := answers.Check([]byte(o.stdout)); err != nil {
		t.Errorf("verify %s prints what its schema refuses: %v\n%s", strings.Join(args, " "), err, o.stdout)
	}
	if code != exit.OK && !strings.Contains(o.stderr, "hint: ") {
		t.Errorf("verify %s: no next step in %s", strings.Join(args, " "), o.stderr)
	}
	var v verifying.Answer
	if err := json.Unmarshal([]byte(o.stdout), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func ruleOf(v verifying.Answer, name string) (findings string) {
	for _, r := range v.Fit.Checks {
		if r.Rule == name {
			for _, f := range r.Findings {
				findings += f.Want + " " + f.Got + "\n"
			}
		}
	}
	return findings
}

// outcomeOf returns how a check of the first statement came out.
func outcomeOf(v verifying.Answer, name string) string {
	for _, c := range v.Statements[0].Checks {
		if c.Check == name {
			return string(c.Outcome)
		}
	}
	return ""
}
