package object

import "debug/elf"

// A Symbol is one entry of a symbol table.
type Symbol struct {
	Name    string
	Info    uint8 // binding and type
	Other   uint8 // visibility
	Section uint32
	Value   uint64
	Size    uint64
	special bool // Section is no index but SHN_ABS, SHN_COMMON and the like
}

// Bind returns the binding of s.
func (s *Symbol) Bind() elf.SymBind { return elf.ST_BIND(s.Info) }

// Type returns the type of s.
func (s *Symbol) Type() elf.SymType { return elf.ST_TYPE(s.Info) }

// Undefined reports whether s is to be found elsewhere.
func (s *Symbol) Undefined() bool { return s.Section == uint32(elf.SHN_UNDEF) && !s.special }

// Code reports whether s is a function that is here.
func (s *Symbol) Code() bool {
	return !s.Undefined() && (s.Type() == elf.STT_FUNC || s.Type() == elf.STT_GNU_IFUNC)
}

// livepatchIndex is the section index of symbols that the kernel resolves when
// it loads a live patch (Linux, include/uapi/linux/elf.h, SHN_LIVEPATCH).
const livepatchIndex = 0xff20

// Livepatch reports whether the kernel resolves s by a name in the form
// .klp.sym.OBJECT.NAME,POSITION.
func (s *Symbol) Livepatch() bool { return s.special && s.Section == livepatchIndex }

// Symbols returns the symbols of the table of type t (SHT_SYMTAB or
// SHT_DYNSYM), in order, with the empty one at 0; none where there is no table.
func (e *ELF) Symbols(t elf.SectionType) ([]Symbol, error) {
	i := e.table(t)
	if i < 0 {
		return nil, nil
	}
	size := e.layout().symbol
	s := &e.Sections[i]
	b, err := e.Bytes(s, maxSymbols*size)
	if err != nil {
		return nil, err
	}
	if uint64(len(b))%size != 0 {
		return nil, malformed("section "+s.Name, "%d bytes are no whole number of symbols of %d", len(b), size)
	}
	names, err := e.strings(s.Link)
	if err != nil {
		return nil, err
	}
	wide, err := e.wideIndexes(i, uint64(len(b))/size)
	if err != nil {
		return nil, err
	}
	list := make([]Symbol, 0, uint64(len(b))/size)
	for n := 0; len(b) > 0; b, n = b[size:], n+1 {
		sym, name := e.symbol(b[:size])
		if sym.special && sym.Section == uint32(elf.SHN_XINDEX) {
			if n >= len(wide) {
				return nil, malformed("section "+s.Name, "symbol %d has its section in a table that is not there", n)
			}
			sym.Section, sym.special = wide[n], false
		}
		if sym.Name, err = names.at(name); err != nil {
			return nil, malformed("section "+s.Name, "the name of symbol %d: %v", n, err)
		}
		list = append(list, sym)
	}
	return list, nil
}

// table returns the index of the one section of type t; -1: none.
func (e *ELF) table(t elf.SectionType) int {
	for i := range e.Sections {
		if e.Sections[i].Type == t {
			return i
		}
	}
	return -1
}

// wideIndexes returns the section indexes that do not fit the symbols of the
// table in section i.
func (e *ELF) wideIndexes(i int, count uint64) ([]uint32, error) {
	for n := range e.Sections {
		s := &e.Sections[n]
		if s.Type != elf.SHT_SYMTAB_SHNDX || s.Link != uint32(i) {
			continue
		}
		b, err := e.Bytes(s, 4*count)
		if err != nil {
			return nil, err
		}
		f := fields{e.Order(), b, false}
		list := make([]uint32, 0, len(b)/4)
		for len(f.b) >= 4 {
			list = append(list, f.word())
		}
		return list, nil
	}
	return nil, nil
}

func (e *ELF) symbol(b []byte) (s Symbol, name uint32) {
	f := fields{e.Order(), b, e.layout().wide}
	name = f.word()
	if f.wide {
		s.Info, s.Other, s.Section = f.byte(), f.byte(), uint32(f.half())
		s.Value, s.Size = f.long(), f.long()
	} else {
		s.Value, s.Size = uint64(f.word()), uint64(f.word())
		s.Info, s.Other, s.Section = f.byte(), f.byte(), uint32(f.half())
	}
	s.special = s.Section >= uint32(elf.SHN_LORESERVE)
	return s, name
}

// A Relocation is one entry of a relocation table.
type Relocation struct {
	Offset uint64
	Type   uint32
	Symbol uint32 // index in the symbol table
	Addend int64  // zero in tables without addends
}

// Relocations hands each entry of section s, a relocation table, to visit, in
// order, until that returns an error.
func (e *ELF) Relocations(s *Section, visit func(Relocation) error) error {
	place, l := "section "+s.Name, e.layout()
	size := 2 * l.natural
	if s.Type == elf.SHT_RELA {
		size += l.natural
	}
	if s.Size%size != 0 {
		return malformed(place, "%d bytes are no whole number of relocations of %d", s.Size, size)
	}
	const chunk = 24 << 10 // a multiple of every size there is
	for off := uint64(0); off < s.Size; off += chunk {
		b, err := take(e.r, place, s.Offset+off, min(chunk, s.Size-off), e.size)
		if err != nil {
			return err
		}
		for ; len(b) > 0; b = b[size:] {
			if err := visit(e.relocation(b[:size], s.Type == elf.SHT_RELA)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *ELF) relocation(b []byte, addend bool) Relocation {
	f := fields{e.Order(), b, e.layout().wide}
	r := Relocation{Offset: f.natural()}
	switch {
	case f.wide && e.Machine == elf.EM_MIPS: // a symbol, then four bytes, in any byte order
		r.Symbol, r.Type = f.word(), uint32(f.byte())<<24|uint32(f.byte())<<16|uint32(f.byte())<<8|uint32(f.byte())
	case f.wide:
		info := f.long()
		r.Symbol, r.Type = uint32(info>>32), uint32(info)
	default:
		info := f.word()
		r.Symbol, r.Type = info>>8, info&0xff
	}
	switch {
	case addend && f.wide:
		r.Addend = int64(f.long())
	case addend:
		r.Addend = int64(int32(f.word()))
	}
	return r
}

// Imports returns the names of what e takes from elsewhere, sorted: of its
// dynamic symbols, or of all where it has not been linked.
func (e *ELF) Imports() ([]string, error) {
	t := elf.SHT_DYNSYM
	if e.Type == elf.ET_REL {
		t = elf.SHT_SYMTAB
	}
	symbols, err := e.Symbols(t)
	if err != nil {
		return nil, err
	}
	return imports(symbols), nil
}
