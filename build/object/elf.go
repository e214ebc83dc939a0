package object

import (
	"debug/elf"
	"encoding/binary"
	"io"
)

// An Ident is what the first bytes of an ELF file say: enough to tell whether
// it could ever run beside another one.
type Ident struct {
	Class      elf.Class
	Data       elf.Data // byte order
	OSABI      elf.OSABI
	ABIVersion uint8
	Machine    elf.Machine
}

// ReadIdent returns the ident of the ELF file r, and whether it is one.
func ReadIdent(r io.ReaderAt) (Ident, bool) {
	var b [elf.EI_NIDENT + 4]byte
	if n, _ := r.ReadAt(b[:], 0); n < len(b) || string(b[:4]) != elf.ELFMAG {
		return Ident{}, false
	}
	id := Ident{Class: elf.Class(b[elf.EI_CLASS]), Data: elf.Data(b[elf.EI_DATA]), OSABI: elf.OSABI(b[elf.EI_OSABI]), ABIVersion: b[elf.EI_ABIVERSION]}
	id.Machine = elf.Machine(id.Order().Uint16(b[elf.EI_NIDENT+2:]))
	return id, true
}

// Order returns the byte order of the file; little endian where it names none.
func (i Ident) Order() binary.ByteOrder {
	if i.Data == elf.ELFDATA2MSB {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// An ELF is an ELF file whose headers have been read.
type ELF struct {
	Ident
	Type     elf.Type
	Entry    uint64
	Flags    uint32
	Sections []Section
	Segments []Segment

	Signature *Signature // appended to a module; nil: none

	r     io.ReaderAt
	size  uint64 // without the signature
	spots []span // bytes of the header that say where section headers are
}

// A Section is one section header.
type Section struct {
	Name   string
	Type   elf.SectionType
	Flags  elf.SectionFlag
	Addr   uint64
	Offset uint64
	Size   uint64
	Link   uint32
	Info   uint32
	Align  uint64
	Entry  uint64 // size of an entry
	name   uint32
}

// A Segment is one program header.
type Segment struct {
	Type           elf.ProgType
	Flags          elf.ProgFlag
	Offset, Filesz uint64
	Vaddr, Paddr   uint64
	Memsz, Align   uint64
}

// span is from its first byte to the one after its last.
type span struct{ from, to uint64 }

// Open reads the headers of the ELF file r of size bytes.
func Open(r io.ReaderAt, size int64) (*ELF, error) {
	if size < 0 || size > MaxFile {
		return nil, malformed("file", "%d bytes, want at most %d", size, MaxFile)
	}
	e := &ELF{r: r, size: uint64(size)}
	sig, err := readSignature(r, size)
	if err != nil {
		return nil, err
	}
	if sig != nil {
		e.Signature, e.size = sig, uint64(sig.Offset)
	}
	id, ok := ReadIdent(r)
	switch {
	case !ok:
		return nil, malformed("header", "not an ELF file")
	case id.Class != elf.ELFCLASS32 && id.Class != elf.ELFCLASS64:
		return nil, malformed("header", "class %d, want 1 (32 bits) or 2 (64 bits)", id.Class)
	case id.Data != elf.ELFDATA2LSB && id.Data != elf.ELFDATA2MSB:
		return nil, malformed("header", "byte order %d, want 1 (little endian) or 2 (big endian)", id.Data)
	}
	e.Ident = id
	return e, e.headers()
}

// headers reads the file header, and what it says where to find.
func (e *ELF) headers() error {
	l := e.layout()
	b, err := take(e.r, "header", 0, l.header, e.size)
	if err != nil {
		return err
	}
	f := fields{e.Order(), b[elf.EI_NIDENT:], l.wide}
	e.Type = elf.Type(f.half())
	f.half() // the machine, already known
	if v := f.word(); v != uint32(elf.EV_CURRENT) {
		return malformed("header", "version %d, want 1", v)
	}
	e.Entry = f.natural()
	phoff, shoff := f.natural(), f.natural()
	e.spots = []span{{l.shoff, l.shoff + l.natural}, {l.header - 4, l.header}}
	e.Flags = f.word()
	if ehsize := f.half(); uint64(ehsize) < l.header {
		return malformed("header", "%d bytes, want %d", ehsize, l.header)
	}
	phentsize, phnum := f.half(), uint64(f.half())
	shentsize, shnum, names := f.half(), uint64(f.half()), uint32(f.half())
	if shnum == 0 && shoff > 0 || phnum == 0xffff || names == uint32(elf.SHN_XINDEX) {
		if shnum, phnum, names, err = e.extended(shoff, shnum, phnum, names); err != nil {
			return err
		}
	}
	if err := e.segments(phoff, phnum, uint64(phentsize)); err != nil {
		return err
	}
	return e.sections(shoff, shnum, uint64(shentsize), names)
}

// extended reads the numbers that do not fit the header, from the section
// header 0 (System V ABI, "Section Header Table Index 0").
func (e *ELF) extended(shoff, shnum, phnum uint64, names uint32) (sections, segments uint64, strings uint32, err error) {
	b, err := take(e.r, "section header 0", shoff, e.layout().section, e.size)
	if err != nil {
		return 0, 0, 0, err
	}
	s := e.section(b)
	if shnum == 0 {
		shnum = s.Size
	}
	if phnum == 0xffff {
		phnum = uint64(s.Info)
	}
	if names == uint32(elf.SHN_XINDEX) {
		names = s.Link
	}
	return shnum, phnum, names, nil
}

func (e *ELF) segments(off, n, entry uint64) error {
	size := e.layout().segment
	switch {
	case n == 0:
		return nil
	case n > maxSegments:
		return malformed("header", "%d program headers, want at most %d", n, maxSegments)
	case entry != size:
		return malformed("header", "program headers of %d bytes, want %d", entry, size)
	}
	b, err := take(e.r, "program headers", off, n*size, e.size)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[size:] {
		e.Segments = append(e.Segments, e.segment(b[:size]))
	}
	return nil
}

func (e *ELF) sections(off, n, entry uint64, names uint32) error {
	size := e.layout().section
	switch {
	case off == 0 || n == 0:
		return nil
	case n > maxSections:
		return malformed("header", "%d section headers, want at most %d", n, maxSections)
	case entry != size:
		return malformed("header", "section headers of %d bytes, want %d", entry, size)
	case uint64(names) >= n:
		return malformed("header", "section names are in section %d of %d", names, n)
	}
	b, err := take(e.r, "section headers", off, n*size, e.size)
	if err != nil {
		return err
	}
	for ; len(b) > 0; b = b[size:] {
		e.Sections = append(e.Sections, e.section(b[:size]))
	}
	return e.nameSections(names)
}

func (e *ELF) nameSections(table uint32) error {
	if table == 0 {
		return nil // none has a name
	}
	strings, err := e.strings(table)
	if err != nil {
		return err
	}
	for i := range e.Sections {
		if e.Sections[i].Name, err = strings.at(e.Sections[i].name); err != nil {
			return malformed(sectionPlace(i), "its name: %v", err)
		}
	}
	return nil
}

// Section returns the first section with this name; nil: none.
func (e *ELF) Section(name string) *Section {
	for i := range e.Sections {
		if s := &e.Sections[i]; s.Name == name && s.Type != elf.SHT_NULL {
			return s
		}
	}
	return nil
}

// Bytes returns the bytes of s, at most limit of them; none where s takes no
// room in the file.
func (e *ELF) Bytes(s *Section, limit uint64) ([]byte, error) {
	place := "section " + s.Name
	switch {
	case s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL:
		return nil, nil
	case s.Size > limit:
		return nil, malformed(place, "%d bytes, want at most %d", s.Size, limit)
	}
	return take(e.r, place, s.Offset, s.Size, e.size)
}
