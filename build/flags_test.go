package build

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

func TestReadRequest(t *testing.T) {
	tests := []struct {
		command string
		want    request
	}{
		{"gcc -O2 x.c -o out y.o", request{flags: []string{"-O2"}, output: "out"}},
		{"/usr/bin/x86_64-linux-gnu-gcc-12 -oout -fPIC x.c", request{flags: []string{"-fPIC"}, output: "out"}},
		{"gcc -D A=1 -DB -I inc -include h.h -Xlinker -z -Xlinker now -l m x.c", request{flags: strings.Fields("-D A=1 -DB -I inc -include h.h -Xlinker -z -Xlinker now -l m"), output: "a.out"}},
		{"gcc -MMD -MF x.d -MT x -c x.c", request{flags: []string{"-MMD", "-c"}, output: "a.out"}},
		{"g++ -x c - -o o", request{flags: []string{"-x", "c"}, output: "o"}},
		{"cc -O1 -O2 -O1 x.c", request{flags: []string{"-O1", "-O2", "-O1"}, output: "a.out"}},
		{"make V=1 -j8 -j 4 -j all CC=gcc -C dir --no-print-directory -l2.5 B=a=b", request{
			flags:     []string{"-C", "dir", "--no-print-directory"},
			variables: []attest.Variable{{Name: "V", Value: "1"}, {Name: "CC", Value: "gcc"}, {Name: "B", Value: "a=b"}},
		}},
		{"make", request{flags: []string{}, variables: []attest.Variable{}}},
	}
	for _, tt := range tests {
		got, err := readRequest(strings.Fields(tt.command))
		if err != nil {
			t.Errorf("%s: %v", tt.command, err)
			continue
		}
		if diff := cmp.Diff(&tt.want, got, cmp.AllowUnexported(request{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.command, diff)
		}
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for command, want := range map[string]string{
		"clang-14 x.c":         "another compiler",
		"aarch64-linux-clang":  "another compiler",
		"rustc x.rs":           "another compiler",
		"bash -c gcc":          "cannot be told",
		"./gcc.sh x.c":         "cannot be told",
		"gcc @args":            "hides flags",
		"gcc -wrapper gdb x.c": "another program",
		"gcc x.c -o":           "lacks its value",
		"gcc x.c -I":           "lacks its value",
		"make -C":              "lacks its value",
	} {
		if _, err := readRequest(strings.Fields(command)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}

func TestSplitExtras(t *testing.T) {
	base := strings.Fields("-O2 -I inc -g")
	kept, extra := splitExtras(strings.Fields("-O2 -I inc -I more -Iother -g -ffile-prefix-map=/a=/b -fshort-enums"), base)
	if diff := cmp.Diff(strings.Fields("-O2 -I inc -g -fshort-enums"), kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.Fields("-I more -Iother -ffile-prefix-map=/a=/b"), extra); diff != "" {
		t.Errorf("extra (-want +got):\n%s", diff)
	}
}

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		asked, real string
		want        kind
	}{
		{"/usr/bin/gcc", "/usr/bin/x86_64-linux-gnu-gcc-12", kindCompiler},
		{"/usr/bin/cc", "/usr/bin/x86_64-linux-gnu-gcc-12", kindCompiler},
		{"/usr/bin/c++", "/usr/bin/x86_64-linux-gnu-g++-12", kindCompiler},
		{"/usr/bin/cc", "/usr/lib/llvm-14/bin/clang", kindStranger},
		{"/usr/lib/ccache/gcc", "/usr/bin/ccache", kindCache},
		{"/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "/usr/lib/gcc/x86_64-linux-gnu/12/cc1", kindProper},
		{"/usr/bin/as", "/usr/bin/x86_64-linux-gnu-as", kindAssembler},
		{"/usr/bin/ld", "/usr/bin/x86_64-linux-gnu-ld.bfd", kindLinker},
		{"/usr/bin/ld.lld", "/usr/bin/lld", kindLinker},
		{"/usr/bin/sed", "/usr/bin/sed", kindOther},
		{"/usr/bin/gcc-ar", "/usr/bin/x86_64-linux-gnu-gcc-ar-12", kindOther},
	} {
		if got := classify(tt.asked, tt.real); got != tt.want {
			t.Errorf("%s (%s) is of kind %d, want %d", tt.asked, tt.real, got, tt.want)
		}
	}
}

func TestIdentifyWantsOneOfEach(t *testing.T) {
	runs := func(paths ...string) (list []*run) {
		for _, p := range paths {
			list = append(list, &run{path: p})
		}
		return list
	}
	same := func(p string) (string, error) { return p, nil }
	for want, list := range map[string][]*run{
		"no compiler ran":       runs("/usr/bin/as", "/usr/bin/ld"),
		"no assembler ran":      runs("/usr/bin/gcc", "/lib/cc1", "/usr/bin/ld"),
		"no linker ran":         runs("/usr/bin/gcc", "/lib/cc1", "/usr/bin/as"),
		"two compilers ran":     runs("/usr/bin/gcc", "/lib/cc1", "/opt/gcc", "/usr/bin/as", "/usr/bin/ld"),
		"two linkers ran":       runs("/usr/bin/gcc", "/lib/cc1", "/usr/bin/as", "/usr/bin/ld", "/opt/ld"),
		"what other builds com": runs("/usr/bin/ccache"),
	} {
		if _, err := identify(list, same); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := identify(runs("/usr/bin/gcc", "/lib/cc1", "/usr/bin/as", "/usr/bin/ld", "/usr/bin/gcc"), same); err != nil {
		t.Error(err)
	}
}
