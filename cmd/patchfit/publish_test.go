package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/audit"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/env"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/publishing"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
	"github.com/patchfit/patchfit/internal/strictjson"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/client"
)

func published(t *testing.T, args ...string) publish.Result {
	t.Helper()
	return answer[publish.Result](t, append([]string{"publish"}, args...)...)
}

// publishAll publishes what builds made.
func publishAll(t *testing.T) (patch publish.Result) {
	t.Helper()
	published(t, "builder-image", "builder", "--to", repository, "--key", "signer.pem")
	published(t, "base", "a.so", "--capture", "a.json", "--to", repository+":a", "--key", "signer.pem")
	return published(t, "patch", "patch.so", "--capture", "patch.json", "--base", "a", "--fixes", "CVE-2026-10001", "--to", repository+":fix", "--key", "signer.pem")
}

func types(r publish.Result) (all []string) {
	for _, s := range r.Statements {
		all = append(all, shell.TypeName(s.Type))
	}
	return all
}

// TestDryRun names the digest that a patch will have, and pushes nothing.
func TestDryRun(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	published(t, "builder-image", "builder", "--to", repository, "--key", "signer.pem")
	published(t, "base", "a.so", "--capture", "a.json", "--to", repository+":a", "--key", "signer.pem")
	way := []string{"patch", "patch.so", "--capture", "patch.json", "--base", "a", "--to", repository + ":fix", "--key", "signer.pem"}
	named := published(t, append(way, "--dry-run")...)
	digest := named.Artifacts[0].Digest
	if !named.DryRun || len(named.Artifacts) != 1 || len(named.Statements) != 0 {
		t.Errorf("%+v", named)
	}
	for _, ref := range []string{":fix", "@" + string(digest)} {
		fails(t, exit.NotFound, "not", "tree", repository+ref)
	}
	for _, bad := range [][]string{{"--fixes", "CVE-1"}, {"--fixes", "CVE-1", "--dry-run"}} {
		fails(t, exit.Failure, "is not a CVE id", append(append([]string{"publish"}, way...), bad...)...)
		fails(t, exit.NotFound, "not", "tree", repository+"@"+string(digest)) // nothing is left behind
	}
	if got := published(t, way...); got.Artifacts[0].Digest != digest || got.DryRun {
		t.Errorf("it got %s, and was to get %s", got.Artifacts[0].Digest, digest)
	}
}

// TestTheWholeWay takes a builder image, bases and a patch from the compiler to
// a server, and asks about them.
func TestTheWholeWay(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	patch := publishAll(t)
	if diff := cmp.Diff([]string{"livepatch/v1", "provenance"}, types(patch)); diff != "" {
		t.Errorf("statements about the patch (-want +got):\n%s", diff)
	}
	digest := patch.Artifacts[0].Digest
	if again := publishAll(t); !cmp.Equal(patch, again) {
		t.Errorf("published again (-first +second):\n%s", cmp.Diff(patch, again))
	}

	t.Setenv(shell.EnvState, filepath.Join(t.TempDir(), "another machine"))
	if again := publishAll(t); !cmp.Equal(patch, again) {
		t.Errorf("published again without state (-first +second):\n%s", cmp.Diff(patch, again))
	}
	s.eachStatementOnce(t)

	base := published(t, "base", "b.so", "--capture", "b.json", "--to", repository+":b", "--key", "signer.pem")
	fails(t, exit.Denied, "flags/4 is (absent), the base's is -fshort-enums", "publish", "patch", "patch.so", "--capture", "patch.json", "--base", "b", "--to", repository, "--key", "signer.pem")
	fails(t, exit.Failure, "not what the captured build made", "publish", "base", "b.so", "--capture", "a.json", "--to", repository, "--key", "signer.pem")
	fails(t, exit.Failure, "is no base", "publish", "patch", "patch.so", "--capture", "patch.json", "--base", "fix", "--to", repository, "--key", "signer.pem")
	fails(t, exit.Denied, "", "publish", "builder-image", "builder", "--to", repository, "--key", "stranger.pem")

	s.verifies(t, digest)
	s.environments(t, base.Artifacts[1].Digest)
	s.audits(t, digest)
	s.revokes(t, digest)
}

// verifies checks an artifact through the server, and offline.
func (s *site) verifies(t *testing.T, digest attest.Digest) {
	t.Helper()
	ref := repository + "@" + string(digest)
	v := answer[verifying.Answer](t, "verify", ref)
	if !v.Verified || len(v.Statements) != 2 || v.Statements[0].Signer != "acme" {
		t.Errorf("verified through the server: %+v", v)
	}
	ok(t, "verify", repository+":fix", "--type", "livepatch")
	fails(t, exit.NotFound, "NO_ATTESTATION", "verify", ref, "--type", "https://example.org/other")

	bundles, err := filepath.Glob(filepath.Join(".patchfit", "*", "*.sigstore.json"))
	if err != nil || len(bundles) == 0 {
		t.Fatalf("no bundles kept: %v", err)
	}
	var mine []string
	for _, path := range bundles {
		b := parseBundle(t, path)
		if b.Statement.Subjects[0].Digest == digest {
			mine = append(mine, "--bundle", path)
		}
	}
	t.Setenv("PATCHFIT_CONFIG", t.TempDir()) // nothing but the files: no server is known
	offline := append(mine, "--trust-policy", "policy.signed.json", "--roots", string(s.roots))
	ok(t, append([]string{"verify", "patch.so"}, offline...)...)
	ok(t, append([]string{"verify", ref}, offline...)...)
	patch, err := os.ReadFile("patch.so")
	if err != nil {
		t.Fatal(err)
	}
	ok(t, append([]string{"verify", string(attest.DigestOf(patch))}, offline...)...)
	fails(t, exit.Unproven, "SUBJECT_MISMATCH", append([]string{"verify", "a.so"}, offline...)...)
	fails(t, exit.Unproven, "SUBJECT_MISMATCH", append([]string{"verify", repository + "@" + string(attest.DigestOf(nil))}, offline...)...)
	fails(t, exit.Unproven, "pinned are", append([]string{"verify", "patch.so", "--trust-policy", "policy.signed.json", "--roots", string(attest.DigestOf(nil))}, mine...)...)
	fails(t, exit.Usage, "go together", append([]string{"verify", "patch.so", "--trust-policy", "policy.signed.json"}, mine...)...)
	fails(t, exit.Usage, "--bundle is missing", "verify", "patch.so", "--trust-policy", "policy.signed.json", "--roots", string(s.roots))

	ok(t, "trust", "edit", "policy.signed.json", "-o", "next.json", "--no-authority", repository+":patch=acme")
	ok(t, "trust", "sign", "next.json", "--key", "root.pem")
	fails(t, exit.Unproven, "UNTRUSTED_SIGNER", append([]string{"verify", "patch.so", "--trust-policy", "next.signed.json", "--roots", string(s.roots)}, mine...)...)
	t.Setenv("PATCHFIT_CONFIG", filepath.Join(mustGetwd(t), "config"))
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func parseBundle(t *testing.T, path string) *attest.Bundle {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := attest.ParseBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// environments compares what was captured with what the repository has.
func (s *site) environments(t *testing.T, base attest.Digest) {
	t.Helper()
	ref := repository + "@" + string(base)
	if got, want := answer[env.Answer](t, "env", "show", ref), answer[env.Answer](t, "env", "show", "b.json"); !cmp.Equal(got, want) {
		t.Errorf("the environment in the repository (-captured +got):\n%s", cmp.Diff(want, got))
	}
	ok(t, "env", "diff", "a.json", repository+":fix")
	o := cli(t, "--format", "json", "env", "diff", "a.json", ref)
	if o.code != exit.Unproven || !strings.Contains(o.stdout, `"differences":[{"field":"flags/4","got":"-fshort-enums","want":"(absent)"}]`) {
		t.Errorf("differences: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// audits asks the ledger as an auditor.
func (s *site) audits(t *testing.T, digest attest.Digest) {
	t.Helper()
	fails(t, exit.Denied, "", "audit", "decisions") // a publisher is no auditor
	s.as(t, "auditor")
	defer s.as(t, "publisher")
	text := ok(t, "audit", "who-built", repository+"@"+string(digest))
	for _, word := range []string{"live-patch", "base", "environment", "builder-image", "provenance by acme", publish.BuilderID} {
		if !strings.Contains(text, word) {
			t.Errorf("who-built does not say %q:\n%s", word, text)
		}
	}
	fails(t, exit.Usage, "a tag moves", "audit", "who-built", repository+":fix")
	fails(t, exit.NotFound, "", "audit", "who-built", repository+"@"+string(attest.DigestOf(nil)))
	ok(t, "audit", "decisions", "--denied", "--product", s.product)
	first := answer[audit.LogAnswer](t, "audit", "verify")
	second := answer[audit.LogAnswer](t, "audit", "verify")
	if first.Before != nil || second.Before == nil || *second.Before != first.Size || second.Entries != second.Size {
		t.Errorf("two visits to the log: %+v, %+v", first, second)
	}
	s.rolledBack(t)
}

// rolledBack claims to have seen more of the log than there is.
func (s *site) rolledBack(t *testing.T) {
	t.Helper()
	path := must(filepath.Glob("config/checkpoints/*.json"))(t)[0]
	raw := must(os.ReadFile(path))(t)
	remember := func(change func(v *audit.Visit)) {
		t.Helper()
		var v audit.Visit
		err := strictjson.Unmarshal(raw, len(raw), &v)
		change(&v)
		if err := errors.Join(err, os.WriteFile(path, must(strictjson.Canonical(v))(t), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	remember(func(v *audit.Visit) { v.Size += 1000 })
	fails(t, exit.Unproven, ledger.ErrRolledBack.Error(), "audit", "verify")
	remember(func(v *audit.Visit) { v.Root = strings.Repeat("00", 32) })
	fails(t, exit.Unproven, ledger.ErrForked.Error(), "audit", "verify")
	remember(func(*audit.Visit) {})
}

// revokes takes the patch back.
func (s *site) revokes(t *testing.T, digest attest.Digest) {
	t.Helper()
	args := []string{"revoke", "--to", repository, "--kind", "subject", "--digest", string(digest), "--reason", "it breaks things", "--key", "signer.pem"}
	first, second := answer[publishing.Revoked](t, args...), answer[publishing.Revoked](t, args...)
	if first.Sequence == 0 || first.Product != s.product || first != second {
		t.Errorf("revoked twice: %+v, %+v", first, second)
	}
	args[len(args)-1] = "stranger.pem"
	fails(t, exit.Denied, "", args...)
}

// eachStatementOnce reads the log and looks for a statement logged twice.
func (s *site) eachStatementOnce(t *testing.T) {
	t.Helper()
	log := must(client.New(s.url, nil))(t)
	seen := map[attest.Digest]uint64{}
	_, err := log.VerifyLog(t.Context(), s.trustedRoot, nil, func(index uint64, leaf []byte) error {
		e, err := ledger.ParseEntry(leaf)
		if err != nil {
			return err
		}
		if first, twice := seen[e.Digest]; twice {
			return fmt.Errorf("one statement is logged as %d and as %d", first, index)
		}
		seen[e.Digest] = index
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPublishBrokenAtEveryStep breaks every request of a publish, before the
// server acts and after, runs it again, and looks at everything.
func TestPublishBrokenAtEveryStep(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	publishAll(t)
	patch, err := os.ReadFile("patch.so")
	if err != nil {
		t.Fatal(err)
	}
	broken, step := 0, int64(1)
	if testing.Short() {
		step = 5
		t.Log("-short: only every fifth request is broken")
	}
	for _, after := range []bool{false, true} {
		for n := int64(1); ; n += step {
			name := fmt.Sprintf("p-%t-%d.so", after, n)
			capturedFile(t, name, append(patch, name...))
			args := []string{"publish", "patch", name, "--capture", name + ".json", "--base", "a", "--to", repository + ":" + strings.TrimSuffix(name, ".so"), "--key", "signer.pem"}
			s.fault.Store(&faulty{which: n, after: after})
			o := cli(t, args...)
			reached := s.fault.Load().seen.Load() >= n
			s.fault.Store(nil)
			if !reached {
				break
			}
			if o.code != 0 {
				broken++
				if !strings.Contains(o.stderr, "patchfit: error: ") {
					t.Errorf("request %d broken: nothing said: %q", n, o.stderr)
				}
			}
			r := answer[publish.Result](t, args...)
			if diff := cmp.Diff([]string{"livepatch/v1", "provenance"}, types(r)); diff != "" {
				t.Errorf("request %d broken, after=%t: statements (-want +got):\n%s", n, after, diff)
			}
			if v := answer[verifying.Answer](t, "verify", repository+"@"+string(r.Artifacts[0].Digest)); len(v.Statements) != 2 {
				t.Errorf("request %d broken, after=%t: %d statements attached, want 2", n, after, len(v.Statements))
			}
		}
	}
	s.eachStatementOnce(t)
	if broken < 20/int(step) {
		t.Errorf("only %d runs were broken; the test does not reach what it is for", broken)
	}
}

func TestInterruptedPublishSaysSo(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	code := run(ctx, []string{"publish", "builder-image", "builder", "--to", repository, "--key", "signer.pem"}, strings.NewReader(""), &stdout, &stderr)
	if code != exit.Failure || !strings.Contains(stderr.String(), "interrupted") || stdout.Len() > 0 {
		t.Errorf("exit code %d, %q, %q", code, stdout.String(), stderr.String())
	}
}

func TestAttest(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	digest := string(publishAll(t).Artifacts[0].Digest)
	if err := os.WriteFile("note.json", []byte(`{ "tested": true }`), 0o600); err != nil {
		t.Fatal(err)
	}
	r := answer[publish.Result](t, "attest", repository+"@"+digest, "--type", "https://example.org/tested/v1", "--predicate", "note.json", "--key", "signer.pem")
	if len(r.Statements) != 1 || r.Statements[0].Type != "https://example.org/tested/v1" {
		t.Errorf("attested %+v", r)
	}
	fails(t, exit.Failure, "/predicate/tested: unknown member", "attest", repository+"@"+digest, "--type", "livepatch", "--predicate", "note.json", "--key", "signer.pem")
	fails(t, exit.Usage, "names neither tag nor digest", "attest", repository, "--type", "livepatch", "--predicate", "note.json", "--key", "signer.pem")
	fails(t, exit.NotFound, "", "attest", repository+":none", "--type", "https://example.org/tested/v1", "--predicate", "note.json", "--key", "signer.pem")
}
