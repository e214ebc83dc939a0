package object

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"hash"
	"io"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

// What canonical forms begin with: name and version.
const (
	form       = "patchfit/elf/1"
	kpatchForm = "patchfit/kpatch/1"
)

// canon writes the canonical form of an ELF file. docs/spec/digests.md.
type canon struct {
	*ELF
	image   io.ReaderAt // the file with the bytes that do not count zero
	out     hash.Hash
	left    uint64 // bytes of content that may still be written
	kept    []*Section
	place   []uint64 // by section index: 1 and up among kept, 0: does not count
	symtab  int      // section index; -1: none
	symbols [][sha256.Size]byte
	strip   []bool // by symbol: does not count
}

// digest returns the sha256 of the canonical form, with the bytes of blank
// zero.
func (e *ELF) digest(blank []span) (attest.Digest, error) {
	c := &canon{
		ELF: e, image: blanked{e.r, blank}, out: sha256.New(), left: maxTimes * e.size,
		place: make([]uint64, len(e.Sections)), symtab: e.table(elf.SHT_SYMTAB),
	}
	if err := c.keep(); err != nil {
		return "", err
	}
	if err := c.readSymbols(); err != nil {
		return "", err
	}
	c.header()
	if err := c.segments(); err != nil {
		return "", err
	}
	if err := c.sections(); err != nil {
		return "", err
	}
	c.symbolTable()
	return attest.DigestFromSum(c.out.Sum(nil)), nil
}

// debugNames are what the names of sections begin with that tell a debugger
// about the program, or a reader about its build, and are never loaded.
var debugNames = [...]string{".debug", ".zdebug", ".gnu.debuglto_", ".gnu_debug", ".gnu.linkonce.wi.", ".stab", ".line", ".gdb_index", ".GCC.command.line"}

// counts reports whether a section by itself counts. What is loaded counts
// whatever its name is.
func counts(s *Section) bool {
	switch {
	case s.Type == elf.SHT_NULL:
		return false
	case s.Flags&elf.SHF_ALLOC != 0:
		return true
	}
	switch s.Type {
	case elf.SHT_SYMTAB, elf.SHT_STRTAB, elf.SHT_SYMTAB_SHNDX, shtLLVMAddrsig, elf.SHT_GROUP:
		return false // written in another form, or only a hint
	}
	for _, prefix := range debugNames {
		if strings.HasPrefix(s.Name, prefix) {
			return false
		}
	}
	return true
}

const shtLLVMAddrsig = elf.SectionType(0x6fff4c03) // symbols whose address is taken, for a linker

func isRelocation(s *Section) bool { return s.Type == elf.SHT_REL || s.Type == elf.SHT_RELA }

// keep finds the sections that count: relocations do where their target does.
func (c *canon) keep() error {
	for i := range c.Sections {
		s := &c.Sections[i]
		if !counts(s) {
			continue
		}
		if isRelocation(s) && s.Flags&elf.SHF_ALLOC == 0 && s.Info != 0 {
			if uint64(s.Info) >= uint64(len(c.Sections)) {
				return malformed("section "+s.Name, "relocates section %d of %d", s.Info, len(c.Sections))
			}
			if !counts(&c.Sections[s.Info]) {
				continue
			}
		}
		c.kept = append(c.kept, s)
		c.place[i] = uint64(len(c.kept))
	}
	return nil
}

// number, text and content are all that a canonical form consists of.
func (c *canon) number(list ...uint64) {
	var b [8]byte
	for _, n := range list {
		binary.BigEndian.PutUint64(b[:], n)
		c.out.Write(b[:])
	}
}

func (c *canon) text(s string) {
	c.number(uint64(len(s)))
	io.WriteString(c.out, s)
}

func (c *canon) content(place string, off, n uint64) error {
	if off > c.size || n > c.size-off {
		return malformed(place, "%d bytes at %d are outside the file of %d", n, off, c.size)
	}
	if err := c.spend(place, n); err != nil {
		return err
	}
	c.number(n)
	_, err := io.Copy(c.out, io.NewSectionReader(c.image, int64(off), int64(n)))
	return err
}

// spend accounts for n bytes of content.
func (c *canon) spend(place string, n uint64) error {
	if n > c.left {
		return malformed(place, "parts of the file overlap: together they have more than %d times its size", maxTimes)
	}
	c.left -= n
	return nil
}

func (c *canon) header() {
	c.text(form)
	c.number(uint64(c.Class), uint64(c.Data), uint64(c.OSABI), uint64(c.ABIVersion),
		uint64(c.Type), uint64(c.Machine), c.Entry, uint64(c.Flags))
}

func (c *canon) segments() error {
	c.number(uint64(len(c.Segments)))
	for _, s := range c.Segments {
		c.number(uint64(s.Type), uint64(s.Flags), s.Vaddr, s.Paddr, s.Memsz, s.Align)
		if err := c.content("segment", s.Offset, s.Filesz); err != nil {
			return err
		}
	}
	return nil
}

func (c *canon) sections() error {
	c.number(uint64(len(c.kept)))
	for _, k := range c.kept {
		c.text(k.Name)
		c.number(uint64(k.Type), uint64(k.Flags&^elf.SHF_INFO_LINK), k.Addr, k.Align)
		if err := c.body(k); err != nil {
			return err
		}
	}
	return nil
}

func (c *canon) body(k *Section) error {
	switch {
	case isRelocation(k) && c.symtab > 0 && k.Link == uint32(c.symtab):
		return c.relocations(k)
	case k.Type == elf.SHT_NOBITS:
		c.number(k.Size)
		return nil
	}
	return c.content("section "+k.Name, k.Offset, k.Size)
}

// relocations are written with what they refer to, not its number: that
// changes with every debug section.
func (c *canon) relocations(k *Section) error {
	if err := c.spend("section "+k.Name, k.Size); err != nil {
		return err
	}
	target := uint64(k.Info)
	if target < uint64(len(c.place)) {
		target = c.place[target]
	}
	c.number(target, k.Size)
	return c.Relocations(k, func(r Relocation) error {
		if uint64(r.Symbol) >= uint64(len(c.symbols)) {
			return malformed("section "+k.Name, "refers to symbol %d of %d", r.Symbol, len(c.symbols))
		}
		c.number(r.Offset, uint64(r.Type), uint64(r.Addend))
		c.out.Write(c.symbols[r.Symbol][:])
		return nil
	})
}
