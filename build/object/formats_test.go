package object_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
	"github.com/patchfit/patchfit/internal/machinetest"
)

var greet = object.ULP{
	PatchID: strings.Repeat("01", 32), BuildID: strings.Repeat("ab", 20), Target: "libgreet.so.0",
	Units:     []object.ULPUnit{{Old: "greet", New: "greet_v2", Address: 0x1130}},
	Depends:   []string{strings.Repeat("02", 32)},
	Variables: []object.ULPVariable{{Target: "counter", Reference: "ulpr_counter", TargetOffset: 0x4010, PatchOffset: 0x20, TLS: true}},
}

func TestReadULP(t *testing.T) {
	kinds(t, func(t *testing.T, f *objecttest.File) {
		back := object.ULP{Revert: true, PatchID: greet.PatchID, BuildID: greet.BuildID, Target: greet.Target}
		f.Sections = []objecttest.Section{{Name: ".ulp", Data: f.ULP(greet)}, {Name: ".ulp.rev", Data: f.ULP(back)}}
		e := open(t, f.Bytes())
		for section, want := range map[string]*object.ULP{".ulp": &greet, ".ulp.rev": &back, ".ulp.other": nil} {
			got, err := object.ReadULP(e, section)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", section, err, diff)
			}
		}
	})
}

// TestBrokenULP cuts the metadata after every byte, and makes it claim more
// than it has.
func TestBrokenULP(t *testing.T) {
	f := &objecttest.File{Type: elf.ET_DYN}
	whole := f.ULP(greet)
	read := func(b []byte) error {
		f.Sections = []objecttest.Section{{Name: ".ulp", Data: b}}
		_, err := object.ReadULP(open(t, f.Bytes()), ".ulp")
		return err
	}
	for n := range whole {
		var bad *object.FormatError
		if err := read(whole[:n]); !errors.As(err, &bad) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	many := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(many[1+32+4+20+4+14:], 1<<31)
	for name, b := range map[string][]byte{
		"type 3": append([]byte{3}, whole[1:]...), "more": append(bytes.Clone(whole), 0), "2147483648 units": many,
		"long build-id": append(bytes.Clone(whole[:33]), 0xff, 0xff, 0xff, 0xff),
	} {
		if err := read(b); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func kpatch(content []byte) []byte {
	return objecttest.Kpatch{Module: "app", Target: strings.Repeat("cd", 20), Built: 1700000000, Content: content}.Bytes()
}

func TestReadKpatch(t *testing.T) {
	f := &objecttest.File{}
	entry := make([]byte, 48)
	f.Sections = []objecttest.Section{
		{Name: ".kpatch.text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: make([]byte, 8)},
		{Name: ".kpatch.strtab", Flags: elf.SHF_ALLOC, Data: []byte("serve.kpatch\x00helper.kpatch\x00")},
		{Name: ".kpatch.info", Flags: elf.SHF_ALLOC, Data: append(entry, entry...), Relocations: []objecttest.Relocation{
			{Offset: 0, Type: 1, Symbol: "serve"}, {Offset: 24, Type: 1, Symbol: ".kpatch.strtab"}, {Offset: 48 + 24, Type: 1, Symbol: ".kpatch.strtab", Addend: 13},
		}},
	}
	f.Symbols = []objecttest.Symbol{{Name: "serve", Bind: elf.STB_GLOBAL}}
	b := kpatch(f.Bytes())
	k, err := object.ReadKpatch(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if k.Module != "app" || k.Target != strings.Repeat("cd", 20) || !k.Built.Equal(time.Unix(1700000000, 0)) || k.Content != object.KpatchHeader {
		t.Errorf("%+v", k)
	}
	if diff := cmp.Diff([]string{"serve"}, k.Functions); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
	later := bytes.Clone(b)
	later[0x150]++
	if one, two := digests(t, b), digests(t, later); one.Code != two.Code || one.WithoutDebug == two.WithoutDebug || one.Code == one.File {
		t.Errorf("built at another second: %+v, %+v", one, two)
	}
	other := bytes.Clone(b)
	other[0x60] ^= 1
	if digests(t, other).Code == digests(t, b).Code {
		t.Error("another target is the same code")
	}
}

func TestBrokenKpatch(t *testing.T) {
	b := kpatch([]byte("content"))
	for name, change := range map[string]func([]byte) []byte{
		"cut":                 func(b []byte) []byte { return b[:object.KpatchHeader-1] },
		"longer":              func(b []byte) []byte { return append(b, 0) },
		"content in header":   func(b []byte) []byte { b[0x160] = 1; b[0x161] = 0; return b },
		"content outside":     func(b []byte) []byte { b[0x162] = 1; return b },
		"another magic":       func(b []byte) []byte { b[6] = '2'; return b },
		"content that is ELF": func(b []byte) []byte { return kpatch(append([]byte(elf.ELFMAG), make([]byte, 60)...)) },
	} {
		c := change(bytes.Clone(b))
		_, err := object.ReadKpatch(bytes.NewReader(c), int64(len(c)))
		_, digests := object.DigestsOf(bytes.NewReader(c), int64(len(c)))
		if err == nil && digests == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzULP(f *testing.F) {
	file := &objecttest.File{}
	f.Add(file.ULP(greet), true, false)
	f.Add((&objecttest.File{Order: binary.BigEndian, Class: elf.ELFCLASS32}).ULP(greet), false, true)
	f.Fuzz(func(t *testing.T, b []byte, wide, big bool) {
		file := &objecttest.File{Class: elf.ELFCLASS32, Sections: []objecttest.Section{{Name: ".ulp", Data: b}}}
		if wide {
			file.Class = elf.ELFCLASS64
		}
		if big {
			file.Order = binary.BigEndian
		}
		u, err := object.ReadULP(open(t, file.Bytes()), ".ulp")
		if err != nil {
			return
		}
		file.Sections[0].Data = file.ULP(*u)
		again, err := object.ReadULP(open(t, file.Bytes()), ".ulp")
		if err != nil || !cmp.Equal(u, again) {
			t.Errorf("%+v and %v after one round", again, err)
		}
	})
}

func FuzzKpatch(f *testing.F) {
	f.Add(kpatch([]byte("content")))
	f.Add(kpatch(sample(&objecttest.File{}).Bytes()))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := object.ReadKpatch(bytes.NewReader(b), int64(len(b)))
		if err == nil && (k.Content < object.KpatchHeader || int64(k.Total) != int64(len(b))) {
			t.Errorf("%+v of %d bytes", k, len(b))
		}
		object.DigestsOf(bytes.NewReader(b), int64(len(b)))
	})
}

func TestReadTable(t *testing.T) {
	text := "ffffffff81000010 t show_name\nffffffff81000000 T show_name\nffffffff81000020 D show_name\nffffffff81000030 t big.constprop.0\nffffffff81000040 T big\nffffffff81000050 t .Lx\nffffffffc0000000 t poll\t[virtio_net]\n"
	table, err := object.ReadTable(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []object.Entry{
		{Object: "vmlinux", Address: 0xffffffff81000000, Code: true}, {Object: "vmlinux", Address: 0xffffffff81000010, Code: true}, {Object: "vmlinux", Address: 0xffffffff81000020},
	}
	if diff := cmp.Diff(want, table.Find("vmlinux", "show_name")); diff != "" {
		t.Errorf("show_name (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"big.constprop.0"}, table.Parts("big")); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if table.Len() != 4 || !table.Has("virtio_net") || table.Has("ext4") || len(table.Find("vmlinux", "poll")) != 0 {
		t.Errorf("table of %d", table.Len())
	}
	for _, bad := range []string{"x t y\n", "1 t\n", "1 tt y\n", "1 t y [m] z\n", strings.Repeat("a", 5000), "12345678901234567 t x\n"} {
		if _, err := object.ReadTable(strings.NewReader(bad)); err == nil {
			t.Errorf("%.20q is read", bad)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add("ffffffff81000000 T show_name\n0 t poll [m]\n", "0xf0949581\tseq_printf\tvmlinux\tEXPORT_SYMBOL\t\n")
	f.Fuzz(func(t *testing.T, table, exports string) {
		if tab, err := object.ReadTable(strings.NewReader(table)); err == nil && tab.Len() > strings.Count(table, "\n")+1 {
			t.Errorf("%d names of %q", tab.Len(), table)
		}
		object.ReadExports(strings.NewReader(exports))
	})
}

func TestExports(t *testing.T) {
	eachKind(t, func(t *testing.T, f *objecttest.File) {
		f.Sections = []objecttest.Section{{Name: "__kcrctab", Flags: elf.SHF_ALLOC, Data: append([]byte{0, 0, 0, 0}, f.Note("", 0, nil)[:4]...)}}
		f.Symbols = []objecttest.Symbol{
			{Name: "__crc_absolute", Section: objecttest.Absolute, Value: 0x11223344},
			{Name: "__crc_placed", Section: "__kcrctab", Value: 4},
			{Name: "__crc_outside", Section: "__kcrctab", Value: 6},
			{Name: "else", Section: "__kcrctab"},
		}
		got, err := object.Exports(open(t, f.Bytes()))
		if diff := cmp.Diff(map[string]uint32{"absolute": 0x11223344, "placed": 1}, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	got, err := object.ReadExports(strings.NewReader("0xf0949581\tseq_printf\tvmlinux\tEXPORT_SYMBOL\t\n"))
	if diff := cmp.Diff(map[string]uint32{"seq_printf": 0xf0949581}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestInlined has gcc copy a function into two others, in every form of debug
// information.
func TestInlined(t *testing.T) {
	machinetest.Tools(t, "gcc")
	source := "static inline __attribute__((always_inline)) int check(int x) { return x > 3 ? x * 7 : x + 1; }\n" +
		"int lonely(int x) { return x - 1; }\nint one(int x) { return check(x) + 1; }\nint two(int x) { return check(x * 2) ^ check(x); }\n"
	for _, flags := range [][]string{{"-c", "-g"}, {"-shared", "-g"}, {"-shared", "-gdwarf-4"}, {"-shared", "-g", "-gz"}} {
		b := compile(t, source, append(flags, "-O2", "-fPIC")...)
		got, err := object.Inlined(open(t, b), []string{"check", "lonely", "absent"}, 64<<20)
		want := []object.Inline{{Name: "check", Copies: 3, Callers: []string{"one", "two"}}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v: %v (-want +got):\n%s", flags, err, diff)
		}
		if _, err := object.Inlined(open(t, b), nil, 10); !errors.Is(err, object.ErrTooLarge) {
			t.Errorf("%v, within 10 bytes: %v", flags, err)
		}
	}
	if _, err := object.Inlined(open(t, compile(t, source, "-O2", "-c")), nil, 64<<20); !errors.Is(err, object.ErrNoDebug) {
		t.Errorf("without -g: %v", err)
	}
}
