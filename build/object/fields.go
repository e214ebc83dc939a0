package object

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

func sectionPlace(i int) string { return fmt.Sprintf("section header %d", i) }

// layout is how large things are in a class of ELF files.
type layout struct {
	wide    bool   // 64 bits
	natural uint64 // size of an address
	header  uint64
	segment uint64
	section uint64
	symbol  uint64
	shoff   uint64 // where the header says where section headers begin
}

func (e *ELF) layout() layout {
	if e.Class == elf.ELFCLASS64 {
		return layout{true, 8, 64, 56, 64, 24, 40}
	}
	return layout{false, 4, 52, 32, 40, 16, 32}
}

// fields reads one field after the other of bytes that are long enough.
type fields struct {
	order binary.ByteOrder
	b     []byte
	wide  bool
}

func (f *fields) byte() uint8 {
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *fields) half() uint16 {
	v := f.order.Uint16(f.b)
	f.b = f.b[2:]
	return v
}

func (f *fields) word() uint32 {
	v := f.order.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

func (f *fields) long() uint64 {
	v := f.order.Uint64(f.b)
	f.b = f.b[8:]
	return v
}

// natural reads a field as large as an address.
func (f *fields) natural() uint64 {
	if f.wide {
		return f.long()
	}
	return uint64(f.word())
}

func (e *ELF) section(b []byte) Section {
	f := fields{e.Order(), b, e.layout().wide}
	return Section{
		name:   f.word(),
		Type:   elf.SectionType(f.word()),
		Flags:  elf.SectionFlag(f.natural()),
		Addr:   f.natural(),
		Offset: f.natural(),
		Size:   f.natural(),
		Link:   f.word(),
		Info:   f.word(),
		Align:  f.natural(),
		Entry:  f.natural(),
	}
}

func (e *ELF) segment(b []byte) Segment {
	f := fields{e.Order(), b, e.layout().wide}
	s := Segment{Type: elf.ProgType(f.word())}
	if f.wide {
		s.Flags = elf.ProgFlag(f.word())
	}
	s.Offset, s.Vaddr, s.Paddr = f.natural(), f.natural(), f.natural()
	s.Filesz, s.Memsz = f.natural(), f.natural()
	if !f.wide {
		s.Flags = elf.ProgFlag(f.word())
	}
	s.Align = f.natural()
	return s
}

// A nameTable is a string table of an ELF file, and how many more bytes of
// names may be read from it: a table of which every name is a whole file would
// take for ever.
type nameTable struct {
	all  string
	left int
}

func (e *ELF) strings(section uint32) (*nameTable, error) {
	if uint64(section) >= uint64(len(e.Sections)) {
		return nil, malformed("header", "a string table in section %d of %d", section, len(e.Sections))
	}
	s := &e.Sections[section]
	if s.Type != elf.SHT_STRTAB {
		return nil, malformed(sectionPlace(int(section)), "type %d, want a string table", s.Type)
	}
	b, err := e.Bytes(s, maxStrings)
	if err != nil {
		return nil, err
	}
	return &nameTable{string(b), maxNames}, nil
}

func (t *nameTable) at(off uint32) (string, error) {
	if off == 0 {
		return "", nil
	}
	if uint64(off) >= uint64(len(t.all)) {
		return "", fmt.Errorf("it is at %d of %d bytes of names", off, len(t.all))
	}
	rest := t.all[off:min(uint64(len(t.all)), uint64(off)+maxName)]
	n := strings.IndexByte(rest, 0)
	if n < 0 {
		return "", fmt.Errorf("it does not end within %d bytes", len(rest))
	}
	if t.left -= n + 1; t.left < 0 {
		return "", fmt.Errorf("all names together have more than %d bytes", maxNames)
	}
	return rest[:n], nil
}

// blanked reads r with the bytes of some spans zero.
type blanked struct {
	r     io.ReaderAt
	spans []span
}

func (b blanked) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.r.ReadAt(p, off)
	from, to := uint64(off), uint64(off)+uint64(n)
	for _, s := range b.spans {
		if lo, hi := max(s.from, from), min(s.to, to); lo < hi {
			clear(p[lo-from : hi-from])
		}
	}
	return n, err
}
