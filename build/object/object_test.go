package object_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

// kinds calls test with a file of every class, byte order and type.
func kinds(t *testing.T, test func(t *testing.T, f *objecttest.File)) {
	t.Helper()
	for name, order := range objecttest.Both() {
		for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
			for _, typ := range []elf.Type{elf.ET_REL, elf.ET_DYN} {
				t.Run(class.String()+"/"+name+"/"+typ.String(), func(t *testing.T) {
					test(t, &objecttest.File{Class: class, Order: order, Type: typ, Machine: elf.EM_S390})
				})
			}
		}
	}
}

// sample fills f with what an object has.
func sample(f *objecttest.File) *objecttest.File {
	f.Sections = []objecttest.Section{
		{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: []byte("code of f and g."), Relocations: []objecttest.Relocation{
			{Offset: 4, Type: 2, Symbol: "outside", Addend: -4}, {Offset: 8, Type: 1, Symbol: ".rodata", Addend: 2},
		}},
		{Name: ".rodata", Flags: elf.SHF_ALLOC, Data: []byte("words")},
		{Name: ".bss", Type: elf.SHT_NOBITS, Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Data: make([]byte, 64)},
		{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Align: 4, Data: f.Note("GNU", 3, bytes.Repeat([]byte{0xab}, 20))},
		{Name: ".comment", Data: []byte("a compiler\x00")},
	}
	f.Symbols = []objecttest.Symbol{
		{Name: "local", Type: elf.STT_FUNC, Section: ".text", Value: 8, Size: 8},
		{Name: "global", Bind: elf.STB_GLOBAL, Type: elf.STT_FUNC, Section: ".text", Size: 8},
		{Name: "outside", Bind: elf.STB_GLOBAL},
	}
	return f
}

func open(t *testing.T, b []byte) *object.ELF {
	t.Helper()
	e, err := object.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func digests(t *testing.T, b []byte) object.Digests {
	t.Helper()
	d, err := object.DigestsOf(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenReadsEveryKind(t *testing.T) {
	kinds(t, func(t *testing.T, f *objecttest.File) {
		b := sample(f).Bytes()
		std, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("the standard library does not read the fixture: %v", err)
		}
		e := open(t, b)
		if e.Class != std.Class || e.Data != std.Data || e.Machine != std.Machine || e.Type != std.Type || len(e.Sections) != len(std.Sections) || len(e.Segments) != len(std.Progs) {
			t.Errorf("read %+v, want %+v", e, std.FileHeader)
		}
		for i, s := range e.Sections {
			if w := std.Sections[i]; s.Name != w.Name || s.Type != w.Type || s.Size != w.Size || s.Offset != w.Offset || s.Flags != w.Flags || s.Link != w.Link || s.Info != w.Info {
				t.Errorf("section %d is %+v, want %+v", i, s, w.SectionHeader)
			}
		}
		got, err := e.Symbols(elf.SHT_SYMTAB)
		want, wantErr := std.Symbols()
		if err != nil || wantErr != nil || len(got) != len(want)+1 {
			t.Fatalf("%d symbols and %v, want %d and %v", len(got), err, len(want)+1, wantErr)
		}
		for i, w := range want {
			if g := got[i+1]; g.Name != w.Name || g.Value != w.Value || g.Size != w.Size || g.Info != w.Info || g.Section != uint32(w.Section) {
				t.Errorf("symbol %d is %+v, want %+v", i, g, w)
			}
		}
		if id, err := e.BuildID(); id != strings.Repeat("ab", 20) || err != nil {
			t.Errorf("build-id %q, %v", id, err)
		}
	})
}

// TestDebugDoesNotCount adds what a build with -g adds, in front, so that
// every index changes.
func TestDebugDoesNotCount(t *testing.T) {
	kinds(t, func(t *testing.T, f *objecttest.File) {
		plain := digests(t, sample(f).Bytes())
		f.Sections = append([]objecttest.Section{
			{Name: ".debug_info", Data: []byte("/somewhere"), Relocations: []objecttest.Relocation{{Offset: 0, Type: 1, Symbol: "global"}}},
			{Name: ".GCC.command.line", Data: []byte("-g\x00")},
		}, f.Sections...)
		f.Symbols = append([]objecttest.Symbol{
			{Name: "a.c", Type: elf.STT_FILE, Section: objecttest.Absolute},
			{Name: ".Ldebug0", Section: ".debug_info"},
			{Name: ".L0", Section: ".text"},
		}, f.Symbols...)
		debug := digests(t, f.Bytes())
		switch {
		case debug.File == plain.File:
			t.Error("debug information left the file the same")
		case f.Type == elf.ET_REL && debug.WithoutDebug != plain.WithoutDebug:
			t.Error("debug information counts in what is without it")
		case debug.Code == debug.WithoutDebug:
			t.Error("the build-id counts in the code")
		}
	})
}

// TestWhatCounts changes one thing at a time.
func TestWhatCounts(t *testing.T) {
	kinds(t, func(t *testing.T, f *objecttest.File) {
		before := digests(t, sample(f).Bytes())
		for name, change := range map[string]func(){
			"code":                 func() { f.Sections[0].Data = []byte("code of f and h.") },
			"data":                 func() { f.Sections[1].Data = []byte("sword") },
			"size of zeroes":       func() { f.Sections[2].Data = make([]byte, 128) },
			"compiler":             func() { f.Sections[4].Data = []byte("a Compiler\x00") },
			"name of a section":    func() { f.Sections[1].Name = ".r0data"; f.Sections[0].Relocations[1].Symbol = ".r0data" },
			"flags":                func() { f.Sections[1].Flags |= elf.SHF_WRITE },
			"alignment":            func() { f.Sections[1].Align = 2 },
			"name of a symbol":     func() { f.Symbols[0].Name = "lokal" },
			"value of a symbol":    func() { f.Symbols[0].Value = 9 },
			"place of a symbol":    func() { f.Symbols[0].Section = ".rodata" },
			"import":               func() { f.Symbols[2].Name, f.Sections[0].Relocations[0].Symbol = "inside_", "inside_" },
			"relocated to":         func() { f.Sections[0].Relocations[0].Symbol = "global" },
			"addend":               func() { f.Sections[0].Relocations[0].Addend = -8 },
			"type of a relocation": func() { f.Sections[0].Relocations[0].Type = 4 },
			"one relocation less":  func() { f.Sections[0].Relocations = f.Sections[0].Relocations[:1] },
			"machine":              func() { f.Machine = elf.EM_PPC },
			"loaded, named as debug information is": func() {
				f.Sections = append(f.Sections, objecttest.Section{Name: ".debug_code", Flags: elf.SHF_ALLOC, Data: []byte("x")})
			},
		} {
			sample(f).Machine = elf.EM_S390
			change()
			after := digests(t, f.Bytes())
			if after.WithoutDebug == before.WithoutDebug || after.Code == before.Code {
				t.Errorf("%s does not count", name)
			}
		}
		sample(f).Machine = elf.EM_S390
		f.Sections[3].Data = f.Note("GNU", 3, bytes.Repeat([]byte{0xcd}, 20))
		after := digests(t, f.Bytes())
		if after.Code != before.Code || after.WithoutDebug == before.WithoutDebug {
			t.Error("the build-id counts in the code, or not outside it")
		}
	})
}

func TestSignatureDoesNotCount(t *testing.T) {
	module := sample(&objecttest.File{}).Bytes()
	plain, signed := digests(t, module), digests(t, objecttest.Signed(module, []byte("signature")))
	if signed.File == plain.File || signed.WithoutSignature != plain.File || signed.Code != plain.Code || signed.WithoutDebug != plain.WithoutDebug {
		t.Errorf("signed %+v, not signed %+v", signed, plain)
	}
	if e := open(t, objecttest.Signed(module, []byte("signature"))); e.Signature == nil || e.Signature.Size != 9 || e.Signature.Type != 2 {
		t.Errorf("signature %+v", e.Signature)
	}
	broken := objecttest.Signed(module, nil)
	binary.BigEndian.PutUint32(broken[len(broken)-len(object.SignatureMagic)-4:], 1<<31)
	if _, err := object.DigestsOf(bytes.NewReader(broken), int64(len(broken))); err == nil {
		t.Error("a signature larger than the file was cut off")
	}
}

func TestOtherFilesHaveOneDigest(t *testing.T) {
	for _, s := range []string{"", "x", "#!/bin/sh\n", "\x7fELF"} {
		if d := digests(t, []byte(s)); d.File == "" || d.Code != d.File || d.WithoutDebug != d.File || d.WithoutSignature != d.File {
			t.Errorf("%q: %+v", s, d)
		}
	}
}

// TestHostileHeaders claims more than there is.
func TestHostileHeaders(t *testing.T) {
	whole := sample(&objecttest.File{Type: elf.ET_DYN}).Bytes()
	shoff := binary.LittleEndian.Uint64(whole[40:])
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"cut":                    {func(b []byte) []byte { return b[:len(b)/2] }, "outside the file"},
		"class":                  {func(b []byte) []byte { b[elf.EI_CLASS] = 7; return b }, "class 7"},
		"byte order":             {func(b []byte) []byte { b[elf.EI_DATA] = 0; return b }, "byte order 0"},
		"the other byte order":   {func(b []byte) []byte { b[elf.EI_DATA] = 2; return b }, ""},
		"section headers":        {func(b []byte) []byte { b[47] = 0xff; return b }, "outside the file"},
		"many section headers":   {func(b []byte) []byte { b[60], b[61] = 0xff, 0xff; return b }, "outside the file"},
		"many more":              {func(b []byte) []byte { b[60], b[61] = 0, 0; b[shoff+0x23] = 0x7f; return b }, "section headers, want at most"},
		"size of one":            {func(b []byte) []byte { b[58] = 63; return b }, "section headers of 63 bytes"},
		"names elsewhere":        {func(b []byte) []byte { b[62], b[63] = 0xf0, 0; return b }, "section names"},
		"a name outside":         {func(b []byte) []byte { b[shoff+64+2] = 0xff; return b }, "its name"},
		"a section outside":      {func(b []byte) []byte { b[shoff+64+0x18+6] = 0xff; return b }, "outside the file"},
		"program headers":        {func(b []byte) []byte { b[56], b[57] = 0xf0, 0xf0; return b }, "program headers"},
		"program headers beyond": {func(b []byte) []byte { b[37] = 0xff; return b }, "outside the file"},
	} {
		b := c.change(bytes.Clone(whole))
		_, err := object.DigestsOf(bytes.NewReader(b), int64(len(b)))
		var bad *object.FormatError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestPartsThatOverlap has a small file claim to be a large one many times.
func TestPartsThatOverlap(t *testing.T) {
	f := &objecttest.File{Sections: []objecttest.Section{{Name: "big", Data: make([]byte, 1<<20)}}}
	for range 20 {
		f.Sections = append(f.Sections, objecttest.Section{Name: "again"})
	}
	b := f.Bytes()
	shoff := binary.LittleEndian.Uint64(b[40:])
	for i := range uint64(20) {
		copy(b[shoff+(2+i)*64+0x18:], b[shoff+64+0x18:][:16]) // offset and size of the first
	}
	if _, err := object.DigestsOf(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("%v, want a word about parts that overlap", err)
	}
}

// TestDigestsOfRealBuilds holds the definition to gcc and strip.
func TestDigestsOfRealBuilds(t *testing.T) {
	machinetest.Tools(t, "gcc", "strip")
	source := "static int help(int x) { return 3 * x; }\nint (*table[])(int) = { help };\nextern int there(int);\nint f(int a) { return table[0](a) + there(a); }\n"
	build := func(args ...string) []byte { return compile(t, source, append(args, "-fPIC")...) }
	for _, kind := range [][]string{{"-c"}, {"-shared", "-Wl,--build-id"}} {
		at := func(args ...string) object.Digests { return digests(t, build(append(args, kind...)...)) }
		plain, here, elsewhere := at("-O1"), at("-O1", "-g"), at("-O1", "-g")
		if here.File == elsewhere.File || plain.Code != here.Code || here.Code != elsewhere.Code {
			t.Errorf("%v: plain %+v, with -g %+v, elsewhere %+v", kind, plain, here, elsewhere)
		}
		if other := at("-O0"); other.Code == here.Code {
			t.Errorf("%v: other code has the same digest", kind)
		}
		file := filepath.Join(t.TempDir(), "stripped")
		whole := build(append([]string{"-O1", "-g"}, kind...)...)
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "strip", "--strip-debug", file)
		if got, want := digests(t, read(t, file)), digests(t, whole); got.WithoutDebug != want.WithoutDebug || got.File == want.File {
			t.Errorf("%v: strip --strip-debug makes %+v of %+v", kind, got, want)
		}
	}
}

// compile returns what gcc makes of source, in a directory of its own.
func compile(t *testing.T, source string, flags ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.c"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	run(t, "gcc", append(flags, "-o", out, filepath.Join(dir, "a.c"))...)
	return read(t, out)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzDigests(f *testing.F) {
	for _, order := range objecttest.Both() {
		for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
			b := sample(&objecttest.File{Class: class, Order: order, Type: elf.ET_DYN, Dynamic: true}).Bytes()
			f.Add(b)
			f.Add(objecttest.Signed(b, []byte("s")))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := object.DigestsOf(bytes.NewReader(b), int64(len(b)))
		if err == nil && (d.File == "" || d.WithoutSignature == "" || d.WithoutDebug == "" || d.Code == "") {
			t.Errorf("%+v without an error", d)
		}
		if err != nil && d != (object.Digests{}) {
			t.Errorf("half an answer with %v", err)
		}
	})
}
