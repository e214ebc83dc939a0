package lint_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/internal/machinetest"
	"github.com/patchfit/patchfit/internal/schematest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

func file(b []byte) lint.File { return lint.File{Reader: bytes.NewReader(b), Size: int64(len(b))} }

func look(t *testing.T, patch, base []byte, o *lint.Options) *lint.Report {
	t.Helper()
	var b *lint.File
	if base != nil {
		f := file(base)
		b = &f
	}
	r, err := lint.Look(file(patch), b, o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := strictjson.Canonical(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := schematest.Load(t, "../../docs/spec/schema/lint.json").Check(raw); err != nil {
		t.Errorf("not by the schema: %v\n%s", err, raw)
	}
	again, err := lint.Parse(raw)
	if err != nil {
		t.Fatalf("its own report: %v", err)
	}
	if diff := cmp.Diff(r, again); diff != "" {
		t.Errorf("a report reads back as another (-made +read):\n%s", diff)
	}
	return r
}

// ids returns the ids of the findings of r.
func ids(r *lint.Report) []lint.ID {
	list := []lint.ID{}
	for _, f := range r.Findings {
		list = append(list, f.ID)
	}
	return slices.Compact(list)
}

const release = "6.1.0-56-amd64"

// kernel returns a kernel that has what the patch of [good] needs.
func kernel(change func(*objecttest.File)) []byte {
	f := &objecttest.File{Type: elf.ET_EXEC}
	f.Sections = []objecttest.Section{
		{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: make([]byte, 64)},
		{Name: "__ksymtab", Flags: elf.SHF_ALLOC, Data: make([]byte, 8)},
		{Name: ".comment", Data: []byte("GCC: (test) 12.2.0\x00")},
		{Name: ".notes", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Align: 4, Data: slices.Concat(f.Note("Linux", 0x100, []byte(release+"\x00")), f.Note("GNU", 3, make([]byte, 20)))},
	}
	code := func(name string, at uint64) objecttest.Symbol {
		return objecttest.Symbol{Name: name, Type: elf.STT_FUNC, Section: ".text", Value: at, Size: 4}
	}
	f.Symbols = []objecttest.Symbol{
		code("cmdline_proc_show", 0), code("show_name", 4), code("show_name", 8), code("show_name.cold", 12),
		{Name: "__crc_seq_printf", Bind: elf.STB_GLOBAL, Section: objecttest.Absolute, Value: 0xf0949581},
		{Name: "__crc_klp_enable_patch", Bind: elf.STB_GLOBAL, Section: objecttest.Absolute, Value: 1},
	}
	if change != nil {
		change(f)
	}
	return f.Bytes()
}

// good returns a live patch about which there is nothing to say, but that
// nobody signed it.
func good() *objecttest.Livepatch {
	return &objecttest.Livepatch{
		File: &objecttest.File{}, Name: "lp", Vermagic: release + " SMP preempt ", Salt: release,
		Versions: []object.Version{{Symbol: "klp_enable_patch", CRC: 1}, {Symbol: "seq_printf", CRC: 0xf0949581}},
		Imports:  []string{"klp_enable_patch", "seq_printf"},
		Objects:  []objecttest.Object{{Functions: []object.Function{{Name: "cmdline_proc_show"}, {Name: "show_name", Position: 2}}}},
	}
}

func TestGoodPatch(t *testing.T) {
	r := look(t, objecttest.Signed(good().Bytes(), []byte("s")), kernel(nil), nil)
	if len(r.Findings) != 0 {
		t.Errorf("findings %+v", r.Findings)
	}
	if diff := cmp.Diff([]lint.Unchecked{{ID: "symbol.inlined", Why: "the base: no debug information"}}, r.NotChecked); diff != "" {
		t.Errorf("not checked (-want +got):\n%s", diff)
	}
	replace := false
	f := r.Facts
	f.Digests = nil
	want := lint.Facts{
		Kind: lint.KindLivepatch, Name: "lp", Target: &lint.Machine{Class: "64", ByteOrder: "little", Machine: "x86_64"},
		BuildID: strings.Repeat("ab", 20), Compilers: []string{"GCC: (test) 12.2.0"}, Vermagic: release + " SMP preempt ", BuildSalt: release, Signed: true, Replace: &replace,
		Functions: []lint.Function{{Object: "vmlinux", Name: "cmdline_proc_show", New: "new_cmdline_proc_show"}, {Object: "vmlinux", Name: "show_name", Position: 2, New: "new_show_name"}},
		Imports:   []lint.Import{{Symbol: "klp_enable_patch", CRC: "0x00000001"}, {Symbol: "seq_printf", CRC: "0xf0949581"}},
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// TestOneThingWrong has every finding about kernel patches, each alone.
func TestOneThingWrong(t *testing.T) {
	functions := func(list ...object.Function) func(*objecttest.Livepatch) {
		return func(p *objecttest.Livepatch) { p.Objects[0].Functions = list }
	}
	for name, c := range map[string]struct {
		patch func(*objecttest.Livepatch)
		base  func(*objecttest.File)
		want  lint.ID
		fact  string
	}{
		"32 bits":          {func(p *objecttest.Livepatch) { p.Class = elf.ELFCLASS32 }, nil, lint.ELFClass, "32 bits"},
		"big endian":       {func(p *objecttest.Livepatch) { p.Order = binary.BigEndian }, nil, lint.ELFByteOrder, "big endian"},
		"machine":          {func(p *objecttest.Livepatch) { p.Machine = elf.EM_AARCH64 }, nil, lint.ELFMachine, "aarch64"},
		"unmarked":         {func(p *objecttest.Livepatch) { p.Unmarked = true }, nil, lint.KLPUnmarked, "livepatch=Y"},
		"nothing patched":  {func(p *objecttest.Livepatch) { p.Objects = nil }, nil, lint.KLPNoFunctions, "no table"},
		"replace":          {func(p *objecttest.Livepatch) { p.Replace = true }, nil, lint.KLPReplace, "replace"},
		"callbacks":        {func(p *objecttest.Livepatch) { p.Objects[0].Callbacks = true }, nil, lint.KLPCallbacks, "vmlinux"},
		"shadow variables": {func(p *objecttest.Livepatch) { p.Imports = append(p.Imports, "klp_shadow_alloc") }, nil, lint.KLPShadow, "klp_shadow_alloc"},
		"states":           {func(p *objecttest.Livepatch) { p.States = []object.State{{ID: 9, Version: 2}} }, nil, lint.KLPStates, "9"},
		"another release":  {func(p *objecttest.Livepatch) { p.Vermagic, p.Salt = "6.1.0-55-amd64 SMP ", "6.1.0-55-amd64" }, nil, lint.ModuleVermagic, "6.1.0-55-amd64"},
		"forged vermagic":  {func(p *objecttest.Livepatch) { p.Salt = "6.1.0-55-amd64" }, nil, lint.ModuleSalt, "6.1.0-55-amd64"},
		"compiler":         {nil, func(f *objecttest.File) { f.Sections[2].Data = []byte("GCC: 11\x00") }, lint.ModuleCompiler, "GCC: 11"},
		"absent":           {functions(object.Function{Name: "kill_proc_info"}), nil, lint.SymbolAbsent, "kill_proc_info"},
		"ambiguous":        {functions(object.Function{Name: "show_name"}), nil, lint.SymbolAmbiguous, "there are 2"},
		"position":         {functions(object.Function{Name: "show_name", Position: 3}), nil, lint.SymbolPosition, "position 3"},
		"parts": {nil, func(f *objecttest.File) {
			f.Symbols = append([]objecttest.Symbol{{Name: "cmdline_proc_show.constprop.0", Type: elf.STT_FUNC, Section: ".text", Value: 20}}, f.Symbols...)
		}, lint.SymbolParts, "cmdline_proc_show.constprop.0"},
		"import":       {func(p *objecttest.Livepatch) { p.Versions[0].Symbol = "not_exported" }, nil, lint.ImportAbsent, "not_exported"},
		"checksum":     {func(p *objecttest.Livepatch) { p.Versions[1].CRC = 5 }, nil, lint.ImportCRC, "0x00000005"},
		"no checksums": {func(p *objecttest.Livepatch) { p.Versions = nil }, nil, lint.ImportUnversion, "no checksums"},
	} {
		p := good()
		if c.patch != nil {
			c.patch(p)
		}
		r := look(t, objecttest.Signed(p.Bytes(), []byte("s")), kernel(c.base), nil)
		if !cmp.Equal(ids(r), []lint.ID{c.want}) {
			t.Errorf("%s: %+v, want %s alone", name, r.Findings, c.want)
			continue
		}
		if f := r.Findings[0]; !strings.Contains(f.Fact, c.fact) || f.Next == "" {
			t.Errorf("%s: %+v does not tell %q", name, f, c.fact)
		}
	}
	if r := look(t, good().Bytes(), kernel(nil), nil); !cmp.Equal(ids(r), []lint.ID{lint.ModuleUnsigned}) {
		t.Errorf("not signed: %+v", r.Findings)
	}
}

// TestContradictions are what admission refuses.
func TestContradictions(t *testing.T) {
	p := good()
	p.Order = binary.BigEndian
	c := look(t, p.Bytes(), kernel(nil), nil).Contradiction()
	if c == nil || c.ID != lint.ELFByteOrder {
		t.Errorf("big endian: %+v", c)
	}
	// The byte order is said to be another, and nothing else is changed: Linux
	// 6.1 loads it.
	flipped := good().Bytes()
	flipped[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	r := look(t, flipped, kernel(nil), nil)
	if c := r.Contradiction(); c == nil || c.ID != lint.ELFByteOrder || !r.Has(lint.FileUnreadable) {
		t.Errorf("flipped: %+v", r.Findings)
	}
	if c := look(t, good().Bytes(), kernel(nil), nil).Contradiction(); c != nil {
		t.Errorf("good: %+v", c)
	}
}

// bootImage returns the header of a kernel as it is booted, of this release.
func bootImage(release string, flags uint16) []byte {
	b := make([]byte, 0x400)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20f)
	binary.LittleEndian.PutUint16(b[0x20e:], 0x100)
	binary.LittleEndian.PutUint16(b[0x236:], flags)
	copy(b[0x300:], release+" (somebody) #1 SMP\x00")
	return b
}

// TestBootImage: of a kernel as it is booted the release is known, and the
// machine, and nothing else.
func TestBootImage(t *testing.T) {
	signed := objecttest.Signed(good().Bytes(), nil)
	if r := look(t, signed, bootImage(release, 1), nil); len(r.Findings) != 0 || len(r.NotChecked) == 0 {
		t.Errorf("%+v", r)
	}
	if r := look(t, signed, bootImage("6.1.0-55-amd64", 1), nil); !cmp.Equal(ids(r), []lint.ID{lint.ModuleVermagic}) {
		t.Errorf("another release: %+v", r.Findings)
	}
	if r := look(t, signed, bootImage(release, 0), nil); !r.Has(lint.ELFClass) || !r.Has(lint.ELFMachine) {
		t.Errorf("32 bits: %+v", r.Findings)
	}
}

func TestDeclaredTables(t *testing.T) {
	symbols, err := object.ReadTable(strings.NewReader("1 T cmdline_proc_show\n2 t virtnet_poll\t[virtio_net]\n"))
	if err != nil {
		t.Fatal(err)
	}
	o := &lint.Options{Declared: lint.Declared{Release: release, Symbols: symbols, Exports: map[string]uint32{"klp_enable_patch": 1, "seq_printf": 2}}}
	p := good()
	p.Objects = append(p.Objects, objecttest.Object{Name: "virtio_net", Functions: []object.Function{{Name: "virtnet_poll"}}}, objecttest.Object{Name: "ext4", Functions: []object.Function{{Name: "iget"}}})
	r := look(t, objecttest.Signed(p.Bytes(), nil), nil, o)
	if diff := cmp.Diff([]lint.ID{lint.ImportCRC, lint.SymbolAbsent}, ids(r)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%+v", diff, r.Findings)
	}
	if !slices.Contains(r.NotChecked, lint.Unchecked{ID: "symbol.absent", Why: "the symbols of ext4 are not given"}) {
		t.Errorf("not checked %+v", r.NotChecked)
	}
}

// library returns a library with one function, and the patch for it.
func library(class elf.Class, order binary.ByteOrder) (base *objecttest.File, patch func(object.ULP) []byte) {
	id := func(b byte) []byte { return bytes.Repeat([]byte{b}, 20) }
	base = &objecttest.File{Class: class, Order: order, Type: elf.ET_DYN, Dynamic: true}
	base.Sections = []objecttest.Section{
		{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: make([]byte, 64)},
		{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Align: 4, Data: base.Note("GNU", 3, id(0xab))},
	}
	base.Symbols = []objecttest.Symbol{{Name: "greet", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC, Section: ".text", Value: 16, Size: 4}}
	return base, func(u object.ULP) []byte {
		p := &objecttest.File{Class: class, Order: order, Type: elf.ET_DYN, Dynamic: true}
		p.Sections = []objecttest.Section{{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: make([]byte, 16)}, {Name: ".ulp", Data: p.ULP(u)}}
		if !u.Revert {
			back := u
			back.Revert = true
			p.Sections = append(p.Sections, objecttest.Section{Name: ".ulp.rev", Data: p.ULP(back)})
		}
		p.Symbols = []objecttest.Symbol{{Name: "greet_v2", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC, Section: ".text", Size: 4}}
		return p.Bytes()
	}
}

func TestULP(t *testing.T) {
	whole := object.ULP{PatchID: strings.Repeat("01", 32), BuildID: strings.Repeat("ab", 20), Target: "libgreet.so.0", Units: []object.ULPUnit{{Old: "greet", New: "greet_v2", Address: 16}}}
	for name, order := range objecttest.Both() {
		for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
			base, patch := library(class, order)
			r := look(t, patch(whole), base.Bytes(), nil)
			if len(r.Findings) != 0 || r.Facts.Kind != lint.KindULP || r.Facts.For.BuildID != whole.BuildID || r.Facts.Functions[0].Address != "0x10" {
				t.Errorf("%s %v: %+v %+v", name, class, r.Facts, r.Findings)
			}
		}
	}
	base, patch := library(elf.ELFCLASS64, binary.LittleEndian)
	for name, c := range map[string]struct {
		change func(*object.ULP)
		want   lint.ID
	}{
		"build-id":     {func(u *object.ULP) { u.BuildID = strings.Repeat("cd", 20) }, lint.TargetBuildID},
		"absent":       {func(u *object.ULP) { u.Units[0].Old = "hello" }, lint.SymbolAbsent},
		"address":      {func(u *object.ULP) { u.Units[0].Address = 17 }, lint.ULPAddress},
		"new function": {func(u *object.ULP) { u.Units[0].New = "greet_v3" }, lint.ULPNewFunction},
	} {
		u := whole
		u.Units = slices.Clone(whole.Units)
		c.change(&u)
		if r := look(t, patch(u), base.Bytes(), nil); !cmp.Equal(ids(r), []lint.ID{c.want}) {
			t.Errorf("%s: %+v, want %s", name, r.Findings, c.want)
		}
	}
	back := whole
	back.Revert = true
	if r := look(t, patch(back), base.Bytes(), nil); !r.Has(lint.ULPIrreversible) {
		t.Errorf("without .ulp.rev: %+v", r.Findings)
	}
}

func TestKpatch(t *testing.T) {
	base, _ := library(elf.ELFCLASS64, binary.LittleEndian)
	make := func(id string) []byte {
		return objecttest.Kpatch{Module: "libgreet.so.0", Target: id, Content: (&objecttest.File{}).Bytes()}.Bytes()
	}
	if r := look(t, make(strings.Repeat("ab", 20)), base.Bytes(), nil); len(r.Findings) != 0 || r.Facts.Kind != lint.KindKpatch {
		t.Errorf("%+v %+v", r.Facts, r.Findings)
	}
	r := look(t, make(strings.Repeat("cd", 20)), base.Bytes(), nil)
	if c := r.Contradiction(); c == nil || c.ID != lint.TargetBuildID || !strings.Contains(c.Fact, "cdcd") || !strings.Contains(c.Fact, "abab") {
		t.Errorf("for another base: %+v", r.Findings)
	}
}

func TestOtherFiles(t *testing.T) {
	for name, c := range map[string]struct {
		patch []byte
		kind  string
		want  []lint.ID
	}{
		"nothing":      {nil, lint.KindUnknown, []lint.ID{lint.FileUnknown}},
		"packed":       {[]byte("\xfd7zXZ\x00 and so on"), lint.KindUnknown, []lint.ID{lint.FileUnknown}},
		"text":         {[]byte("diff -u"), lint.KindUnknown, []lint.ID{lint.FileUnknown}},
		"cut":          {good().Bytes()[:200], lint.KindELF, []lint.ID{lint.FileUnreadable}},
		"cut header":   {[]byte(object.KpatchMagic), lint.KindKpatch, []lint.ID{lint.FileUnreadable}},
		"a library":    {func() []byte { b, _ := library(elf.ELFCLASS64, nil); return b.Bytes() }(), lint.KindELF, []lint.ID{}},
		"terminal art": {good2(), lint.KindModule, []lint.ID{lint.ModuleUnsigned}},
	} {
		r := look(t, c.patch, nil, nil)
		if r.Facts.Kind != c.kind || !cmp.Equal(ids(r), c.want) {
			t.Errorf("%s: %s %+v", name, r.Facts.Kind, r.Findings)
		}
		if strings.Contains(r.Facts.Name, "\x1b") {
			t.Errorf("%s: %q moves the cursor", name, r.Facts.Name)
		}
	}
}

// good2 is a module whose name would clear a terminal.
func good2() []byte {
	f := &objecttest.File{Sections: []objecttest.Section{{Name: ".modinfo", Flags: elf.SHF_ALLOC, Data: []byte("name=\x1b[2Jx\x00")}}}
	return f.Bytes()
}

// TestInlinedCopies is the dangerous case: there is a function to patch, and
// there are copies of it.
func TestInlinedCopies(t *testing.T) {
	machinetest.Tools(t, "gcc")
	dir := t.TempDir()
	source := filepath.Join(dir, "a.c")
	if err := os.WriteFile(source, []byte("static inline __attribute__((always_inline)) int check_it(int x) { return x > 3 ? x * 7 : x + 1; }\nint check(int x) { return check_it(x); }\nint greet(int x) { return check_it(x * 2); }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "lib.so")
	if b, err := exec.Command("gcc", "-g", "-O2", "-fPIC", "-shared", "-Wl,--build-id=0x"+strings.Repeat("ab", 20), "-o", out, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	base, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	_, patch := library(elf.ELFCLASS64, binary.LittleEndian)
	u := object.ULP{PatchID: strings.Repeat("01", 32), BuildID: strings.Repeat("ab", 20), Target: "lib.so", Units: []object.ULPUnit{{Old: "check_it", New: "greet_v2", Address: 16}}}
	r := look(t, patch(u), base, nil)
	if !r.Has(lint.SymbolInlined) || !r.Has(lint.SymbolAbsent) || len(r.Facts.Inlined) != 1 || !cmp.Equal(r.Facts.Inlined[0].Callers, []string{"check", "greet"}) {
		t.Errorf("%+v %+v", r.Facts.Inlined, r.Findings)
	}
}

// TestTableOfIDs holds the page and the code together.
func TestTableOfIDs(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range lint.IDs() {
		if !bytes.Contains(page, []byte("| `"+string(id)+"` |")) {
			t.Errorf("docs/spec/lint.md does not tell of %s", id)
		}
	}
	if n := bytes.Count(page, []byte("\n| `")); n < len(lint.IDs()) {
		t.Errorf("%d rows for %d ids", n, len(lint.IDs()))
	}
}

func FuzzLook(f *testing.F) {
	base, patch := library(elf.ELFCLASS64, binary.LittleEndian)
	f.Add(good().Bytes(), kernel(nil))
	f.Add(good().Bytes(), bootImage(release, 1))
	f.Add(patch(object.ULP{PatchID: strings.Repeat("01", 32), Target: "x"}), base.Bytes())
	f.Fuzz(func(t *testing.T, p, b []byte) {
		other := file(b)
		r, err := lint.Look(file(p), &other, &lint.Options{MaxDebug: 1 << 20})
		if err != nil {
			t.Fatalf("bytes that are there cannot be read: %v", err)
		}
		raw, err := strictjson.Canonical(r)
		if err != nil || len(raw) > lint.MaxReport {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
		again, err := lint.Parse(raw)
		if err != nil || !cmp.Equal(r, again) {
			t.Errorf("%v\n%s", err, raw)
		}
	})
}
