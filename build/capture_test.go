package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

func gcc(flags ...string) []string {
	return append(append([]string{"gcc"}, flags...), "-o", "lib.so.1", "lib.c")
}

var plainFlags = []string{"-O2", "-fPIC", "-shared", "-Wl,-soname,lib.so.1"}

func TestCaptureTellsWhatRan(t *testing.T) {
	dir := sourceTree(t, map[string]string{"lib.c": libSource})
	image := filepath.Join(t.TempDir(), "image")
	c := mustCapture(t, &Request{Dir: dir, Pack: image, Command: gcc(plainFlags...)})
	e := c.Environment
	if diff := cmp.Diff(plainFlags, e.Flags); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if e.Compiler.Name != "gcc" || !strings.HasPrefix(e.Compiler.Version, "gcc ") || !strings.HasPrefix(e.Assembler.Version, "GNU assembler ") || !strings.HasPrefix(e.Linker.Version, "GNU ") {
		t.Errorf("tools %+v %+v %+v", e.Compiler, e.Assembler, e.Linker)
	}
	if len(e.Libraries) != 1 || e.Libraries[0].Soname != "libc.so.6" || !strings.HasPrefix(e.Libraries[0].Version, "GLIBC_2.") || len(e.Libraries[0].BuildID) != 40 {
		t.Errorf("libraries %+v", e.Libraries)
	}
	if diff := cmp.Diff([]string{"lib.c"}, c.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if c.Source != attest.DigestOf([]byte(libSource)) {
		t.Errorf("source %s is not the digest of the one source file", c.Source)
	}
	if c.Contained {
		t.Error("a build that was only watched says it was contained")
	}
	layout, err := OpenLayout(image)
	if err != nil {
		t.Fatal(err)
	}
	if e.BuilderImage != layout.Digest {
		t.Errorf("environment names builder image %s, packed is %s", e.BuilderImage, layout.Digest)
	}
	if want := attest.DigestOf(mustRead(t, mustReal(t, "/usr/bin/gcc"))); e.Compiler.Digest != want {
		t.Errorf("compiler %s is not the file /usr/bin/gcc leads to, %s", e.Compiler.Digest, want)
	}
	artifact := mustRead(t, filepath.Join(dir, "lib.so.1"))
	if c.Artifact.Digest != attest.DigestOf(artifact) || c.Artifact.Size != int64(len(artifact)) {
		t.Errorf("artifact %+v is not what was built", c.Artifact)
	}
	if len(c.Invocations) != 1 || len(c.Programs) < 4 {
		t.Errorf("evidence: %d invocations, %d programs", len(c.Invocations), len(c.Programs))
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustReal(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOneFlagMakesAnotherEnvironment(t *testing.T) {
	dir := sourceTree(t, map[string]string{"lib.c": libSource})
	image := filepath.Join(t.TempDir(), "image")
	one := mustCapture(t, &Request{Dir: dir, Pack: image, Command: gcc(plainFlags...)})
	again := mustCapture(t, &Request{Dir: dir, Builder: image, Command: gcc(plainFlags...)})
	if one.EnvironmentDigest != again.EnvironmentDigest {
		t.Errorf("the same build twice made two environments: %v", one.Environment.Diff(again.Environment))
	}
	other := mustCapture(t, &Request{Dir: dir, Builder: image, Command: gcc(append(plainFlags, "-fshort-enums")...)})
	if one.EnvironmentDigest == other.EnvironmentDigest {
		t.Fatal("one flag more did not change the environment digest")
	}
	want := []attest.Difference{{Field: "flags/4", Want: attest.Absent, Got: "-fshort-enums"}}
	if diff := cmp.Diff(want, one.Environment.Diff(other.Environment)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}

func TestPatchIsHeldToItsBase(t *testing.T) {
	dir := sourceTree(t, map[string]string{"lib.c": libSource, "patch/lib.c": "#include \"where.h\"\nint lib_call(const char *w) { return w ? WHERE : 0; }\n", "inc/where.h": "#define WHERE 1\n"})
	image := filepath.Join(t.TempDir(), "image")
	base := mustCapture(t, &Request{Dir: dir, Pack: image, Command: gcc(plainFlags...)})
	patch := func(flags ...string) (*Capture, error) {
		return capture(t, &Request{Dir: filepath.Join(dir, "patch"), Source: dir, Builder: image, Base: base.Environment, Command: gcc(flags...)})
	}
	c, err := patch(append([]string{"-I", "../inc"}, plainFlags...)...)
	if err != nil {
		t.Fatal(err)
	}
	if c.EnvironmentDigest != base.EnvironmentDigest {
		t.Errorf("an include path made another environment: %v", base.Environment.Diff(c.Environment))
	}
	if diff := cmp.Diff([]string{"-I", "../inc"}, c.ExtraFlags); diff != "" {
		t.Errorf("extra flags (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"inc/where.h", "patch/lib.c"}, c.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if len(base.Environment.Libraries) == 0 {
		t.Fatal("the base links no library")
	}
	_, err = patch(append([]string{"-I../inc", "-fshort-enums"}, plainFlags...)...)
	var m *MismatchError
	if !errors.As(err, &m) {
		t.Fatalf("a patch with another flag than its base: %v", err)
	}
	if diff := cmp.Diff([]attest.Difference{{Field: "flags/0", Want: attest.Absent, Got: "-fshort-enums"}}, m.Differences); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	base.Environment.Libraries[0].BuildID = "00"
	write(t, filepath.Join(dir, "patch/lib.c"), libSource)
	if _, err = patch(plainFlags...); !errors.As(err, &m) || m.Differences[0].Field != "libraries/libc.so.6/buildId" {
		t.Errorf("a patch linked with another library than its base: %v", err)
	}
}

func TestMakeVariables(t *testing.T) {
	machinetest.Tools(t, "make")
	dir := sourceTree(t, map[string]string{"lib.c": libSource, "Makefile": "all:\n\tcd . && gcc $(CFLAGS) -fPIC -shared -o lib.so.1 lib.c\n", "config": "X=y\n"})
	image := filepath.Join(t.TempDir(), "image")
	c := mustCapture(t, &Request{Dir: dir, Pack: image, Artifact: filepath.Join(dir, "lib.so.1"), Config: filepath.Join(dir, "config"), Command: []string{"make", "-j2", "CFLAGS=-O1 -g", "all"}})
	if diff := cmp.Diff([]attest.Variable{{Name: "CFLAGS", Value: "-O1 -g"}}, c.Environment.MakeVariables); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if len(c.Environment.Flags) != 0 {
		t.Errorf("flags %q, want none", c.Environment.Flags)
	}
	if want := attest.DigestOf([]byte("X=y\n")); c.Environment.Configuration != want {
		t.Errorf("configuration %s, want %s", c.Environment.Configuration, want)
	}
	if diff := cmp.Diff([]string{"Makefile", "lib.c"}, c.Sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestVariablesOfTheCallerAreNoFlags(t *testing.T) {
	machinetest.Tools(t, "make")
	t.Setenv("CFLAGS", "-fshort-enums")
	t.Setenv("MAKEFLAGS", "CFLAGS=-fshort-enums")
	dir := sourceTree(t, map[string]string{"lib.c": libSource, "Makefile": "all:\n\tgcc $(CFLAGS) -fPIC -shared -o lib.so.1 lib.c\n"})
	c := mustCapture(t, &Request{Dir: dir, Pack: filepath.Join(t.TempDir(), "image"), Artifact: filepath.Join(dir, "lib.so.1"), Command: []string{"make"}})
	if args := strings.Join(c.Invocations[0], " "); strings.Contains(args, "short-enums") {
		t.Errorf("a variable of the caller became a flag that no environment names: %s", args)
	}
}

func TestFileOutsideTheImageIsNamed(t *testing.T) {
	dir := sourceTree(t, map[string]string{"lib.c": libSource})
	elsewhere := sourceTree(t, map[string]string{"extra.h": "#define EXTRA 1\n"})
	image := filepath.Join(t.TempDir(), "image")
	mustCapture(t, &Request{Dir: dir, Pack: image, Command: gcc(plainFlags...)})

	header := filepath.Join(elsewhere, "extra.h")
	flags := append(plainFlags, "-include", header)
	_, err := capture(t, &Request{Dir: dir, Builder: image, Command: gcc(flags...)})
	var out *OutsideError
	if !errors.As(err, &out) || out.Path != header || out.Image != "" {
		t.Fatalf("a header outside the builder image: %v", err)
	}

	image = filepath.Join(t.TempDir(), "with-header")
	mustCapture(t, &Request{Dir: dir, Pack: image, Command: gcc(flags...)})
	write(t, header, "#define EXTRA 2\n")
	_, err = capture(t, &Request{Dir: dir, Builder: image, Command: gcc(flags...)})
	if !errors.As(err, &out) || out.Path != header || out.Image != attest.DigestOf([]byte("#define EXTRA 1\n")) {
		t.Fatalf("a header with other content than in the builder image: %v", err)
	}
}

func TestCaptureRefusals(t *testing.T) {
	dir := sourceTree(t, map[string]string{"lib.c": libSource, "broken.c": "int f( {\n", "old.c": "int old;\n", "Makefile": "all:\n\ttrue\nobject:\n\tgcc -shared -o lib.so.1 old.o\nfake:\n\t./clang\n", "clang": "#!/bin/sh\n"})
	if err := os.Chmod(filepath.Join(dir, "clang"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		request Request
		want    string
	}{
		{"no command", Request{}, "no command"},
		{"another compiler", Request{Command: []string{"clang", "-O2", "lib.c"}}, "another compiler"},
		{"a script", Request{Command: []string{"sh", "build.sh"}}, "cannot be told"},
		{"hidden flags", Request{Command: []string{"gcc", "@flags", "lib.c"}}, "hides flags"},
		{"make without output", Request{Command: []string{"make"}}, "does not say what its output is"},
		{"broken source", Request{Command: []string{"gcc", "-shared", "-o", "x.so", "broken.c"}}, "the build failed"},
		{"no compiler", Request{Command: []string{"make", "all"}, Artifact: filepath.Join(dir, "lib.c")}, "not a readable ELF file"},
		{"no linker", Request{Command: []string{"gcc", "-fPIC", "-c", "-o", "old.o", "old.c"}}, "no linker ran"},
		{"compiled earlier", Request{Command: []string{"make", "object"}, Artifact: filepath.Join(dir, "lib.so.1")}, "no compiler ran"},
		{"another compiler inside", Request{Command: []string{"make", "fake"}, Artifact: filepath.Join(dir, "old.o")}, "another compiler"},
		{"old object", Request{Command: []string{"gcc", "-fPIC", "-shared", "-o", "x.so", "lib.c", "old.o"}}, "an earlier one compiled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.request
			r.Dir, r.Pack = dir, filepath.Join(t.TempDir(), "image")
			if _, err := capture(t, &r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNoTracerSaysSo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Run(t.Context(), &Request{Command: []string{"gcc", "x.c"}, Pack: filepath.Join(t.TempDir(), "i"), Dir: t.TempDir()})
	if !errors.Is(err, ErrNoTracer) {
		t.Errorf("without strace: %v", err)
	}
}

func TestInterruptedBuildStops(t *testing.T) {
	machinetest.Tools(t, "make", "strace")
	dir := sourceTree(t, map[string]string{"Makefile": "all:\n\techo started; sleep 60\n"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Run(ctx, &Request{Dir: dir, Pack: filepath.Join(t.TempDir(), "i"), Artifact: "x", Command: []string{"make"}, Stdout: writeFunc(func(b []byte) (int, error) {
		cancel()
		return len(b), nil
	})})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted build: %v", err)
	}
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(b []byte) (int, error) { return f(b) }

func TestCaptureFileRoundTrips(t *testing.T) {
	dir := sourceTree(t, map[string]string{"lib.c": libSource})
	c := mustCapture(t, &Request{Dir: dir, Pack: filepath.Join(t.TempDir(), "image"), Command: gcc(plainFlags...)})
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseCapture(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	forged := strings.ReplaceAll(string(b), `"-O2"`, `"-O3"`)
	if _, err := ParseCapture([]byte(forged)); err == nil {
		t.Error("a capture whose environment was changed still reads")
	}
}
