package build

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/internal/machinetest"
)

// compile builds source in a directory of its own and returns the output.
func compile(t *testing.T, source string, flags ...string) string {
	t.Helper()
	machinetest.Tools(t, "gcc")
	dir := sourceTree(t, map[string]string{"x.c": source})
	out := filepath.Join(dir, "out")
	cmd := exec.CommandContext(t.Context(), "gcc", append(flags, "-o", out, "x.c")...)
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, b)
	}
	return out
}

const patchSource = `extern int other(int); static int hidden(int a) { return other(a) + 1; }
int patched_b(int a) { return hidden(a); } int patched_a(void) { return 0; } int data = 3;
`

func TestReadELF(t *testing.T) {
	out := compile(t, patchSource, "-O1", "-fPIC", "-shared", "-Wl,-soname,patch.so", "-Wl,--build-id=0xdeadbeef")
	f, err := ReadELF(out)
	if err != nil {
		t.Fatal(err)
	}
	if f.Soname != "patch.so" || f.BuildID != "deadbeef" {
		t.Errorf("soname %q, build-id %q", f.Soname, f.BuildID)
	}
	if diff := cmp.Diff([]string{"patched_a", "patched_b"}, onlyNamed(f.Functions, "patched")); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"other"}, onlyNamed(f.Imports, "other", "hidden", "data")); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	b := mustRead(t, out)
	if f.File != (attest.File{Digest: attest.DigestOf(b), Size: int64(len(b))}) || f.Digests.WithoutSignature != f.File.Digest {
		t.Errorf("file %+v, unsigned %s", f.File, f.Digests.WithoutSignature)
	}
	if f.Target.ByteOrder != "little" && f.Target.ByteOrder != "big" || f.Target.Architecture == "" || f.Target.ABI != "sysv" {
		t.Errorf("target %+v", f.Target)
	}
}

func onlyNamed(names []string, prefixes ...string) (kept []string) {
	for _, n := range names {
		for _, p := range prefixes {
			if strings.HasPrefix(n, p) {
				kept = append(kept, n)
			}
		}
	}
	return kept
}

func TestReadELFObject(t *testing.T) {
	f, err := ReadELF(compile(t, patchSource, "-O1", "-c"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"patched_a", "patched_b"}, f.Functions); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"other"}, onlyNamed(f.Imports, "other")); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}

func TestDigestsAreThoseOfTheObject(t *testing.T) {
	path := compile(t, "int f(void) { return 1; }", "-O1", "-g", "-fPIC", "-shared", "-Wl,--build-id")
	f, err := ReadELF(path)
	if err != nil {
		t.Fatal(err)
	}
	b := mustRead(t, path)
	want, err := object.DigestsOf(bytes.NewReader(b), int64(len(b)))
	if err != nil || f.Digests != want || f.File.Digest != want.File {
		t.Errorf("digests %+v of %s, want %+v and %v", f.Digests, f.File.Digest, want, err)
	}
}

func TestLibrariesOfALink(t *testing.T) {
	lib := func(name, soname string, flags ...string) string {
		out := compile(t, "int lib(void) { return 0; }", append([]string{"-fPIC", "-shared", "-Wl,-soname," + soname}, flags...)...)
		to := filepath.Join(filepath.Dir(out), name)
		write(t, to, string(mustRead(t, out)))
		return to
	}
	one, two := lib("libx.so.1.2.3", "libx.so.1"), lib("libx.so.1.2.4", "libx.so.1", "-O2", "-g")
	noID, noVersion := lib("liby.so.1.0", "liby.so.1", "-Wl,--build-id=none"), lib("libz.so", "libz.so")
	out, err := ReadELF(one)
	if err != nil {
		t.Fatal(err)
	}
	made := opened{"/out", true}
	tests := []struct {
		name   string
		needed string
		opens  []opened
		want   string
	}{
		{"by file name", "libx.so.1", []opened{made, {one, false}, {one, false}}, "1.2.3"},
		{"the linker's own comes before", "libx.so.1", []opened{{one, false}, made, {two, false}}, "1.2.4"},
		{"output begun last", "libx.so.1", []opened{{two, false}, made}, "1.2.4"},
		{"two of one name", "libx.so.1", []opened{made, {one, false}, {two, false}}, "two libraries"},
		{"not opened", "libx.so.1", []opened{made}, "no file the linker opened is it"},
		{"no build-id", "liby.so.1", []opened{made, {noID, false}}, "no GNU build-id"},
		{"no version", "libz.so", []opened{made, {noVersion, false}}, "neither version definitions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out.Needed = []string{tt.needed}
			got, err := libraries(out, afterwards(tt.opens), here)
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			}
			if len(got) != 1 || got[0].Version != tt.want {
				t.Errorf("%+v, want version %s", got, tt.want)
			}
		})
	}
}

func TestHighestDefinition(t *testing.T) {
	machinetest.Tools(t, "gcc")
	dir := sourceTree(t, map[string]string{"x.c": "int f(void){return 0;} int g(void){return 0;}", "map": "V_1.2 { f; };\nV_1.10 { g; } V_1.2;\nV_PRIVATE { };\n"})
	out := filepath.Join(dir, "libv.so.7")
	cmd := exec.CommandContext(t.Context(), "gcc", "-fPIC", "-shared", "-Wl,--version-script=map", "-Wl,-soname,libv.so.7", "-o", out, "x.c")
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	l, _, err := library(out)
	if err != nil || l.Version != "V_1.10" {
		t.Errorf("%+v, %v; want version V_1.10", l, err)
	}
}

// FuzzParseELF: no file makes it panic, and what is read is of that file.
func FuzzParseELF(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Add([]byte("\x7fELF\x02\x01\x01\x00" + strings.Repeat("\x00", 56)))
	if path, err := exec.LookPath("true"); err == nil {
		if b, err := readWhole(path, 1<<20); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := ParseELF(b)
		if err == nil && facts.File.Digest != attest.DigestOf(b) {
			t.Error("facts of another file")
		}
	})
}
