package object_test

import (
	"bytes"
	"debug/elf"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/object/objecttest"
)

func TestReadModule(t *testing.T) {
	eachKind(t, func(t *testing.T, f *objecttest.File) {
		p := objecttest.Livepatch{
			File: f, Vermagic: "6.1.0-56-amd64 SMP ", Salt: "6.1.0-56-amd64", Replace: true,
			Versions: []object.Version{{Symbol: "module_layout", CRC: 0x1234}, {Symbol: "seq_printf", CRC: 0xf0949581}},
			Objects: []objecttest.Object{
				{Functions: []object.Function{{Name: "cmdline_proc_show"}, {Name: "show_name", Position: 2}}},
				{Name: "virtio_net", Callbacks: true, Functions: []object.Function{{Name: "virtnet_poll"}}},
			},
			States:  []object.State{{ID: 7, Version: 3}},
			Imports: []string{"klp_enable_patch", "seq_printf"},
		}
		e := open(t, p.Bytes())
		m, err := object.ReadModule(e)
		if err != nil || m == nil || m.Livepatch == nil {
			t.Fatalf("%+v, %v", m, err)
		}
		replace := true
		want := &object.Livepatch{
			Marked: true, Replace: &replace, Objects: []string{"virtio_net", "vmlinux"}, Callbacks: []string{"virtio_net"},
			States: []object.State{{ID: 7, Version: 3}}, Symbols: []object.Function{}, Sections: []string{},
			Functions: []object.Function{
				{Object: "virtio_net", Name: "virtnet_poll", New: "new_virtnet_poll"},
				{Object: "vmlinux", Name: "cmdline_proc_show", New: "new_cmdline_proc_show"},
				{Object: "vmlinux", Name: "show_name", Position: 2, New: "new_show_name"},
			},
		}
		if diff := cmp.Diff(want, m.Livepatch); diff != "" {
			t.Errorf("livepatch (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(p.Versions, m.Versions); diff != "" || !m.Versioned {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
		if v, _ := m.Value("vermagic"); v != p.Vermagic {
			t.Errorf("vermagic %q", v)
		}
		if salt, err := e.BuildSalt(); salt != p.Salt || err != nil {
			t.Errorf("build salt %q, %v", salt, err)
		}
		if diff := cmp.Diff([]string{"klp_enable_patch", "seq_printf"}, m.Imports); diff != "" {
			t.Errorf("imports (-want +got):\n%s", diff)
		}
		if c, err := e.Compilers(); err != nil || len(c) != 1 || !strings.HasPrefix(c[0], "GCC") {
			t.Errorf("compilers %q, %v", c, err)
		}
	})
}

// eachKind calls test with an object of every class and byte order.
func eachKind(t *testing.T, test func(t *testing.T, f *objecttest.File)) {
	t.Helper()
	kinds(t, func(t *testing.T, f *objecttest.File) {
		if f.Type == elf.ET_REL {
			test(t, f)
		}
	})
}

// TestReadKpatchModule reads what kpatch-build leaves for its hook.
func TestReadKpatchModule(t *testing.T) {
	eachKind(t, func(t *testing.T, f *objecttest.File) {
		w := uint64(len(f.Word(0)))
		entry := bytes.Join([][]byte{f.Word(0), f.Word(4), f.Word(0x1000), f.Word(8), f.Word(3), f.Word(0), f.Word(0)}, nil)
		f.Sections = []objecttest.Section{
			{Name: ".modinfo", Flags: elf.SHF_ALLOC, Data: []byte("livepatch=Y\x00name=kpatch_x\x00")},
			{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Data: make([]byte, 16)},
			{Name: ".kpatch.strings", Flags: elf.SHF_ALLOC, Data: []byte("\x00do_it\x00ext4\x00")},
			{Name: ".kpatch.funcs", Flags: elf.SHF_ALLOC, Data: entry, Relocations: []objecttest.Relocation{
				{Offset: 0, Type: 1, Symbol: "do_it"}, {Offset: 5 * w, Type: 1, Symbol: ".kpatch.strings", Addend: 1}, {Offset: 6 * w, Type: 1, Symbol: ".kpatch.strings", Addend: 7},
			}},
			{Name: ".kpatch.callbacks.pre_patch", Flags: elf.SHF_ALLOC, Data: f.Word(0)},
			{Name: ".klp.rela.ext4..text", Type: elf.SHT_PROGBITS},
		}
		f.Symbols = []objecttest.Symbol{
			{Name: "do_it", Type: elf.STT_FUNC, Section: ".text", Size: 4},
			{Name: ".klp.sym.ext4.ext4_iget,2", Bind: elf.STB_GLOBAL, Section: objecttest.KernelResolved},
			{Name: "klp_enable_patch", Bind: elf.STB_GLOBAL},
		}
		m, err := object.ReadModule(open(t, f.Bytes()))
		if err != nil || m.Livepatch == nil {
			t.Fatalf("%+v, %v", m, err)
		}
		want := &object.Livepatch{
			Marked: true, Kpatch: true, Objects: []string{"ext4"}, Callbacks: []string{"pre_patch"},
			Functions: []object.Function{{Object: "ext4", Name: "do_it", Position: 3, New: "do_it"}},
			Symbols:   []object.Function{{Object: "ext4", Name: "ext4_iget", Position: 2}},
			Sections:  []string{".klp.rela.ext4..text"},
		}
		if diff := cmp.Diff(want, m.Livepatch); diff != "" {
			t.Errorf("livepatch (-want +got):\n%s", diff)
		}
	})
}

func TestNoModule(t *testing.T) {
	for _, f := range []*objecttest.File{{Type: elf.ET_DYN}, {}} {
		if m, err := object.ReadModule(open(t, sample(f).Bytes())); m != nil || err != nil {
			t.Errorf("%+v, %v of a file without .modinfo", m, err)
		}
	}
}

func FuzzModule(f *testing.F) {
	for _, order := range objecttest.Both() {
		for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
			p := objecttest.Livepatch{File: &objecttest.File{Class: class, Order: order}, Vermagic: "6.1", Salt: "6.1",
				Objects: []objecttest.Object{{Functions: []object.Function{{Name: "f"}}}}, States: []object.State{{ID: 1}}, Imports: []string{"klp_enable_patch"}}
			f.Add(p.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := object.Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if m, err := object.ReadModule(e); err == nil && m != nil && m.Livepatch != nil {
			for _, fn := range m.Livepatch.Functions {
				if fn.Name == "" || fn.Object == "" || strings.ContainsRune(fn.Name, 0) {
					t.Errorf("function %+v", fn)
				}
			}
		}
		e.Compilers()
		e.Dynamic()
		e.BuildSalt()
		object.TableOf(e, "vmlinux")
		object.Exports(e)
		object.ReadULP(e, ".ulp")
		object.Inlined(e, []string{"f"}, 1<<20)
	})
}
