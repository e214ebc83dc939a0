package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/mirror"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// tree returns every file below a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		all[name] = string(b)
		return err
	}))
	return all
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func TestPullCopiesEverything(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	p := o.mustPull(dir)
	got := tree(t, dir)
	for d, b := range o.blobs {
		if got["blobs/sha256/"+d.Hex()] != string(b) {
			t.Errorf("blob %s is not there", d)
		}
	}
	for d, b := range o.manifests {
		if got["blobs/sha256/"+d.Hex()] != string(b) {
			t.Errorf("manifest %s is not there", d)
		}
	}
	for name := range got {
		if !strings.HasPrefix(name, "blobs/sha256/") && name != "oci-layout" && name != "index.json" {
			t.Errorf("%s was left", name)
		}
	}
	r := p.Report.Repositories[0]
	want := map[string]int{
		attest.TypeLivePatch: 1, attest.TypeProvenance: 3, attest.TypeBase: 1, attest.TypeEnvironment: 1,
	}
	if diff := cmp.Diff(want, r.Statements); diff != "" {
		t.Error(diff)
	}
	if r.Tags != 3 || p.Report.Entries != 6 || p.Report.Elsewhere != 0 {
		t.Errorf("%d tags, %d entries, %d elsewhere", r.Tags, p.Report.Entries, p.Report.Elsewhere)
	}
}

// The same content is the same bytes: in another directory, in a file, packed
// twice, pulled again.
func TestSameContentSameBytes(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	tmp := t.TempDir()
	a, b := filepath.Join(tmp, "a"), filepath.Join(tmp, "b")
	o.mustPull(a)
	o.mustPull(b)
	if diff := cmp.Diff(tree(t, a), tree(t, b)); diff != "" {
		t.Error(diff)
	}
	x, y := filepath.Join(tmp, "x.tar"), filepath.Join(tmp, "y.tar")
	o.mustPull(x)
	o.mustPull(y)
	if !bytes.Equal(mustRead(t, x), mustRead(t, y)) {
		t.Error("two files differ")
	}
	first := mustRead(t, x)
	if p := o.mustPull(x); p.Stats.Fetched != 0 {
		t.Errorf("%d fetched again", p.Stats.Fetched)
	}
	if !bytes.Equal(first, mustRead(t, x)) {
		t.Error("pulled again, it is another file")
	}
	if _, err := os.Stat(x + ".partial"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: the working directory was left", err)
	}
}

// A copy that is interrupted at its k-th request, for every k, is no mirror;
// run again it has the same bytes as one that never was.
func TestInterruptedAtEveryRequestResumes(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	tmp := t.TempDir()
	whole := filepath.Join(tmp, "whole")
	o.mustPull(whole)
	want := tree(t, whole)
	for k := 1; ; k++ {
		dir := filepath.Join(tmp, "broken")
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		o.tamper = func(_ http.ResponseWriter, _ *http.Request) bool {
			if n++; n == k {
				cancel()
			}
			return false
		}
		_, err := o.pull(ctx, dir)
		cancel()
		o.tamper = nil
		if err == nil {
			if n > k { // the last answer may come before the end is noticed
				t.Fatalf("interrupted at request %d of %d, and it says nothing", k, n)
			}
			if k < 30 {
				t.Fatalf("a whole copy took %d requests", k)
			}
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("request %d: %v", k, err)
		}
		if _, err := mirror.Open(dir); err == nil {
			t.Fatalf("request %d: an interrupted copy is a mirror", k)
		}
		o.mustPull(dir)
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Fatalf("request %d: %s", k, diff)
		}
		must(t, os.RemoveAll(dir))
	}
}

// A body that breaks off is continued from where it broke, with Range.
func TestHalfABlobIsContinued(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	file := o.world.PatchFile
	const half = 11_000
	var asked []string
	o.tamper = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/blobs/"+string(file.Digest)) {
			return false
		}
		asked = append(asked, r.Header.Get("Range"))
		if len(asked) > 1 {
			return false
		}
		w.Header().Set("Content-Length", "30000")
		w.Write(o.blobs[file.Digest][:half])
		return true
	}
	if _, err := o.pull(t.Context(), dir); err == nil {
		t.Fatal("half a blob is taken for a blob")
	}
	o.mustPull(dir)
	if diff := cmp.Diff([]string{"", "bytes=11000-"}, asked); diff != "" {
		t.Error(diff)
	}
}

// A source that goes on elsewhere than it was asked to is asked for the whole.
func TestContinuedElsewhereIsFetchedAgain(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	file := o.world.PatchFile
	must(t, os.MkdirAll(filepath.Join(dir, "ingest"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "ingest", file.Digest.Hex()), o.blobs[file.Digest][:100], 0o644))
	asked := 0
	o.tamper = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") == "" {
			return false
		}
		asked++
		w.Header().Set("Content-Range", "bytes 7-29999/30000")
		w.WriteHeader(http.StatusPartialContent)
		return true
	}
	o.mustPull(dir)
	if asked != 1 {
		t.Errorf("asked %d times for a part", asked)
	}
}

// What an earlier run left half, and wrong, is fetched anew.
func TestWrongHalfIsFetchedAgain(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	must(t, os.MkdirAll(filepath.Join(dir, "ingest"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "ingest", o.world.PatchFile.Digest.Hex()), []byte("something else"), 0o644))
	o.mustPull(dir)
}

func TestDamagedMirrorIsRepaired(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	want := tree(t, dir)
	for name := range want {
		path := filepath.Join(dir, name)
		if name == "oci-layout" {
			continue // says what the directory is
		}
		must(t, os.WriteFile(path, append([]byte("X"), want[name][1:]...), 0o644))
		if name == "index.json" {
			must(t, os.WriteFile(path, []byte(want[name][:len(want[name])-1]+" }"), 0o644))
		}
		o.mustPull(dir)
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Fatalf("%s: %s", name, diff)
		}
	}
}

func TestSelectionTakesWhatItStandsOn(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	other := o.blob([]byte("another patch of the base"))
	patch := o.manifest(statetest.Manifest(attest.ArtifactPatch, other, o.world.BaseManifest))
	for reference, want := range map[string]map[string]int{
		"fix-1":                      {"image": 1, "environment": 1, "base": 1, "live-patch": 1, "bundle": 6},
		string(o.world.BaseManifest): {"image": 1, "environment": 1, "base": 1, "bundle": 4},
		string(patch):                {"image": 1, "environment": 1, "base": 1, "live-patch": 1, "bundle": 4},
		"":                           {"image": 1, "environment": 1, "base": 1, "live-patch": 2, "bundle": 6},
	} {
		p, err := mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: repo, Reference: reference}}, filepath.Join(t.TempDir(), "m.tar"), nil)
		must(t, err)
		if diff := cmp.Diff(want, p.Report.Repositories[0].Kinds); diff != "" {
			t.Errorf("%q: %s", reference, diff)
		}
	}
}

// What names its parts by a sha512, as only others' artifacts do, is named and
// left out, with its tag; all else is copied.
func TestForeignDigestsAreLeftOut(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	raw := statetest.Manifest("application/vnd.other", o.world.PatchFile, o.world.BaseManifest)
	d := o.manifest(bytes.Replace(raw, []byte(o.world.PatchFile.Digest), []byte("sha512:"+strings.Repeat("ab", 64)), 1))
	o.tags["other"] = d
	p := o.mustPull(filepath.Join(t.TempDir(), "mirror"))
	if diff := cmp.Diff([]string{repo + "@" + string(d)}, p.Stats.LeftOut); diff != "" {
		t.Error(diff)
	}
	if r := p.Report.Repositories[0]; r.Tags != 3 || r.Manifests != 10 {
		t.Errorf("%d tags, %d manifests", r.Tags, r.Manifests)
	}
}

// What a publisher took from the list is evidence all the same: a mirror that
// left it out would decide otherwise than its origin.
func TestEvidenceWithoutAManifestComesAlong(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	hidden := o.say(o.world.Said()[2])
	delete(o.manifests, o.attach(o.world.BaseManifest, hidden))
	dir := filepath.Join(t.TempDir(), "mirror")
	p := o.mustPull(dir)
	got := p.Record.Repositories[0].Detached
	if len(got) != 1 || got[0].Bundle.Digest != attest.DigestOf(hidden) || got[0].Subject != o.world.BaseManifest {
		t.Fatalf("%+v", got)
	}
	if n := p.Report.Repositories[0].Statements[attest.TypeBase]; n != 2 {
		t.Errorf("%d statements base/v1, want 2", n)
	}
}

// A signer who left the trust policy is named and takes nothing down.
func TestVoidBundlesAreNoted(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := o.world.Said()[0]
	o.attach(s.About.Manifest, o.bundle(o.makers.Statement(s.Type, s.About.Manifest, s.About.File, s.Predicate), o.makers.Stranger()))
	p := o.mustPull(filepath.Join(t.TempDir(), "mirror"))
	if len(p.Report.Void) != 1 || !p.Report.Verified() {
		t.Errorf("void %v, verified %t", p.Report.Void, p.Report.Verified())
	}
}

// A mirror that is there goes on and never back.
func TestPullNeverGoesBack(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := filepath.Join(t.TempDir(), "mirror")
	o.mustPull(dir)
	o.revoke(attest.RevokeSubject, o.world.PatchManifest)
	p := o.mustPull(dir)
	if p.Report.Before == nil || p.Report.Repositories[0].Revocations != 1 {
		t.Errorf("before %v, %d revocations", p.Report.Before, p.Report.Repositories[0].Revocations)
	}
	if n := len(tree(t, filepath.Join(dir, "blobs"))); n != p.Report.Blobs {
		t.Errorf("%d files are kept for %d blobs", n, p.Report.Blobs)
	}
	o.revoked = nil
	refused(t, mirror.RolledBack, "revocation", func() error { _, err := o.pull(t.Context(), dir); return err })
	must(t, only(mirror.Open(dir)))
}

func only(l *mirror.Layout, err error) error {
	if err != nil {
		return err
	}
	return l.Close()
}

// refused asks for a problem of a code that says something.
func refused(t *testing.T, code mirror.Code, says string, f func() error) {
	t.Helper()
	err := f()
	var p *mirror.Problem
	if !errors.As(err, &p) || p.Code != code || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %s … %q", err, code, says)
	}
}

func TestPullRefusesOtherPlaces(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	tmp := t.TempDir()
	must(t, os.WriteFile(filepath.Join(tmp, "thesis.odt"), nil, 0o644))
	if _, err := o.pull(t.Context(), tmp); err == nil || !strings.Contains(err.Error(), "thesis.odt") {
		t.Errorf("%v: a directory with something else in it is written to", err)
	}
	layout := filepath.Join(t.TempDir(), "layout")
	must(t, os.MkdirAll(filepath.Join(layout, "blobs", "sha256"), 0o755))
	must(t, os.WriteFile(filepath.Join(layout, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	must(t, os.WriteFile(filepath.Join(layout, "index.json"), []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), 0o644))
	refused(t, mirror.Unfinished, "another OCI layout", func() error { _, err := o.pull(t.Context(), layout); return err })

	two := filepath.Join(t.TempDir(), "two")
	o.mustPull(two)
	if _, err := mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: "lib/other"}}, two, nil); err == nil || !strings.Contains(err.Error(), "holds lib/greet too") {
		t.Errorf("%v: a mirror drops a repository", err)
	}
}

func TestExpiredPolicyMakesNoMirror(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	refused(t, mirror.Untrusted, "was good until", func() error {
		_, err := mirror.Pull(t.Context(), o.source(), []mirror.Want{{Repository: repo}}, filepath.Join(t.TempDir(), "m"),
			&mirror.PullOptions{Now: time.Now().AddDate(2, 0, 0)})
		return err
	})
}
