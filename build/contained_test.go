package build

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/sandbox"
	"github.com/patchfit/patchfit/build/source"
	"github.com/patchfit/patchfit/internal/machinetest"
)

func TestMain(m *testing.M) {
	if code, ours := sandbox.Main(); ours {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// A bench is a builder image, unpacked, and a place for builds in it.
type bench struct {
	watched *Capture // of the build that the image was packed by
	root    string
}

// newBench packs the builder image of a build of files, and unpacks it.
func newBench(t *testing.T, files map[string]string, r *Request, include ...string) *bench {
	t.Helper()
	machinetest.Tools(t, "gcc", "strace")
	r.Dir = sourceTree(t, files)
	r.Pack = filepath.Join(t.TempDir(), "image")
	r.Include = include
	if r.Artifact != "" {
		r.Artifact = filepath.Join(r.Dir, r.Artifact)
	}
	b := &bench{watched: mustCapture(t, r), root: t.TempDir()}
	l, err := OpenLayout(r.Pack)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := l.Blob(l.Layers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	// Whoever is root runs builds as nobody, who has to be able to read.
	if err := os.Chmod(b.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := source.Unpack(t.Context(), layer, b.root, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) job(t *testing.T, files map[string]string, command ...string) *Job {
	t.Helper()
	tree, err := source.Pack(t.Context(), source.Origin{Path: sourceTree(t, files)}, filepath.Join(t.TempDir(), "source.tar"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Job{
		Image: b.watched.Environment.BuilderImage, Root: b.root, Source: tree, Command: command, Epoch: DefaultEpoch,
		Runner: sandbox.New(nil), Scratch: t.TempDir(), Stdout: t.Output(), Stderr: t.Output(),
	}
}

func contain(t *testing.T, j *Job) (*Capture, string, error) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "out")
	c, err := Contain(t.Context(), j, to)
	left, globErr := filepath.Glob(filepath.Join(j.Scratch, "*"))
	if globErr != nil || len(left) > 0 {
		t.Errorf("the build left %v behind, %v", left, globErr)
	}
	return c, to, err
}

// A build that is contained makes what the one that was watched made, in the
// same environment.
func TestContainedIsTheEnvironmentThatWasWatched(t *testing.T) {
	files := map[string]string{"lib.c": libSource}
	b := newBench(t, files, &Request{Command: gcc(plainFlags...)})
	c, out, err := contain(t, b.job(t, files, gcc(plainFlags...)...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := b.watched.Environment.Diff(c.Environment); len(diff) > 0 {
		t.Errorf("another environment: %v", diff)
	}
	if !c.Contained || c.EnvironmentDigest != b.watched.EnvironmentDigest {
		t.Errorf("contained %v, environment %s, watched %s", c.Contained, c.EnvironmentDigest, b.watched.EnvironmentDigest)
	}
	if c.Artifact.Digest != b.watched.Artifact.Digest {
		t.Errorf("artifact %v, watched %v", c.Artifact, b.watched.Artifact)
	}
	if facts, err := ReadELF(filepath.Join(out, "lib.so.1")); err != nil || facts.File.Digest != c.Artifact.Digest {
		t.Errorf("the collected artifact is not what was built: %v", err)
	}
	if want := (&attest.Recipe{Artifact: "lib.so.1", SourceDateEpoch: DefaultEpoch}); cmp.Diff(want, c.Recipe) != "" {
		t.Errorf("recipe %+v, want %+v", c.Recipe, want)
	}
	raw, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCapture(raw); err != nil {
		t.Errorf("the capture is not read back: %v", err)
	}
}

const makefile = `CFLAGS = -O1
lib.so.1: lib.c config
	gcc -g -frecord-gcc-switches $(CFLAGS) -fPIC -shared -ffile-prefix-map=$(CURDIR)=/build -o $@ lib.c
`

func TestContainedBuildByMake(t *testing.T) {
	machinetest.Tools(t, "make")
	files := map[string]string{"sub/lib.c": libSource, "sub/Makefile": makefile, "sub/config": "X=y\n"}
	command := []string{"make", "CFLAGS=-O2 -fno-inline"}
	watched := map[string]string{"lib.c": libSource, "Makefile": makefile, "config": "X=y\n"}
	b := newBench(t, watched, &Request{Command: command, Artifact: "lib.so.1"}, "/bin/sh", "/usr/bin/printf")
	job := func() *Job {
		j := b.job(t, files, command...)
		j.Dir, j.Artifact, j.Config, j.Outputs = "sub", "lib.so.1", "config", []string{"sub/*.c"}
		return j
	}
	first, out, err := contain(t, job())
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := contain(t, job())
	if err != nil {
		t.Fatal(err)
	}
	if first.Artifact.Digest != second.Artifact.Digest || first.EnvironmentDigest != second.EnvironmentDigest {
		t.Error("two builds of one thing differ")
	}
	if len(first.Recorded) == 0 || !strings.Contains(first.Recorded[0].Producer, "-fno-inline") {
		t.Errorf("recorded %v, want the compiler's own word of -fno-inline", first.Recorded)
	}
	want := &attest.Recipe{Directory: "sub", Artifact: "sub/lib.so.1", Configuration: "sub/config", SourceDateEpoch: DefaultEpoch}
	if diff := cmp.Diff(want, first.Recipe); diff != "" {
		t.Errorf("recipe (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Artifact{{Name: "sub/lib.c", Digest: attest.DigestOf([]byte(libSource)), Size: int64(len(libSource))}}, first.Outputs); diff != "" {
		t.Errorf("other outputs (-want +got):\n%s", diff)
	}
	if b, err := os.ReadFile(filepath.Join(out, "sub/lib.c")); err != nil || string(b) != libSource {
		t.Errorf("the other output: %q, %v", b, err)
	}
}

// What was declared, what was seen and what the output says have to agree.
func TestContradictions(t *testing.T) {
	machinetest.Tools(t, "make", "ar")
	files := map[string]string{"lib.c": libSource}
	watched := map[string]string{"lib.c": libSource, "Makefile": "lib.so.1: lib.c\n\tar rc x.a lib.c && gcc -g -O1 -fPIC -shared -o $@ lib.c && rm x.a\n"}
	b := newBench(t, watched, &Request{Command: []string{"make"}, Artifact: "lib.so.1"}, "/bin/sh", "/bin/rm", "/bin/cp", "/bin/ln")
	stale := sourceTree(t, map[string]string{"old.c": "int old(void) { return 1; }\n"})
	runIn(t, stale, "gcc", "-g", "-O3", "-fPIC", "-fshort-enums", "-c", "-o", "old.o", "old.c")
	old := string(mustRead(t, filepath.Join(stale, "old.o")))
	with := func(makefile string) map[string]string {
		return map[string]string{"lib.c": libSource, "old.o": old, "config": "X=y\n", "Makefile": makefile}
	}
	link := "lib.so.1: lib.c\n\tgcc -g $(CFLAGS) -fPIC -shared -o $@ lib.c"
	for _, tt := range []struct {
		name    string
		files   map[string]string
		command []string
		set     func(*Job)
		want    string
	}{
		{"an object nobody compiled here", with(link + " old.o\n"), []string{"make"}, nil, "-fshort-enums"},
		{"a flag that make does not use", with("lib.so.1: lib.c\n\tgcc -g -O1 -fPIC -shared -o $@ lib.c\n"), []string{"make", "CFLAGS=-O2"}, nil, "declared -O2"},
		{"a configuration that the build changes", with(link + "\n\techo Z=z >>config\n"), []string{"make"}, func(j *Job) { j.Config = "config" }, "changed its configuration"},
		{"an output that is a link", with(link + "\n\tln -s /etc/passwd x.map\n"), []string{"make"}, func(j *Job) { j.Outputs = []string{"*.map"} }, "is no regular file, but a link"},
		{"an artifact that a link leads out to", with("lib.so.1: lib.c\n\tgcc -fPIC -shared -o x.so lib.c && ln -s ../usr/bin/gcc $@\n"), []string{"make"}, nil, "leads to /usr/bin/"},
		{"no artifact", with("all:\n\tgcc -fPIC -shared -o other.so lib.c\n"), []string{"make"}, nil, "lib.so.1"},
		{"a build that fails", with("all:\n\tfalse\n"), []string{"make"}, nil, "the build failed"},
		{"outside", files, gcc(append(slices.Clone(plainFlags), "-include", "/etc/passwd")...), nil, "the build failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := b.job(t, tt.files, tt.command...)
			if tt.command[0] == "make" {
				j.Artifact = "lib.so.1"
			}
			if tt.set != nil {
				tt.set(j)
			}
			_, _, err := contain(t, j)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestContainedRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		job  Job
		want string
	}{
		{"another compiler", Job{Command: []string{"clang", "x.c"}}, "another compiler"},
		{"no output", Job{Command: []string{"make"}}, "does not say what its output is"},
		{"directory outside", Job{Command: gcc(), Dir: "../etc"}, "outside of /build"},
		{"output outside", Job{Command: gcc(), Artifact: "/etc/passwd"}, "outside of /build"},
		{"bad pattern", Job{Command: gcc(), Outputs: []string{"[x"}}, "no pattern"},
		{"pattern outside", Job{Command: gcc(), Outputs: []string{"/etc/*"}}, "no pattern"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.job.Scratch = t.TempDir()
			_, _, err := contain(t, &tt.job)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestContainedPatchIsHeldToItsBase(t *testing.T) {
	files := map[string]string{"lib.c": libSource}
	b := newBench(t, files, &Request{Command: gcc(plainFlags...)})
	j := b.job(t, files, gcc(append([]string{"-O3"}, plainFlags[1:]...)...)...)
	j.Base = b.watched.Environment
	var m *MismatchError
	if _, _, err := contain(t, j); !errors.As(err, &m) || m.Differences[0].Got != "-O3" {
		t.Errorf("a patch with another flag than its base: %v", err)
	}
}

func runIn(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
