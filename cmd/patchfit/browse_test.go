package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/browse"
	"github.com/patchfit/patchfit/internal/exit"
)

// TestBrowse publishes, looks at it, and takes it out of sight.
func TestBrowse(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	patch := publishAll(t)
	published(t, "base", "b.so", "--capture", "b.json", "--to", repository+":b", "--key", "signer.pem")
	s.lists(t)
	s.trees(t, patch.Artifacts[0].Digest)
	s.removes(t, patch.Artifacts[0].Digest)
}

func (s *site) lists(t *testing.T) {
	t.Helper()
	var got []string
	for _, tag := range answer[browse.TagList](t, "ls", repository).Tags {
		got = append(got, fmt.Sprint(tag.Tag, " ", tag.Kind, " ", tag.Size > 0, " ", len(tag.Digest)))
	}
	if diff := cmp.Diff([]string{"a base true 71", "b base true 71", "fix live-patch true 71"}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if text := ok(t, "ls", strings.TrimPrefix(s.url, "http://")+"/"+repository); !strings.Contains(text, "fix  sha256:") {
		t.Errorf("ls of a repository by its server:\n%s", text)
	}
	if v := answer[browse.ServerList](t, "ls"); v.Source != "trust-policy" || !slices.Equal(v.Repositories, []string{repository}) {
		t.Errorf("a publisher's list: %+v", v)
	}
	if v := answer[browse.ServerList](t, append(s.admin, "ls", s.url)...); v.Source != "catalog" || !slices.Equal(v.Repositories, []string{repository}) {
		t.Errorf("an admin's list: %+v", v)
	}
	fails(t, exit.Usage, "patchfit tree", "ls", repository+":fix")
	fails(t, exit.Usage, "unexpected argument", "ls", repository, "more")
	fails(t, exit.NotFound, "no product that you have a role in", "ls", "other/repository")
}

// shape replaces what is another in each run.
func shape(text string) string {
	text = regexp.MustCompile(`\b[0-9a-f]{64}\b`).ReplaceAllString(text, "DIGEST")
	text = regexp.MustCompile(`\b[0-9a-f]{12}\b`).ReplaceAllString(text, "SHORT")
	text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[^,]*`).ReplaceAllString(text, "TIME")
	text = regexp.MustCompile(`[0-9.]+ [KM]?i?B\b`).ReplaceAllString(text, "SIZE")
	return regexp.MustCompile(`log index \d+`).ReplaceAllString(text, "log index N")
}

const wantTree = `demo/greet@sha256:DIGEST
builder-image SHORT  SIZE
|- ok   provenance by acme, TIME, log index N
` + "`- environment SHORT  SIZE" + `
   |- ok   environment/v1 by acme, TIME, log index N
` + "   `- base SHORT :a  SIZE" + `
      |- ok   base/v1 by acme, TIME, log index N
      |- ok   provenance by acme, TIME, log index N
` + "      `- live-patch SHORT :fix  SIZE  <- this" + `
         |- ok   livepatch/v1 by acme, TIME, log index N
` + "         `- ok   provenance by acme, TIME, log index N"

// inOrder sorts the attestations, which come by the digests of random
// signatures.
func inOrder(text string) string {
	lines := strings.Split(text, "\n")
	for i := 1; i < len(lines); i++ {
		a, b := strings.Index(lines[i-1], "ok "), strings.Index(lines[i], "ok ")
		if a > 0 && a == b && lines[i-1][a:] > lines[i][b:] {
			lines[i-1], lines[i] = lines[i-1][:a]+lines[i][b:], lines[i][:b]+lines[i-1][a:]
		}
	}
	return strings.Join(lines, "\n")
}

func (s *site) trees(t *testing.T, digest attest.Digest) {
	t.Helper()
	if diff := cmp.Diff(wantTree, inOrder(shape(ok(t, "tree", repository+":fix")))); diff != "" {
		t.Errorf("a patch's tree (-want +got):\n%s", diff)
	}
	v := answer[browse.Tree](t, "tree", repository+"@"+string(digest))
	if v.Digest != digest || !v.Pinned || v.PolicyVersion != 1 || v.Root.Kind != "builder-image" || v.Cut {
		t.Errorf("the tree: %+v", v)
	}
	if whole := ok(t, "tree", "--all", repository+":fix"); strings.Count(whole, "environment ") != 2 || !strings.Contains(whole, ":b ") {
		t.Errorf("everything on the builder image:\n%s", whole)
	}
	if base := ok(t, "tree", repository+":b"); strings.Contains(base, ":fix") || !strings.Contains(base, "<- this") {
		t.Errorf("another base's tree:\n%s", base)
	}
	t.Setenv("PATCHFIT_CONFIG", t.TempDir()) // a token, and nothing pinned
	unpinned := cli(t, append(s.admin, "tree", repository+":fix")...)
	if unpinned.code != 0 || !strings.Contains(unpinned.stderr, "this server's word") || inOrder(shape(strings.TrimSpace(unpinned.stdout))) != wantTree {
		t.Errorf("with no policy pinned: exit code %d\n%s%s", unpinned.code, unpinned.stdout, unpinned.stderr)
	}
	t.Setenv("PATCHFIT_CONFIG", filepath.Join(mustGetwd(t), "config"))
	fails(t, exit.Usage, "names neither", "tree", repository)
	fails(t, exit.NotFound, "", "tree", repository+":none")

	// A signer who left the trust policy is no signer: said, not left out.
	ok(t, "trust", "edit", "policy.signed.json", "-o", "less.json", "--no-authority", repository+":patch=acme")
	ok(t, "trust", "sign", "less.json", "--key", "root.pem")
	ok(t, append(s.admin, "trust", "push", "less.signed.json")...)
	if text := ok(t, "tree", repository+":fix"); strings.Count(text, "FAIL livepatch/v1, not verified: UNTRUSTED_SIGNER") != 1 {
		t.Errorf("with a policy that trusts nobody with patches:\n%s", text)
	}
}

func (s *site) removes(t *testing.T, digest attest.Digest) {
	t.Helper()
	last := func() int64 { return s.state.Last() }
	before := last()
	base := answer[browse.TagList](t, "ls", repository).Tags[0].Digest
	o := cli(t, "--format", "json", "rm", repository+"@"+string(base))
	if o.code != exit.Usage || !strings.Contains(o.stdout, `"removed":false`) || !strings.Contains(o.stdout, string(digest)) || !strings.Contains(o.stderr, "--yes") {
		t.Errorf("a base with a patch, a tag and attestations: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	fails(t, exit.Usage, "tag and a digest", "rm", repository+":a@"+string(base))
	fails(t, exit.Usage, "names neither", "rm", repository)
	fails(t, exit.NotFound, "", "rm", repository+":none")
	fails(t, exit.NotFound, "", "rm", repository+"@"+string(attest.DigestOf(nil)))
	if last() != before {
		t.Errorf("what was refused wrote %d records", last()-before)
	}
	if text := ok(t, "rm", repository+":fix"); !strings.Contains(text, "what it named stays: "+repository+"@"+string(digest)) || last() != before+1 {
		t.Errorf("a tag:\n%s", text)
	}
	ok(t, "tree", repository+"@"+string(digest))
	text := ok(t, "rm", "--yes", repository+"@"+string(base))
	if !strings.Contains(text, "nothing is erased") || !strings.Contains(text, "live-patch") || last() != before+2 {
		t.Errorf("a base:\n%s", text)
	}
	if tree := ok(t, "tree", repository+"@"+string(digest)); !strings.Contains(tree, "missing ") {
		t.Errorf("a patch whose base is hidden:\n%s", tree)
	}
	if list := answer[browse.TagList](t, "ls", repository); len(list.Tags) != 1 {
		t.Errorf("tags left: %+v", list.Tags)
	}
	s.as(t, "auditor")
	fails(t, exit.Denied, "does not allow", "rm", repository+":b")
	if text := ok(t, "audit", "who-built", repository+"@"+string(digest)); !strings.Contains(text, "hidden since") || !strings.Contains(text, "base/v1 by acme") {
		t.Errorf("the evidence of what was hidden:\n%s", text)
	}
}

// TestPages: a list that comes in pages is whole.
func TestPages(t *testing.T) {
	s := newSite(t)
	builds(t)
	s.as(t, "publisher")
	digest := publishAll(t).Artifacts[0].Digest
	for i := range 520 {
		s.tag(t, fmt.Sprintf("v%04d", i), digest)
	}
	if list := answer[browse.TagList](t, "ls", repository); len(list.Tags) != 522 || list.Tags[521].Digest != digest {
		t.Errorf("%d tags, want 522", len(list.Tags))
	}
}
