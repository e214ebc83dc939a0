package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
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
	summaries := schematest.Load(t, filepath.Join("..", "..", "docs", "spec", "schema", "vsa.json"))
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

	s.summarizes(t, summaries, verified, in)
	fails(t, exit.Usage, "asks no server", "verify", repository+":fix", "--offline", "--trust-policy", "policy.signed.json", "--roots", string(s.roots))
	fails(t, exit.NotFound, "UNFINISHED", "verify", repository+":fix", "--layout", t.TempDir(), "--roots", string(s.roots))
	s.besides(t, answers, digest)
}

// summarizes writes verification summaries, good and bad.
func (s *site) summarizes(t *testing.T, summaries schematest.Schema, verified func(*testing.T, int, ...string) verifying.Answer, in func(string, ...string) []string) {
	t.Helper()
	const id = "https://verifier.example/production"
	ok(t, "keygen", "-o", "verifier.pem")
	vsa := []string{"--vsa", "fix.vsa.json", "--key", "verifier.pem", "--verifier-id", id}
	v := verified(t, exit.OK, in("mirror.tar", append(vsa, repository+":fix", "--base", "a.so")...)...)
	got := readSummary(t, summaries, "fix.vsa.json")
	want := []string{attest.LevelEvidence, attest.LevelFit, attest.LevelBuild1}
	if v.VSA.Logged || got.Result != attest.SummaryPassed || !slices.Equal(got.Levels, want) || len(got.Inputs) != 2 ||
		got.Verifier.ID != id || got.ResourceURI != v.VSA.Resource || got.Policy.Digest["sha256"] == "" {
		t.Errorf("a good one: %+v", got)
	}
	verified(t, exit.Denied, in("revoked", append(vsa, repository+":fix")...)...)
	if got := readSummary(t, summaries, "fix.vsa.json"); got.Result != attest.SummaryFailed || !slices.Equal(got.Levels, []string{attest.LevelFailed}) {
		t.Errorf("of what is revoked: %+v", got)
	}
	verified(t, exit.NotFound, in("mirror.tar", append(vsa, repository+":fix", "--type", "base")...)...)
	if got := readSummary(t, summaries, "fix.vsa.json"); got.Result != attest.SummaryFailed {
		t.Errorf("of what lacks the statement that was asked for: %+v", got)
	}
	fails(t, exit.Usage, "--key or --verifier-id is missing", append([]string{"verify"}, in("mirror.tar", repository+":fix", "--vsa", "x.json", "--key", "verifier.pem")...)...)
	fails(t, exit.Usage, "--vsa is missing", append([]string{"verify"}, in("mirror.tar", repository+":fix", "--verifier-id", id)...)...)
	fails(t, exit.Failure, "is a URI", append([]string{"verify"}, in("mirror.tar", repository+":fix", "--vsa", "x.json", "--key", "verifier.pem", "--verifier-id", "me")...)...)
}

func readSummary(t *testing.T, summaries schematest.Schema, path string) (v attest.Summary) {
	t.Helper()
	e := must(attest.ParseEnvelope(bytes.TrimSpace(must(os.ReadFile(path))(t)), attest.PayloadType))(t)
	statement := must(attest.ParseStatement(e.Payload))(t)
	raw, _ := statement.Predicate.(attest.Unknown)
	if err := json.Unmarshal(raw, &v); err != nil || statement.Type != attest.TypeSummary {
		t.Fatalf("%s: %v, a %s", path, err, statement.Type)
	}
	if err := summaries.Check(raw); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	if key := must(attest.ParsePublicKeyPEM(must(os.ReadFile("verifier.pem.pub"))(t)))(t); e.Verify(key) != nil {
		t.Errorf("%s is not signed by the verifier's key", path)
	}
	return v
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
