package main

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/builder"
	room "github.com/patchfit/patchfit/cmd/patchfit/internal/builder"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/shell"
	"github.com/patchfit/patchfit/cmd/patchfit/internal/verifying"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/internal/publish"
)

// rootfsTar writes a root file system as some other tool leaves it.
func rootfsTar(t *testing.T, path string, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content)), Uid: os.Getpid()}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

const dpkgStatus = "Package: make\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4.3-4.1\nSource: make-dfsg\n"

func someRootfs() map[string]string {
	return map[string]string{"usr/bin/make": "make", "etc/hostname": "here", "var/lib/dpkg/status": dpkgStatus}
}

func TestBuilderCreateOfARootfs(t *testing.T) {
	home(t)
	rootfsTar(t, "rootfs.tar", someRootfs())
	flags := []string{"builder", "create", "--from-rootfs", "rootfs.tar", "--architecture", "amd64", "--out"}
	one := answer[room.Created](t, append(flags, "one")...)
	two := answer[room.Created](t, append(flags, "two")...)
	if one.Image != two.Image || one.Packages != 1 || one.Layout != "one" {
		t.Errorf("%+v and %+v", one, two)
	}
	three := answer[room.Created](t, "builder", "create", "--from-image", "one", "--out", "three")
	if three.Image != one.Image {
		t.Errorf("of the image: %+v", three)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	four := answer[room.Created](t, append(flags, "four")...)
	if four.Image == one.Image {
		t.Error("another time makes the same image")
	}
	shown := answer[room.Shown](t, "builder", "show", "one")
	if len(shown.Packages) != 1 || shown.Packages[0].Source != "make-dfsg" {
		t.Errorf("%+v", shown)
	}
	if text := ok(t, "builder", "show", "one"); !strings.Contains(text, "make") || !strings.Contains(text, "1 packages") {
		t.Errorf("shown as\n%s", text)
	}
	if text := ok(t, "builder", "show", "one", "--spdx"); !strings.Contains(text, `"spdxVersion":"SPDX-2.3"`) {
		t.Errorf("as SPDX\n%s", text)
	}
	const product = "0b8f5d4e-5f0a-4f43-8a5c-1d6f3e2b7a90"
	if text := ok(t, "builder", "provenance", "one", "--product", product); !strings.Contains(text, `"buildType":"`+attest.BuildType) {
		t.Errorf("provenance\n%s", text)
	}
	if err := os.RemoveAll("one/patchfit"); err != nil {
		t.Fatal(err)
	}
	if again := answer[room.Shown](t, "builder", "show", "one"); !cmp.Equal(shown, again) { // read from its layer
		t.Errorf("without papers (-with +without):\n%s", cmp.Diff(shown, again))
	}
	fails(t, exit.Failure, "has no inventory", "builder", "show", "one", "--spdx")
	fails(t, exit.Failure, "does not say how it was made", "builder", "provenance", "one", "--product", product)
}

func TestBuilderUsage(t *testing.T) {
	home(t)
	for name, content := range map[string]string{"recipe.yaml": "suite: bookworm\n", "good.yaml": goodRecipe, "bad.lock": "{}"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		code  int
		words string
		args  []string
	}{
		{exit.Usage, "--out is missing", []string{"create", "good.yaml"}},
		{exit.Usage, "one of RECIPE", []string{"create", "--out", "x"}},
		{exit.Usage, "one of RECIPE", []string{"create", "good.yaml", "--from-rootfs", "x", "--architecture", "amd64", "--out", "x"}},
		{exit.Usage, "only one of these", []string{"create", "--from-image", "y", "--from-rootfs", "x", "--out", "x"}},
		{exit.Usage, "go together", []string{"create", "--from-rootfs", "x", "--out", "x"}},
		{exit.Usage, "--lock goes with RECIPE", []string{"create", "--from-image", "x", "--lock", "l", "--out", "x"}},
		{exit.Usage, "--source-date-epoch goes with", []string{"create", "good.yaml", "--source-date-epoch", "1", "--out", "x"}},
		{exit.Failure, "recipe.yaml: recipe:", []string{"create", "recipe.yaml", "--out", "x"}},
		{exit.Failure, "remove it, and it is made again", []string{"create", "good.yaml", "--lock", "bad.lock", "--out", "x"}},
		{exit.Failure, "reading the recipe", []string{"create", "none.yaml", "--out", "x"}},
		{exit.Failure, "neither a layout nor a reference", []string{"create", "--from-image", "none", "--out", "x"}},
		{exit.Usage, "--output is missing", []string{"lock", "good.yaml"}},
		{exit.Failure, "neither a layout nor a reference", []string{"show", "none"}},
		{exit.Usage, "is not the id of a product", []string{"provenance", "x", "--product", "1"}},
	} {
		fails(t, tt.code, tt.words, append([]string{"builder"}, tt.args...)...)
	}
}

const goodRecipe = `suite: bookworm
architecture: amd64
packages: [make]
sourceDateEpoch: 86400
keep: [packages]
`

// An installer is tools of its own: each package is a file.
type installer struct{ lock *builder.Lock }

func (i installer) Solve(context.Context, *builder.Recipe, string) (*builder.Lock, error) {
	return i.lock, nil
}

func (i installer) Fetch(_ context.Context, _ *builder.Recipe, inputs []builder.Input, to *builder.Store) error {
	for _, f := range inputs {
		if err := to.Take(f, strings.NewReader(f.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (i installer) Install(_ context.Context, _ *builder.Lock, _ *builder.Store, _, to string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "var/lib/dpkg/status", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(i.status()))}); err != nil {
		return err
	}
	if _, err := w.Write([]byte(i.status())); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}

func (i installer) status() string {
	s := ""
	for _, p := range i.lock.Packages {
		s += "Package: " + p.Name + "\nStatus: install ok installed\nArchitecture: all\nVersion: " + p.Version + "\n\n"
	}
	return s
}

// manyPackages is a lock of more files than one manifest can have.
func manyPackages(n int) *builder.Lock {
	l := &builder.Lock{
		SchemaVersion: 1, Suite: "bookworm", Architecture: "amd64", Variant: builder.VariantEssential, Epoch: 86400,
		Requested: []builder.Request{{Name: "make"}}, Keep: []string{builder.KeepPackages},
	}
	name := "make"
	for range n {
		file := name + "_1_all.deb"
		l.Packages = append(l.Packages, builder.Locked{Name: name, Version: "1", Architecture: "all", Digest: attest.DigestOf([]byte(file)), Size: int64(len(file)), Path: "pool/" + file})
		name += "a"
		if len(name) > 90 {
			name = "n" + name[80:]
		}
	}
	return l
}

// TestBuilderImageTravels publishes an image with what it was made of, and makes it
// again from the registry alone.
func TestBuilderImageTravels(t *testing.T) {
	s := newSite(t)
	s.as(t, "publisher")
	r, err := builder.ParseRecipe([]byte(goodRecipe))
	if err != nil {
		t.Fatal(err)
	}
	lock := manyPackages(130)
	store := must(builder.OpenStore(filepath.Join(t.TempDir(), "cache")))(t)
	made := must(builder.New(installer{lock}, store, nil).Create(t.Context(), r, lock, "image"))(t)
	first := published(t, "builder-image", "image", "--to", repository+":builder", "--key", "signer.pem")
	if again := published(t, "builder-image", "image", "--to", repository+":builder", "--key", "signer.pem"); !cmp.Equal(first, again) {
		t.Errorf("published again (-first +second):\n%s", cmp.Diff(first, again))
	}
	if v := answer[verifying.Answer](t, "verify", repository+":builder"); !v.Verified {
		t.Errorf("%+v", v)
	}
	shown := answer[room.Shown](t, "builder", "show", repository+":builder")
	if diff := cmp.Diff(made.Packages, shown.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}

	session := must((&shell.Shell{}).Connect(""))(t)
	in := must(publish.FindInputs(t.Context(), session.Client, repository, "builder"))(t)
	empty := must(builder.OpenStore(filepath.Join(t.TempDir(), "another machine")))(t)
	if err := in.Fetch(t.Context(), empty, nil); err != nil {
		t.Fatal(err)
	}
	again := must(builder.New(installer{in.Lock}, empty, nil).FromInputs(t.Context(), in.Lock, "again"))(t)
	if again.Layout.Digest != made.Layout.Digest || again.Layout.Digest != in.Image {
		t.Errorf("made again: %s; %s was", again.Layout.Digest, made.Layout.Digest)
	}
	if fetched := answer[room.Created](t, "builder", "create", "--from-image", repository+":builder", "--source-date-epoch", "86400", "--out", "taken"); fetched.Packages != 130 {
		t.Errorf("of the image in the repository: %+v", fetched)
	}

	rootfsTar(t, "rootfs.tar", someRootfs())
	pushed := answer[room.Created](t, "builder", "create", "--from-rootfs", "rootfs.tar", "--architecture", "amd64", "--out", "other", "--push", repository)
	if pushed.Pushed != repository+"@"+string(pushed.Image) {
		t.Errorf("%+v", pushed)
	}
	fails(t, exit.NotFound, "NO_ATTESTATION", "verify", pushed.Pushed)
	if err := os.WriteFile("provenance.json", []byte(ok(t, "builder", "provenance", "other", "--product", s.product)), 0o644); err != nil {
		t.Fatal(err)
	}
	ok(t, "attest", pushed.Pushed, "--type", "provenance", "--predicate", "provenance.json", "--key", "signer.pem")
	if v := answer[verifying.Answer](t, "verify", pushed.Pushed); !v.Verified {
		t.Errorf("attested apart: %+v", v)
	}
	if text := ok(t, "tree", repository+":builder"); !strings.Contains(text, "inventory") || strings.Count(text, "builder-inputs") != 2 {
		t.Errorf("tree of the image:\n%s", text)
	}
	fails(t, exit.NotFound, "is attached to", "builder", "create", "--from-inputs", pushed.Pushed, "--out", "x")
	fails(t, exit.Usage, "names more than a repository", "builder", "create", "--from-rootfs", "rootfs.tar", "--architecture", "amd64", "--out", "more", "--push", repository+":tag")
	fails(t, exit.NotFound, "is attached to", "builder", "show", repository+"@"+string(first.Artifacts[1].Digest))
}
