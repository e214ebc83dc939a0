package objecttest

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// header is a section header to be written.
type header struct {
	name       string
	typ        elf.SectionType
	flags      elf.SectionFlag
	link, info uint32
	align      uint64
	entry      uint64
	data       []byte
	offset     int
}

// writer lays a file out: header, one program header for what is linked,
// sections, section headers.
type writer struct {
	*File
	headers []header
	index   map[string]uint32 // of sections, by name
	symbols map[string]uint32
}

// Bytes returns the file.
func (f *File) Bytes() []byte {
	w := &writer{File: f, headers: []header{{}}, index: map[string]uint32{}, symbols: map[string]uint32{}}
	for _, s := range f.Sections {
		w.add(header{name: s.Name, typ: cmp.Or(s.Type, elf.SHT_PROGBITS), flags: s.Flags, align: cmp.Or(s.Align, 1), data: s.Data})
	}
	symtab := uint32(len(w.headers))
	w.table(".symtab", ".strtab", elf.SHT_SYMTAB, true)
	for _, s := range f.Sections {
		if s.Relocations != nil {
			w.relocations(s, symtab)
		}
	}
	if f.Dynamic {
		w.table(".dynsym", ".dynstr", elf.SHT_DYNSYM, false)
	}
	return w.assemble()
}

func (w *writer) add(h header) {
	if _, ok := w.index[h.name]; !ok {
		w.index[h.name] = uint32(len(w.headers))
	}
	w.headers = append(w.headers, h)
}

// table writes the symbols, after those of the sections where asked for.
func (w *writer) table(name, strings string, typ elf.SectionType, sections bool) {
	names, b := []byte{0}, w.symbol(0, elf.STB_LOCAL, elf.STT_NOTYPE, 0, 0, 0)
	n, locals := uint32(1), uint32(1)
	if sections {
		for i := range w.Sections {
			b = append(b, w.symbol(0, elf.STB_LOCAL, elf.STT_SECTION, uint16(i+1), 0, 0)...)
			w.symbols[w.Sections[i].Name] = n
			n, locals = n+1, n+1
		}
	}
	for _, s := range w.Symbols {
		at := uint32(len(names))
		if s.Name == "" {
			at = 0
		} else {
			names = append(append(names, s.Name...), 0)
		}
		b = append(b, w.symbol(at, s.Bind, s.Type, w.place(s.Section), s.Value, s.Size)...)
		if sections {
			w.symbols[s.Name] = n
		}
		n++
		if s.Bind == elf.STB_LOCAL {
			locals = n
		}
	}
	link := uint32(len(w.headers)) + 1
	w.add(header{name: name, typ: typ, flags: loaded(typ), link: link, info: locals, align: 8, entry: uint64(len(w.symbol(0, 0, 0, 0, 0, 0))), data: b})
	w.add(header{name: strings, typ: elf.SHT_STRTAB, flags: loaded(typ), align: 1, data: names})
}

func loaded(typ elf.SectionType) elf.SectionFlag {
	if typ == elf.SHT_DYNSYM {
		return elf.SHF_ALLOC
	}
	return 0
}

func (w *writer) place(section string) uint16 {
	switch section {
	case "":
		return uint16(elf.SHN_UNDEF)
	case Absolute:
		return uint16(elf.SHN_ABS)
	case KernelResolved:
		return 0xff20
	}
	i, ok := w.index[section]
	if !ok {
		panic(fmt.Sprintf("no section %q in this file", section))
	}
	return uint16(i)
}

func (w *writer) symbol(name uint32, bind elf.SymBind, typ elf.SymType, section uint16, value, size uint64) []byte {
	info := elf.ST_INFO(bind, typ)
	b := w.order().AppendUint32(nil, name)
	if w.wide() {
		b = w.order().AppendUint16(append(b, info, 0), section)
		b = w.order().AppendUint64(b, value)
		return w.order().AppendUint64(b, size)
	}
	b = w.order().AppendUint32(b, uint32(value))
	b = w.order().AppendUint32(b, uint32(size))
	return w.order().AppendUint16(append(b, info, 0), section)
}

func (w *writer) relocations(s Section, symtab uint32) {
	var b []byte
	for _, r := range s.Relocations {
		n, ok := w.symbols[r.Symbol]
		if !ok {
			panic(fmt.Sprintf("no symbol %q in this file", r.Symbol))
		}
		info := uint64(n)<<32 | uint64(r.Type)
		if !w.wide() {
			info = uint64(n)<<8 | uint64(r.Type&0xff)
		}
		b = append(append(append(b, w.Word(r.Offset)...), w.Word(info)...), w.Word(uint64(r.Addend))...)
	}
	w.add(header{name: ".rela" + s.Name, typ: elf.SHT_RELA, flags: elf.SHF_INFO_LINK, link: symtab, info: w.index[s.Name], align: 8, entry: uint64(3 * len(w.Word(0))), data: b})
}

func (w *writer) assemble() []byte {
	names := []byte{0}
	at := make([]uint32, len(w.headers)+1)
	for i, h := range append(w.headers, header{name: ".shstrtab"}) {
		if h.name != "" {
			at[i] = uint32(len(names))
			names = append(append(names, h.name...), 0)
		}
	}
	w.add(header{name: ".shstrtab", typ: elf.SHT_STRTAB, align: 1, data: names})
	size, segments := 52, 0
	if w.wide() {
		size = 64
	}
	b := make([]byte, size)
	if w.Type == elf.ET_DYN || w.Type == elf.ET_EXEC {
		segments = 1
		b = append(b, make([]byte, len(w.segment(0)))...)
	}
	for i := range w.headers {
		h := &w.headers[i]
		b = pad(b, int(max(h.align, 1)))
		h.offset = len(b)
		if h.typ != elf.SHT_NOBITS {
			b = append(b, h.data...)
		}
	}
	b = pad(b, 8)
	if segments > 0 {
		copy(b[size:], w.segment(uint64(len(b))))
	}
	copy(b, w.header(uint64(size*segments), uint64(len(b)), segments))
	for i, h := range w.headers {
		b = append(b, w.sectionHeader(h, at[i])...)
	}
	return b
}

func (w *writer) header(phoff, shoff uint64, segments int) []byte {
	class, data, machine, typ := elf.ELFCLASS64, elf.ELFDATA2LSB, cmp.Or(w.Machine, elf.EM_X86_64), cmp.Or(w.Type, elf.ET_REL)
	sizes := [...]uint16{64, 56, uint16(segments), 64}
	if !w.wide() {
		class, sizes = elf.ELFCLASS32, [...]uint16{52, 32, uint16(segments), 40}
	}
	if w.order() == order(binary.BigEndian) {
		data = elf.ELFDATA2MSB
	}
	b := append([]byte(elf.ELFMAG), byte(class), byte(data), byte(elf.EV_CURRENT), 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = w.order().AppendUint16(b, uint16(typ))
	b = w.order().AppendUint16(b, uint16(machine))
	b = w.order().AppendUint32(b, uint32(elf.EV_CURRENT))
	b = append(append(append(b, w.Word(0)...), w.Word(phoff)...), w.Word(shoff)...)
	b = w.order().AppendUint32(b, 0)
	for _, n := range append(sizes[:], uint16(len(w.headers)), uint16(len(w.headers)-1)) {
		b = w.order().AppendUint16(b, n)
	}
	return b
}

// segment loads the first size bytes of the file.
func (w *writer) segment(size uint64) []byte {
	b := w.order().AppendUint32(nil, uint32(elf.PT_LOAD))
	flags := w.order().AppendUint32(nil, uint32(elf.PF_R|elf.PF_X))
	if w.wide() {
		b = append(b, flags...)
	}
	for _, n := range [...]uint64{0, 0, 0, size, size} {
		b = append(b, w.Word(n)...)
	}
	if !w.wide() {
		b = append(b, flags...)
	}
	return append(b, w.Word(0x1000)...)
}

func (w *writer) sectionHeader(h header, name uint32) []byte {
	b := w.order().AppendUint32(nil, name)
	b = w.order().AppendUint32(b, uint32(h.typ))
	for _, n := range [...]uint64{uint64(h.flags), 0, uint64(h.offset), uint64(len(h.data))} {
		b = append(b, w.Word(n)...)
	}
	b = w.order().AppendUint32(b, h.link)
	b = w.order().AppendUint32(b, h.info)
	return append(append(b, w.Word(h.align)...), w.Word(h.entry)...)
}
