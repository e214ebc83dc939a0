package compare_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/build/compare"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/internal/machinetest"
	"github.com/patchfit/patchfit/internal/schematest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

func file(b []byte) compare.File {
	return compare.File{Reader: bytes.NewReader(b), Size: int64(len(b))}
}

// files compares a with b, and holds the report to its schema and its page to
// what a page may have.
func files(t *testing.T, a, b []byte) *compare.Report {
	t.Helper()
	r, err := compare.Files(file(a), file(b))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := strictjson.Canonical(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := schematest.Load(t, "../../docs/spec/schema/diff.json").Check(raw); err != nil {
		t.Errorf("not by the schema: %v\n%s", err, raw)
	}
	var page, text strings.Builder
	if err := r.Page(&page, "a <b>"); err != nil {
		t.Fatal(err)
	}
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "javascript:", "<b>", "ZgotmplZ", "http://", "https://"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if strings.ContainsRune(text.String(), 0x1b) {
		t.Error("the text moves the cursor")
	}
	e, err := compare.Explain(file(a), file(b))
	if err != nil || !cmp.Equal(e, r.Explanation) {
		t.Errorf("Explain says %+v, Files %+v, %v", e, r.Explanation, err)
	}
	return r
}

// module returns a module with two functions.
func module() *objecttest.Livepatch {
	return &objecttest.Livepatch{
		File: &objecttest.File{}, Vermagic: "6.1.0-56-amd64 SMP ", Salt: "6.1.0-56-amd64",
		Versions: []object.Version{{Symbol: "seq_printf", CRC: 1}}, Imports: []string{"klp_enable_patch", "seq_printf"},
		Objects: []objecttest.Object{{Functions: []object.Function{{Name: "one"}, {Name: "two"}}}},
	}
}

func TestExplain(t *testing.T) {
	plain := module().Bytes()
	changed := func(change func(*objecttest.Livepatch)) []byte {
		p := module()
		change(p)
		return p.Bytes()
	}
	section := func(name string, data string) func(*objecttest.Livepatch) {
		return func(p *objecttest.Livepatch) {
			p.Sections = append(p.Sections, objecttest.Section{Name: name, Data: []byte(data)})
		}
	}
	for name, c := range map[string]struct {
		b    []byte
		want compare.Category
		same []string
		word string
	}{
		"the same":   {plain, compare.Identical, []string{"file", "withoutSignature", "withoutDebug", "code"}, "bit for bit"},
		"signed":     {objecttest.Signed(plain, []byte("s")), compare.Signature, []string{"withoutSignature", "withoutDebug", "code"}, "signature"},
		"debug":      {changed(section(".debug_str", "x")), compare.Debug, []string{"withoutDebug", "code"}, "debug information"},
		"build-id":   {bytes.Replace(plain, bytes.Repeat([]byte{0xab}, 20), bytes.Repeat([]byte{0xcd}, 20), 1), compare.BuildID, []string{"code"}, "add -ffile-prefix-map"},
		"compiler":   {bytes.Replace(plain, []byte("12.2.0"), []byte("11.4.0"), 1), compare.Compiler, []string{}, "another compiler"},
		"big endian": {changed(func(p *objecttest.Livepatch) { p.Order = objecttest.Both()["big"] }), compare.Target, []string{}, "byte order"},
		"32 bits":    {changed(func(p *objecttest.Livepatch) { p.Class = elf.ELFCLASS32 }), compare.Target, []string{}, "class"},
		"data":       {changed(func(p *objecttest.Livepatch) { p.Replace = true }), compare.Data, []string{}, ".data"},
		"a function": {changed(func(p *objecttest.Livepatch) { p.Objects[0].Functions[1].Name = "three" }), compare.Code, []string{}, "1 function added: new_three; 1 function removed: new_two"},
		"cut":        {plain[:len(plain)-100], compare.Unreadable, []string{}, "cannot be read"},
		"something":  {[]byte("text"), compare.Format, []string{}, "byte 0"},
		"not loaded": {changed(section(".note.maker", "somebody")), compare.Symbols, []string{}, "not loaded"},
	} {
		r := files(t, plain, c.b)
		if r.Explanation.Category != c.want || !cmp.Equal(r.Explanation.Same, c.same) || !strings.Contains(r.Explanation.Sentence, c.word) {
			t.Errorf("%s: %+v, want %s, %v, %q", name, r.Explanation, c.want, c.same, c.word)
		}
	}
	if e := files(t, []byte("one text"), []byte("one test")).Explanation; e.Category != compare.Format || !strings.Contains(e.Sentence, "byte 6") {
		t.Errorf("texts: %+v", e)
	}
	one := objecttest.Kpatch{Target: "ab", Built: 1, Content: plain}
	two := one
	two.Built = 2
	if e := files(t, one.Bytes(), two.Bytes()).Explanation; e.Category != compare.BuildTime {
		t.Errorf("libcare patches: %+v", e)
	}
}

// TestLists changes one thing for each list.
func TestLists(t *testing.T) {
	a, b := module(), module()
	b.Versions = []object.Version{{Symbol: "seq_printf", CRC: 2}}
	b.Imports = append(b.Imports, "printk")
	b.Vermagic = "6.1.0-55-amd64 SMP "
	b.Salt = "6.1.0-55-amd64"
	r := files(t, a.Bytes(), b.Bytes())
	imports := []compare.Import{{Symbol: "printk", Change: compare.Added}, {Symbol: "seq_printf", Change: compare.Changed, CRCA: "0x00000001", CRCB: "0x00000002"}}
	if diff := cmp.Diff(imports, r.Imports); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]compare.Value{{Key: "vermagic", A: a.Vermagic, B: b.Vermagic}}, r.Modinfo); diff != "" {
		t.Errorf("modinfo (-want +got):\n%s", diff)
	}
	if len(r.Notes) != 1 || r.Notes[0].Key != "Linux 0x100" || len(r.Functions) != 0 {
		t.Errorf("notes %+v, functions %+v", r.Notes, r.Functions)
	}
}

func TestRelocationsOfAFunction(t *testing.T) {
	build := func(symbol string) []byte {
		f := &objecttest.File{Sections: []objecttest.Section{{
			Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: make([]byte, 32),
			Relocations: []objecttest.Relocation{{Offset: 4, Type: 4, Symbol: "always"}, {Offset: 20, Type: 4, Symbol: symbol, Addend: -4}},
		}}}
		f.Symbols = []objecttest.Symbol{
			{Name: "one", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC, Section: ".text", Size: 16}, {Name: "two", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC, Section: ".text", Value: 16, Size: 16},
			{Name: "always", Bind: elf.STB_GLOBAL}, {Name: "kfree", Bind: elf.STB_GLOBAL}, {Name: "vfree", Bind: elf.STB_GLOBAL},
		}
		return f.Bytes()
	}
	r := files(t, build("kfree"), build("vfree"))
	want := []compare.Function{{Name: "two", Change: compare.Changed, Section: ".text", SizeA: 16, SizeB: 16, Relocations: []string{"- +0x4 type 4 kfree-4", "+ +0x4 type 4 vfree-4"}}}
	if diff := cmp.Diff(want, r.Functions); diff != "" || r.Explanation.Category != compare.Code {
		t.Errorf("%+v (-want +got):\n%s", r.Explanation, diff)
	}
}

// TestRealBuilds has gcc make the cases that people meet.
func TestRealBuilds(t *testing.T) {
	machinetest.Tools(t, "gcc")
	source := "int helper(int x) { return x * 3; }\nint fix(int x) { return helper(x) + OFFSET; }\n"
	build := func(flags ...string) []byte {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.c"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-O1", "-g", "-fno-inline", "-Wl,--build-id", "-o", "out.so", "a.c"}, flags...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(filepath.Join(dir, "out.so"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if e := files(t, build("-DOFFSET=1"), build("-DOFFSET=1")).Explanation; e.Category != compare.BuildPath || !strings.Contains(e.Sentence, "-ffile-prefix-map") {
		t.Errorf("two directories: %+v", e)
	}
	r := files(t, build("-DOFFSET=1"), build("-DOFFSET=2"))
	var names []string
	for _, f := range r.Functions {
		names = append(names, f.Name)
	}
	if r.Explanation.Category != compare.Code || !slices.Equal(names, []string{"fix"}) {
		t.Errorf("another constant: %+v %v", r.Explanation, names)
	}
}

func FuzzFiles(f *testing.F) {
	plain := module().Bytes()
	f.Add(plain, objecttest.Signed(plain, []byte("s")))
	f.Add((&objecttest.File{Type: elf.ET_DYN, Dynamic: true}).Bytes(), []byte("text"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		r, err := compare.Files(file(a), file(b))
		if err != nil {
			t.Fatalf("bytes that are there cannot be read: %v", err)
		}
		if (r.Explanation.Category == compare.Identical) != bytes.Equal(a, b) {
			t.Errorf("%+v of %d and %d bytes", r.Explanation, len(a), len(b))
		}
		back, err := compare.Files(file(b), file(a))
		if err != nil || back.Explanation.Category != r.Explanation.Category || len(back.Functions) != len(r.Functions) {
			t.Errorf("the other way round: %+v, %v", back, err)
		}
	})
}
