package attest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

// inner returns the canonical JSON of what is in a list.
func inner(list any) string {
	b, err := strictjson.Canonical(list)
	if err != nil {
		panic(err) // a constant of these tests
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(b), "["), "]")
}

func importEdits() []edited {
	file := string(baseFile.Digest)
	notes := `{"buildId":"` + kernelID + `","digest":"` + string(digest("notes")) + `","kind":"kernel-notes"}`
	btf := `{"buildId":"` + kernelID + `","digest":"` + string(digest("BTF")) + `","kind":"kernel-btf"}`
	key := `"key":"` + archiveKey + `"`
	chain := inner(goodImport().Chain)
	return []edited{
		{"nothing-observed", `{"compiler":"gcc-12 (Debian 12.2.0-14) 12.2.0","configuration":"` + string(digest("configuration")) + `"}`, `{}`, accepted},
		{"signed-by-sha256", key, `"key":"` + strings.Repeat("4c", 32) + `"`, accepted},
		{"product-not-uuid", productID, `libdemo`, `/predicate/product: "libdemo" is not a lower-case UUID`},
		{"kind-unknown", `"kind":"kernel",`, `"kind":"initramfs",`, `/predicate/kind: "initramfs" is not "elf-library" or "elf-executable" or "kernel" or "kernel-module"`},
		{"kind-of-a-patch", `"kind":"kernel",`, `"kind":"kernel-livepatch",`, `/predicate/patch: missing: the kind "kernel-livepatch" is of a live patch`},
		{"origin-built", `"origin":"imported"`, `"origin":"built"`, `/predicate/origin: "built" is not "imported"`},
		{"origin-observed-with-a-chain", `"origin":"imported"`, `"origin":"observed"`, `/predicate/origin: "observed" is not "imported"`},
		{"method-unknown", `"method":"deb"`, `"method":"apk"`, `/predicate/method: "apk" is not "deb" or "rpm" or "module" or "dir"`},
		{"method-dir-as-imported", `"method":"deb"`, `"method":"dir"`, `/predicate/origin: "imported" is not "observed"`},
		{"method-another", `"method":"deb"`, `"method":"rpm"`, `/predicate/chain: 4 links, a chain of method "rpm" has 3: header, payload, file`},
		{"vendor-in-upper-case", `"vendor":"debian"`, `"vendor":"Debian"`, `/predicate/vendor: "Debian" is not a lower-case word`},
		{"word-empty", `"imported from the archive by the kernel team"`, `""`, "/predicate/word: empty"},
		{"package-version-empty", `"6.1.4-1"`, `""`, "/predicate/package/version: empty"},
		{"path-absolute", `"boot/vmlinuz`, `"/boot/vmlinuz`, `/predicate/path: "/boot/vmlinuz-6.1.0-1-amd64" is not a clean path inside a package`},
		{"path-outside", `"boot/vmlinuz`, `"../boot/vmlinuz`, `/predicate/path: "../boot/vmlinuz-6.1.0-1-amd64" is not a clean path inside a package`},
		{"path-with-a-dot", `"boot/vmlinuz`, `"./boot/vmlinuz`, `/predicate/path: "./boot/vmlinuz-6.1.0-1-amd64" is not a clean path inside a package`},
		{"chain-none", chain, ``, `/predicate/chain: 0 links, a chain of method "deb" has 4: in-release, packages, package, file`},
		{"chain-in-another-order", `"what":"packages"`, `"what":"payload"`, `/predicate/chain/1/what: "payload" is not "packages"`},
		{"chain-not-to-the-file", `"digest":"` + file + `","what":"file"`, `"digest":"` + string(digest("other")) + `","what":"file"`, "/predicate/chain/3/digest: " + string(digest("other")) + " is not the file " + file},
		{"chain-unsigned", key + `,`, ``, "/predicate/chain/0/key: missing: the first link of a chain is what a key signed"},
		{"chain-key-short", key, `"key":"4c4c4c4c"`, `/predicate/chain/0/key: "4c4c4c4c" is not the fingerprint of a key: 40 or 64 lower-case hex digits`},
		{"chain-time-with-fraction", `"time":"2026-03-01T09:00:00Z"`, `"time":"2026-03-01T09:00:00.5Z"`, "/predicate/chain/0/time: 2026-03-01T09:00:00.5Z is not in whole seconds"},
		{"measured-nothing", notes + `,` + btf, ``, "/predicate/measurements: a base without a measurement cannot be recognised"},
		{"measured-as-a-file", `"kind":"kernel-notes"`, `"kind":"elf-file"`, `/predicate/measurements/0/kind: "elf-file" is nothing a host measures of a base of kind "kernel"`},
		{"no-notes", `"kind":"kernel-notes"`, `"kind":"kernel-btf"`, `/predicate/measurements: no kernel-notes, which every host takes of a base of kind "kernel"`},
		{"file-not-the-subject", `{"sha256":"` + baseFile.Digest.Hex() + `"}`, `{"sha256":"` + digest("other").Hex() + `"}`, "/subject/1: " + string(digest("other")) + " is not the imported file " + file},
		{"compiler-of-two-lines", `"gcc-12 (Debian`, `"gcc-12\n(Debian`, `/predicate/observed/compiler: "gcc-12\n(Debian 12.2.0-14) 12.2.0" holds characters that do not print`},
		{"an-environment", `"observed":`, `"environment":"` + string(digest("environment")) + `","observed":`, "/predicate/environment: unknown member"},
	}
}

func importedPatchEdits() []edited {
	dir := inner(goodImportedPatch().Chain)
	return []edited{
		{"irreversible", `"revertible":true`, `"revertible":false`, accepted},
		{"libpulp", `"kind":"kernel-livepatch"`, `"kind":"libpulp"`, accepted},
		{"kind-of-a-base", `"kind":"kernel-livepatch"`, `"kind":"kernel"`, `/predicate/kind: "kernel" is not "elf-test" or "kernel-livepatch" or "libpulp"`},
		{"measured", `"measurements":[]`, `"measurements":[{"buildId":"` + kernelID + `","digest":"` + string(digest("notes")) + `","kind":"kernel-notes"}]`, "/predicate/measurements: a live patch is nothing a host is recognised by"},
		{"observed", `"observed":{}`, `"observed":{"compiler":"gcc"}`, "/predicate/observed: of a live patch's environment nothing is asked"},
		{"base-empty", string(digest("base manifest")), ``, `/predicate/patch/base: digest "" is not sha256: and 64 lower-case hex digits`},
		{"fixes-not-a-cve", `CVE-2026-12345`, `CVE-26-1`, `/predicate/patch/fixes/0: "CVE-26-1" is not a CVE id`},
		{"function-twice", `"parse_header"`, `"parse_header","parse_header"`, `/predicate/patch/functions/1: repeats element 0, "parse_header"`},
		{"environment", `"unsigned":`, `"environment":"` + string(digest("environment")) + `","unsigned":`, "/predicate/patch/environment: unknown member"},
		{"as-it-lay-there", `"chain":[` + dir + `]`, `"chain":[]`, `/predicate/chain: 0 links, a chain of method "rpm" has 3: header, payload, file`},
	}
}

func equivalenceEdits() []edited {
	one := inner(goodEquivalence().Differences)
	return []edited{
		{"two-differences", one, one + `,` + strings.Replace(one, "flags/3", "flags/4", 1), accepted},
		{"no-difference", one, ``, "/predicate/differences: two environments differ in something"},
		{"difference-twice", one, one + `,` + one, `/predicate/differences/1: repeats element 0, "flags/3"`},
		{"difference-of-nothing", `"patch":"-ffunction-sections"`, `"patch":"(absent)"`, `/predicate/differences/0: "flags/3" is alike on both sides`},
		{"difference-without-a-field", `"field":"flags/3"`, `"field":""`, "/predicate/differences/0/field: empty"},
		{"difference-with-a-nul", `-ffunction-sections`, `-f\u0000`, `/predicate/differences/0/patch: "-f\x00" holds a NUL or is not valid UTF-8`},
		{"of-itself", string(digest("derived environment")), string(digest("environment")), "/predicate/environment: " + string(digest("environment")) + " is the base's own: there is nothing to vouch for"},
		{"unobserved-of-a-built-base", `"unobserved":[]`, `"unobserved":["flags"]`, "/predicate/unobserved: the environment of a base that was built here is known"},
		{"base-environment-not-a-digest", `"baseEnvironment":"` + string(digest("environment")), `"baseEnvironment":"none`, `/predicate/baseEnvironment: digest "none" is not sha256: and 64 lower-case hex digits`},
		{"environment-not-a-digest", string(digest("derived environment")), `none`, `/predicate/environment: digest "none" is not sha256: and 64 lower-case hex digits`},
		{"reason-of-two-lines", `"reason":"kpatch-build`, `"reason":"kpatch\nbuild`, `/predicate/reason: "kpatch\nbuild in an image derived from the base's" holds characters that do not print`},
		{"file-not-the-subject", `{"sha256":"` + baseFile.Digest.Hex() + `"}`, `{"sha256":"` + digest("other").Hex() + `"}`, "/subject/1: " + string(digest("other")) + " is not the base's file " + string(baseFile.Digest)},
		{"unknown-member", `"reason":`, `"expires":"never","reason":`, "/predicate/expires: unknown member"},
	}
}

func reconstructionEdits() []edited {
	return []edited{
		{"everything-observed", inner(goodReconstruction().Unobserved), ``, "/predicate/unobserved: of an imported base something was not observed"},
		{"not-sorted", `"assembler","builderImage"`, `"builderImage","assembler"`, "/predicate/unobserved: not sorted"},
		{"twice", `"assembler"`, `"assembler","assembler"`, `/predicate/unobserved/1: repeats element 0, "assembler"`},
		{"differences", `"differences":[]`, `"differences":[` + inner(goodEquivalence().Differences) + `]`, "/predicate/differences: there is no base environment to differ from"},
	}
}

// TestUnobserved: what was not observed is all of an environment but what was,
// and the target, which is in the file.
func TestUnobserved(t *testing.T) {
	all := []string{"assembler", "builderImage", "compiler", "configuration", "flags", "libraries", "linker", "makeVariables"}
	if diff := cmp.Diff(all, attest.Observed{}.Unobserved()); diff != "" {
		t.Error(diff)
	}
	some := []string{"assembler", "builderImage", "compiler/digest", "flags", "libraries", "linker", "makeVariables"}
	if diff := cmp.Diff(some, goodImport().Observed.Unobserved()); diff != "" {
		t.Error(diff)
	}
}

// TestUnvouchable: what no statement can vouch for, and what one can.
func TestUnvouchable(t *testing.T) {
	for name, c := range map[string]struct {
		change func(e *attest.Environment)
		want   string // the field; "": it can be vouched for
	}{
		"nothing":              {func(*attest.Environment) {}, ""},
		"a derived image":      {func(e *attest.Environment) { e.BuilderImage = digest("derived") }, ""},
		"another linker":       {func(e *attest.Environment) { e.Linker.Digest = digest("another ld") }, ""},
		"a map of paths":       {func(e *attest.Environment) { e.Flags = append(e.Flags, "-ffile-prefix-map=/tmp=/build") }, ""},
		"an include path":      {func(e *attest.Environment) { e.Flags = append([]string{"-I/build/include"}, e.Flags...) }, ""},
		"what kpatch requires": {func(e *attest.Environment) { e.Flags = append(e.Flags, "-ffunction-sections", "-fdata-sections") }, ""},
		"the same by a variable": {func(e *attest.Environment) {
			e.MakeVariables = append(e.MakeVariables, attest.Variable{Name: "KCFLAGS", Value: "-ffunction-sections  -fdata-sections"})
		}, ""},
		"another optimisation":    {func(e *attest.Environment) { e.Flags = []string{"-O3", "-fPIC", "-shared"} }, "flags"},
		"one flag more":           {func(e *attest.Environment) { e.Flags = append(e.Flags, "-fno-inline") }, "flags"},
		"one flag less":           {func(e *attest.Environment) { e.Flags = e.Flags[:2] }, "flags"},
		"flags in another order":  {func(e *attest.Environment) { e.Flags = []string{"-fPIC", "-O2", "-shared"} }, "flags"},
		"a prefix of nothing":     {func(e *attest.Environment) { e.Flags = append(e.Flags, "-I") }, "flags"},
		"one like an allowed one": {func(e *attest.Environment) { e.Flags = append(e.Flags, "-ffunction-sectionsx") }, "flags"},
		"one more by a variable": {func(e *attest.Environment) {
			e.MakeVariables = append(e.MakeVariables, attest.Variable{Name: "KCFLAGS", Value: "-fdata-sections -fno-inline"})
		}, "makeVariables/KCFLAGS"},
		"a variable of another value": {func(e *attest.Environment) { e.MakeVariables = []attest.Variable{{Name: "V", Value: "2"}} }, "makeVariables/V"},
		"a variable twice": {func(e *attest.Environment) {
			e.MakeVariables = append(e.MakeVariables, attest.Variable{Name: "V", Value: "-I/x"})
		}, "makeVariables/V"},
		"no variable":     {func(e *attest.Environment) { e.MakeVariables = nil }, "makeVariables/V"},
		"another machine": {func(e *attest.Environment) { e.Target.Architecture = "aarch64" }, "target/architecture"},
	} {
		e := goodEnvironment()
		c.change(e)
		got := goodEnvironment().Unvouchable(e)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || got[0].Field != c.want) {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
	}
	if len(goodEnvironment().Unvouchable(nil)) == 0 {
		t.Error("an environment nobody knows can be vouched for")
	}
}
