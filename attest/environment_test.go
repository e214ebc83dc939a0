package attest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

func TestDiff(t *testing.T) {
	type diffs = []attest.Difference
	lib := attest.Library{Soname: "libm.so.6", Version: "2.36", BuildID: "33"}
	for _, tt := range []struct {
		name   string
		change func(e *attest.Environment)
		want   diffs
	}{
		{"equal", func(*attest.Environment) {}, nil},
		{"builder image", func(e *attest.Environment) { e.BuilderImage = digest("b") }, diffs{{"builderImage", string(digest("builder manifest")), string(digest("b"))}}},
		{"compiler", func(e *attest.Environment) { e.Compiler.Version = "13" }, diffs{{"compiler/version", "gcc (Debian 12.2.0-14) 12.2.0", "13"}}},
		{"assembler", func(e *attest.Environment) { e.Assembler.Name = "gas" }, diffs{{"assembler/name", "as", "gas"}}},
		{"linker", func(e *attest.Environment) { e.Linker.Digest = digest("lld") }, diffs{{"linker/digest", string(digest("ld")), string(digest("lld"))}}},
		{"flag changed", func(e *attest.Environment) { e.Flags[1] = "-fpic" }, diffs{{"flags/1", "-fPIC", "-fpic"}}},
		{"flag added at the end", func(e *attest.Environment) { e.Flags = append(e.Flags, "-g") }, diffs{{"flags/3", attest.Absent, "-g"}}},
		{"flag added in front", func(e *attest.Environment) { e.Flags = append([]string{"-g"}, e.Flags...) }, diffs{{"flags/0", attest.Absent, "-g"}}},
		{"flag left out", func(e *attest.Environment) { e.Flags = []string{"-O2", "-shared"} }, diffs{{"flags/1", "-fPIC", attest.Absent}}},
		{"all flags left out", func(e *attest.Environment) { e.Flags = nil }, diffs{{"flags/0", "-O2", attest.Absent}, {"flags/1", "-fPIC", attest.Absent}, {"flags/2", "-shared", attest.Absent}}},
		{"flags swapped", func(e *attest.Environment) { e.Flags[0], e.Flags[1] = e.Flags[1], e.Flags[0] }, diffs{{"flags/0", "-O2", "-fPIC"}, {"flags/1", "-fPIC", "-O2"}}},
		{"flag twice", func(e *attest.Environment) { e.Flags = append(e.Flags, "-shared") }, diffs{{"flags/3", attest.Absent, "-shared"}}},
		{"a flag that says it is absent", func(e *attest.Environment) { e.Flags = append(e.Flags, attest.Absent) }, diffs{{"flags/3", attest.Absent, attest.Absent}}},
		{"variable", func(e *attest.Environment) { e.MakeVariables[0].Value = "2" }, diffs{{"makeVariables/0", "V=1", "V=2"}}},
		{"variable split elsewhere", func(e *attest.Environment) { e.MakeVariables[0] = attest.Variable{Name: "V=1"} }, diffs{{"makeVariables/0", "V=1", "V=1="}}},
		{"configuration", func(e *attest.Environment) { e.Configuration = digest("c") }, diffs{{"configuration", string(attest.DigestOf(nil)), string(digest("c"))}}},
		{"library version", func(e *attest.Environment) { e.Libraries[1].Version = "2.37" }, diffs{{"libraries/libc.so.6/version", "2.36", "2.37"}}},
		{"library build-id", func(e *attest.Environment) { e.Libraries[1].BuildID = "44" }, diffs{{"libraries/libc.so.6/buildId", "2222222222222222222222222222222222222222", "44"}}},
		{"library added", func(e *attest.Environment) { e.Libraries = append(e.Libraries, lib) }, diffs{{"libraries/libm.so.6", attest.Absent, "2.36 build-id 33"}}},
		{"library left out", func(e *attest.Environment) { e.Libraries = e.Libraries[:1] }, diffs{{"libraries/libc.so.6", "2.36 build-id 2222222222222222222222222222222222222222", attest.Absent}}},
		{"word size", func(e *attest.Environment) { e.Target.WordSize = 32 }, diffs{{"target/wordSize", "64", "32"}}},
		{"byte order", func(e *attest.Environment) { e.Target.ByteOrder = "big" }, diffs{{"target/byteOrder", "little", "big"}}},
		{"architecture", func(e *attest.Environment) { e.Target.Architecture = "arm" }, diffs{{"target/architecture", "x86_64", "arm"}}},
		{"abi", func(e *attest.Environment) { e.Target.ABI = "gnu" }, diffs{{"target/abi", "sysv", "gnu"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := goodEnvironment()
			tt.change(e)
			if diff := cmp.Diff(tt.want, goodEnvironment().Diff(e)); diff != "" {
				t.Errorf("differences differ (-want +got):\n%s", diff)
			}
			swapped := make(diffs, 0, len(tt.want))
			for _, d := range tt.want {
				swapped = append(swapped, attest.Difference{Field: d.Field, Want: d.Got, Got: d.Want})
			}
			if diff := cmp.Diff(swapped, append(diffs{}, e.Diff(goodEnvironment())...)); diff != "" {
				t.Errorf("the other way round they differ (-want +got):\n%s", diff)
			}
		})
	}
	if d := goodEnvironment().Diff(nil); len(d) < 15 {
		t.Errorf("against nothing only %d fields differ", len(d))
	}
}

// TestEveryMemberIsIdentity changes every leaf of the canonical JSON, and
// leaves out every element: each makes another digest and a named difference.
func TestEveryMemberIsIdentity(t *testing.T) {
	good := goodEnvironment()
	b, err := good.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for changed := range leavesChanged(t, b) {
		e, err := attest.ParseEnvironment(changed)
		if err != nil {
			continue // refused is as good as different
		}
		count++
		if len(good.Diff(e)) == 0 {
			t.Errorf("no difference is named between\n%s\n%s", b, changed)
		}
		if d, err := e.Digest(); err != nil || d == attest.DigestOf(b) {
			t.Errorf("digest %s (%v) of a changed environment is the same", d, err)
		}
	}
	if count < 20 {
		t.Errorf("only %d changes were read: the test does not test", count)
	}
}

func TestIncompleteEnvironmentHasNoDigest(t *testing.T) {
	e := goodEnvironment()
	e.Linker.Digest = ""
	if d, err := e.Digest(); err == nil {
		t.Errorf("digest %s of an environment without a linker digest", d)
	}
	if _, err := new(attest.Environment).Canonical(); err == nil {
		t.Error("the zero environment has a canonical form")
	}
}
