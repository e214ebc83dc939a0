package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/inventory"
)

// A bench is tools that need no archive: what a lock names is installed as one
// file per package.
type bench struct {
	lock    *Lock
	changed func(map[string]string) // what is installed, before it is
	noise   string                  // differs between two runs
	fetched int
	err     error
}

func (b *bench) Solve(context.Context, *Recipe, string) (*Lock, error) { return b.lock, b.err }

func (b *bench) Fetch(_ context.Context, _ *Recipe, inputs []Input, to *Store) error {
	for _, f := range to.Missing(inputs) {
		b.fetched++
		if err := to.Take(f, strings.NewReader(contentOf(f))); err != nil {
			return err
		}
	}
	return b.err
}

// contentOf is what sampleLock made the digest of.
func contentOf(f Input) string { return f.Name }

func (b *bench) Install(_ context.Context, l *Lock, from *Store, temp, to string) error {
	have := map[string]string{}
	for _, p := range l.Packages {
		if err := from.put(p.input(), filepath.Join(temp, p.Name)); err != nil {
			return err
		}
		have[p.Name] = p.Version
	}
	if b.changed != nil {
		b.changed(have)
	}
	status := ""
	items := []item{{name: "etc/hostname", content: b.noise}, {name: "var/log/" + b.noise, content: b.noise}}
	for _, p := range l.Packages {
		if v, ok := have[p.Name]; ok {
			delete(have, p.Name)
			status += "Package: " + p.Name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + v + "\n\n"
		}
		items = append(items, item{name: "usr/bin/" + p.Name, content: p.Version, mode: 0o755, time: int64(len(b.noise)) + l.Epoch})
	}
	for name, v := range have {
		status += "Package: " + name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + v + "\n\n"
	}
	items = append(items, item{name: "var/lib/dpkg/status", content: status}, item{name: "usr/lib/os-release", content: "ID=debian\nVERSION_ID=\"12\"\n"})
	rootfs, err := pack(items)
	if err != nil {
		return err
	}
	return os.WriteFile(to, rootfs, 0o644)
}

// files returns every file below dir with its content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		all[strings.TrimPrefix(name, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func makes(t *testing.T, tools Tools) (*Builder, *Store) {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return New(tools, s, &Options{Temp: t.TempDir()}), s
}

func TestCreatingTwiceIsBitIdentical(t *testing.T) {
	r := parsed(t, recipe)
	var made [2]*Made
	for i, noise := range []string{"machine one", "another machine, later"} {
		b, _ := makes(t, &bench{noise: noise})
		var err error
		if made[i], err = b.Create(t.Context(), r, sampleLock(), filepath.Join(t.TempDir(), "image")); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(files(t, made[0].Layout.Dir), files(t, made[1].Layout.Dir)); diff != "" {
		t.Errorf("two images (-one +two):\n%s", diff)
	}
	if n := len(made[0].Packages); n != 3 {
		t.Errorf("%d packages", n)
	}
}

func TestInputsMakeTheImageAgain(t *testing.T) {
	b, s := makes(t, &bench{})
	made, err := b.Create(t.Context(), parsed(t, recipe), sampleLock(), filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.FromInputs(t.Context(), sampleLock(), filepath.Join(t.TempDir(), "image"))
	if err != nil || again.Layout.Digest != made.Layout.Digest {
		t.Errorf("of its inputs: %v, %v", again, err)
	}
	for _, f := range sampleLock().Inputs() { // each of them is needed, and whole
		if err := os.WriteFile(s.path(f.Digest), []byte(strings.ToUpper(contentOf(f))), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := b.FromInputs(t.Context(), sampleLock(), filepath.Join(t.TempDir(), "image")); err == nil || !strings.Contains(err.Error(), f.Name) {
			t.Errorf("with a changed %s: %v", f.Name, err)
		}
		if err := s.Take(f, strings.NewReader(contentOf(f))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExactlyTheLockIsInstalled(t *testing.T) {
	for words, change := range map[string]func(map[string]string){
		"make 4.3-4.1 of the lock is not installed (nothing is)": func(m map[string]string) { delete(m, "make") },
		"(4.4 is)": func(m map[string]string) { m["make"] = "4.4" },
		"flex 1 is installed and not in the lock": func(m map[string]string) { m["flex"] = "1" },
	} {
		b, _ := makes(t, &bench{changed: change})
		out := filepath.Join(t.TempDir(), "image")
		if _, err := b.Create(t.Context(), parsed(t, recipe), sampleLock(), out); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %s", err, words)
		}
		if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
			t.Error("an image that was refused is there")
		}
	}
}

func TestAnotherLockIsRefused(t *testing.T) {
	tools := &bench{}
	b, _ := makes(t, tools)
	other := parsed(t, strings.Replace(recipe, "- gcc-12", "- flex", 1))
	if _, err := b.Create(t.Context(), other, sampleLock(), filepath.Join(t.TempDir(), "image")); err == nil || tools.fetched > 0 {
		t.Errorf("%v after %d files", err, tools.fetched)
	}
}

func TestPapers(t *testing.T) {
	b, _ := makes(t, &bench{})
	made, err := b.Create(t.Context(), parsed(t, recipe), sampleLock(), filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPapers(made.Layout)
	if err != nil {
		t.Fatal(err)
	}
	list, err := inventory.ParseSPDX(p.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.Packages, list); diff != "" || list[2].File != sampleLock().Packages[2].Digest {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sampleLock(), p.Lock); diff != "" {
		t.Errorf("lock (-want +got):\n%s", diff)
	}
	if kept := p.Kept(); len(kept) != 6 || kept[0].MediaType != "application/vnd.debian.binary-package" || kept[3].MediaType != "application/octet-stream" {
		t.Errorf("kept: %+v", kept)
	}
	for _, d := range p.Kept() {
		r, err := made.Layout.Blob(d)
		if err != nil {
			t.Errorf("kept %s: %v", d.Annotations, err)
			continue
		}
		r.Close()
	}
	prov := p.Provenance("0b8f5d4e-5f0a-4f43-8a5c-1d6f3e2b7a90", "https://ci.example/builder")
	if _, err := attest.NewStatement(attest.TypeProvenance, []attest.Subject{{Digest: made.Layout.Digest}}, prov); err != nil {
		t.Errorf("provenance: %v", err)
	}
	if d, ok := prov.Dependency(attest.DependencySource); !ok || d != attest.DigestOf(canonical(t, sampleLock())) {
		t.Errorf("the provenance's source is %s", d)
	}
	if n := len(prov.BuildDefinition.ResolvedDependencies); n != 5 {
		t.Errorf("%d dependencies", n)
	}
}

func TestPapersThatAreNone(t *testing.T) {
	b, _ := makes(t, &bench{})
	var image attest.Digest
	for name, damage := range map[string]func(t *testing.T, dir string){
		"they are of image": func(t *testing.T, dir string) {
			replace(t, dir+"/materials.json", `"image":"`+string(image), `"image":"`+string(attest.DigestOf(nil)))
		},
		"exceeds the limit": func(t *testing.T, dir string) { grow(t, dir+"/materials.json", maxMaterials+1) },
		"lock:":             func(t *testing.T, dir string) { replace(t, dir+"/lock.json", `"suite"`, `"Suite"`) },
		"inventory:":        func(t *testing.T, dir string) { replace(t, dir+"/spdx.json", `SPDX-2.3`, `SPDX-9.9`) },
	} {
		made, err := b.Create(t.Context(), parsed(t, recipe), sampleLock(), filepath.Join(t.TempDir(), "image"))
		if err != nil {
			t.Fatal(err)
		}
		image = made.Layout.Digest
		damage(t, filepath.Join(made.Layout.Dir, papersDir))
		if _, err := ReadPapers(made.Layout); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

func replace(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%s: %v", path, err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(from), []byte(to), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

func grow(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestFromWhatIsThere(t *testing.T) {
	b, _ := makes(t, &bench{})
	rootfs := filepath.Join(t.TempDir(), "rootfs.tar")
	if err := os.WriteFile(rootfs, archive(t, item{name: "bin/sh", content: "sh", mode: 0o755, time: 40 * day}, item{name: "etc/hostname", content: "here"}), 0o644); err != nil {
		t.Fatal(err)
	}
	first, err := b.From(t.Context(), Origin{Rootfs: rootfs, Architecture: "amd64", Epoch: epoch}, filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.From(t.Context(), Origin{Image: first.Layout, Architecture: "amd64", Epoch: epoch}, filepath.Join(t.TempDir(), "image"))
	if err != nil || second.Layout.Digest != first.Layout.Digest {
		t.Errorf("an image of the image is another: %v, %v", second, err)
	}
	p, err := ReadPapers(second.Layout)
	if err != nil || p.Lock != nil || p.Materials.Dependencies[0].Digest != first.Layout.Digest {
		t.Errorf("papers: %+v, %v", p, err)
	}
	list, err := Packages(t.Context(), first.Layout, t.TempDir())
	if err != nil || len(list) != 0 {
		t.Errorf("packages without dpkg: %v, %v", list, err)
	}
	for words, o := range map[string]Origin{
		"no architecture": {Rootfs: rootfs, Architecture: "a b"},
		"no number":       {Rootfs: rootfs, Architecture: "amd64", Epoch: -1},
		"no such file":    {Rootfs: rootfs + ".gone", Architecture: "amd64"},
		"is empty":        {Rootfs: t.TempDir(), Architecture: "amd64"},
	} {
		if _, err := b.From(t.Context(), o, filepath.Join(t.TempDir(), "image")); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestNothingIsLeftBehind ends a making in every of its steps.
func TestNothingIsLeftBehind(t *testing.T) {
	temp, out := t.TempDir(), t.TempDir()
	s, err := OpenStore(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for name, tools := range map[string]*bench{"fetching": {err: errors.New("no network")}, "writing": {}} {
		ctx := t.Context()
		if name == "writing" {
			ctx = ended
		}
		if _, err := New(tools, s, &Options{Temp: temp}).Create(ctx, parsed(t, recipe), sampleLock(), filepath.Join(out, "image")); err == nil {
			t.Errorf("%s: nothing went wrong", name)
		}
	}
	for _, dir := range []string{temp, out} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

func TestStoreTakesOnlyWhatItIs(t *testing.T) {
	_, s := makes(t, &bench{})
	f := sampleLock().Inputs()[0]
	for _, content := range []string{"", "something else", contentOf(f) + "x", contentOf(f)[1:], strings.ToUpper(contentOf(f))} {
		if err := s.Take(f, strings.NewReader(content)); err == nil {
			t.Errorf("%q was taken for %s", content, f.Name)
		}
	}
	if n := len(s.Missing([]Input{f})); n != 1 {
		t.Errorf("%d missing", n)
	}
	if err := s.Take(f, strings.NewReader(contentOf(f))); err != nil || len(s.Missing([]Input{f})) != 0 {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("in the store: %v, %v", entries, err)
	}
}

func TestADebThatIsAnother(t *testing.T) {
	p := Locked{Name: "make", Version: "4.3-4.1", Architecture: "amd64"}
	for control, good := range map[string]bool{
		"Package: make\nVersion: 4.3-4.1\nArchitecture: amd64\n": true,
		"Package: make\nVersion: 4.4\nArchitecture: amd64\n":     false,
		"Package: flex\nVersion: 4.3-4.1\nArchitecture: amd64\n": false,
		"Package: make\nVersion: 4.3-4.1\nArchitecture: arm64\n": false,
		"": false, " x\n": false,
	} {
		if err := p.is([]byte(control)); (err == nil) != good {
			t.Errorf("%q: %v", control, err)
		}
	}
}

// TestWithoutTheTools: the error names what is missing.
func TestWithoutTheTools(t *testing.T) {
	_, err := command{name: "patchfit-no-such-program"}.output(t.Context())
	if missing := (*MissingError)(nil); !errors.As(err, &missing) || missing.Program != "patchfit-no-such-program" {
		t.Errorf("%v", err)
	}
	_, err = command{name: "sh", args: []string{"-c", "for i in 1 2 3 4 5 6 7 8; do echo $i >&2; done; exit 3"}}.output(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: 3; 4; 5; 6; 7; 8") {
		t.Errorf("%v", err)
	}
}

// TestStoppingLetsItCleanUp: a program that is to end is asked, not killed.
func TestStoppingLetsItCleanUp(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ready", "go"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := command{name: "sh", args: []string{"-c", "trap 'echo tidy >clean; exit 1' TERM; sh -c 'trap : TERM; echo $$ >child; echo >ready; while :; do read x <go; done' & wait"}, dir: dir, patience: 100 * time.Millisecond}.output(ctx)
		done <- err
	}()
	if _, err := os.ReadFile(filepath.Join(dir, "ready")); err != nil { // waits until it is
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "clean")); err != nil {
		t.Errorf("it did not clean up: %v", err)
	}
	child, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(child)))
	if err != nil {
		t.Fatal(err)
	}
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !strings.Contains(string(stat), ") Z ") {
		t.Errorf("what it had started, and what took no notice, still runs: %s", stat)
	}
}
