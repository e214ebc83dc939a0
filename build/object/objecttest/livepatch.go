package objecttest

import (
	"debug/elf"
	"fmt"
	"slices"

	"github.com/patchfit/patchfit/build/object"
)

// A Livepatch is a kernel live patch in the making, as kbuild makes them.
type Livepatch struct {
	*File
	Name     string // "" is "lp"
	Vermagic string
	Salt     string
	Versions []object.Version // nil: no table of them
	Objects  []Object
	Replace  bool
	States   []object.State
	Imports  []string
	Unmarked bool // livepatch=Y is missing
}

// An Object is what a patch patches; its zero Name is the kernel itself.
type Object struct {
	Name      string
	Callbacks bool
	Functions []object.Function
}

// Sizes of the kernel's structures in words, about as they are; nobody may
// rely on them.
const (
	funcWords   = 21
	objectWords = 25
	patchWords  = 20
)

// assembly is the data of a live patch in the making.
type assembly struct {
	*Livepatch
	word    uint64
	strings []byte
	data    []byte
	text    uint64
	links   []Relocation
	symbols []Symbol
}

// Bytes returns the module.
func (l *Livepatch) Bytes() []byte {
	a := &assembly{Livepatch: l, word: uint64(len(l.Word(0))), strings: []byte{0}}
	objects := a.objects()
	states := a.states()
	patch := a.room("patch", patchWords)
	a.link(patch, "__this_module", 0)
	a.link(patch+a.word, ".data", objects)
	if states > 0 {
		a.link(patch+2*a.word, ".data", states)
	}
	if l.Replace {
		a.data[patch+3*a.word] = 1
	}
	return a.module()
}

// room makes room in .data for a variable of some words, and its symbol.
func (a *assembly) room(name string, words uint64) uint64 {
	at := uint64(len(a.data))
	a.data = append(a.data, make([]byte, words*a.word)...)
	a.symbols = append(a.symbols, Symbol{Name: name, Type: elf.STT_OBJECT, Section: ".data", Value: at, Size: words * a.word})
	return at
}

func (a *assembly) link(at uint64, symbol string, addend uint64) {
	a.links = append(a.links, Relocation{Offset: at, Type: 1, Symbol: symbol, Addend: int64(addend)})
}

func (a *assembly) put(at, n uint64) { copy(a.data[at:], a.Word(n)) }

func (a *assembly) string(at uint64, s string) {
	a.link(at, ".rodata.str1.1", uint64(len(a.strings)))
	a.strings = append(append(a.strings, s...), 0)
}

func (a *assembly) objects() uint64 {
	a.room("padding", 1) // so that nothing is at 0
	var tables []uint64
	for i, o := range a.Objects {
		tables = append(tables, a.functions(fmt.Sprintf("funcs%d", i), o.Functions))
	}
	at := a.room("objs", objectWords*uint64(len(a.Objects)+1))
	for i, o := range a.Objects {
		entry := at + uint64(i)*objectWords*a.word
		if o.Name != "" {
			a.string(entry, o.Name)
		}
		a.link(entry+a.word, ".data", tables[i])
		if o.Callbacks {
			a.link(entry+3*a.word, a.function("callback"), 0)
		}
	}
	return at
}

func (a *assembly) functions(name string, list []object.Function) uint64 {
	at := a.room(name, funcWords*uint64(len(list)+1))
	for i, f := range list {
		entry := at + uint64(i)*funcWords*a.word
		a.string(entry, f.Name)
		a.link(entry+a.word, a.function("new_"+f.Name), 0)
		a.put(entry+2*a.word, f.Position)
	}
	return at
}

func (a *assembly) function(name string) string {
	if !slices.ContainsFunc(a.symbols, func(s Symbol) bool { return s.Name == name }) {
		a.symbols = append(a.symbols, Symbol{Name: name, Type: elf.STT_FUNC, Section: ".text", Value: a.text, Size: 4})
		a.text += 4
	}
	return name
}

func (a *assembly) states() uint64 {
	if len(a.States) == 0 {
		return 0
	}
	at := a.room("states", 3*uint64(len(a.States)+1))
	for i, s := range a.States {
		entry := at + 3*uint64(i)*a.word
		a.put(entry, s.ID)
		copy(a.data[entry+a.word:], a.order().AppendUint32(nil, s.Version))
	}
	return at
}

func (a *assembly) module() []byte {
	name := a.Name
	if name == "" {
		name = "lp"
	}
	info := "license=GPL\x00name=" + name + "\x00vermagic=" + a.Vermagic + "\x00"
	if !a.Unmarked {
		info = "livepatch=Y\x00" + info
	}
	f := *a.File
	f.Sections = append([]Section{
		{Name: ".text", Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Align: 4, Data: slices.Repeat([]byte{0x90}, int(max(a.text, 4)))},
		{Name: ".data", Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Align: 8, Data: a.data, Relocations: a.links},
		{Name: ".rodata.str1.1", Flags: elf.SHF_ALLOC | elf.SHF_MERGE | elf.SHF_STRINGS, Data: a.strings},
		{Name: ".modinfo", Flags: elf.SHF_ALLOC, Data: []byte(info)},
		{Name: ".gnu.linkonce.this_module", Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Align: 8, Data: make([]byte, 64)},
		{Name: ".comment", Data: []byte("GCC: (test) 12.2.0\x00")},
		{Name: ".note.gnu.build-id", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Align: 4, Data: f.Note("GNU", 3, slices.Repeat([]byte{0xab}, 20))},
	}, f.Sections...)
	if a.Salt != "" {
		f.Sections = append(f.Sections, Section{Name: ".note.Linux", Type: elf.SHT_NOTE, Flags: elf.SHF_ALLOC, Align: 4, Data: f.Note("Linux", 0x100, append([]byte(a.Salt), 0))})
	}
	if a.Versions != nil {
		f.Sections = append(f.Sections, Section{Name: "__versions", Flags: elf.SHF_ALLOC, Align: 8, Data: a.versions()})
	}
	f.Symbols = append(append(a.symbols, Symbol{Name: "__this_module", Bind: elf.STB_GLOBAL, Type: elf.STT_OBJECT, Section: ".gnu.linkonce.this_module", Size: 64}), f.Symbols...)
	for _, s := range a.Imports {
		f.Symbols = append(f.Symbols, Symbol{Name: s, Bind: elf.STB_GLOBAL})
	}
	return f.Bytes()
}

func (a *assembly) versions() []byte {
	var b []byte
	for _, v := range a.Versions {
		record := append(a.Word(uint64(v.CRC)), v.Symbol...)
		b = append(b, append(record, make([]byte, 64-len(record))...)...)
	}
	return b
}
