// Package objecttest writes ELF files for tests: of either class and byte
// order, with the sections, symbols and relocations that a test asks for, so
// that no file of a distribution has to be kept.
package objecttest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// A File is an ELF file in the making. The zero Class, Order and Machine are
// 64 bits, little endian, x86-64; the zero Type is an object to be linked.
type File struct {
	Class    elf.Class
	Order    binary.ByteOrder
	Type     elf.Type
	Machine  elf.Machine
	Sections []Section
	Symbols  []Symbol // local ones first
	Dynamic  bool     // the symbols are dynamic ones, too
}

// A Section has a name and bytes, and maybe relocations.
type Section struct {
	Name        string
	Type        elf.SectionType // zero: SHT_PROGBITS
	Flags       elf.SectionFlag
	Align       uint64 // zero: 1
	Data        []byte
	Relocations []Relocation
}

// Places of symbols that are in no section.
const (
	Absolute       = "*ABS*"
	KernelResolved = "*KLP*"
)

// A Symbol is in a section by name; "" is undefined.
type Symbol struct {
	Name    string
	Bind    elf.SymBind
	Type    elf.SymType
	Section string
	Value   uint64
	Size    uint64
}

// A Relocation refers to a symbol by its name, or to that of a section by the
// section's name.
type Relocation struct {
	Offset uint64
	Type   uint32
	Symbol string
	Addend int64
}

// Both are the byte orders there are, by name.
func Both() map[string]binary.ByteOrder {
	return map[string]binary.ByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian}
}

// Word returns n as an address of the file.
func (f *File) Word(n uint64) []byte {
	if f.wide() {
		return f.order().AppendUint64(nil, n)
	}
	return f.order().AppendUint32(nil, uint32(n))
}

// Note returns a note.
func (f *File) Note(name string, typ uint32, desc []byte) []byte {
	b := f.order().AppendUint32(nil, uint32(len(name)+1))
	b = f.order().AppendUint32(b, uint32(len(desc)))
	b = f.order().AppendUint32(b, typ)
	b = pad(append(append(b, name...), 0), 4)
	return pad(append(b, desc...), 4)
}

// Signed returns module with a signature appended as the kernel's sign-file
// does.
func Signed(module, signature []byte) []byte {
	head := make([]byte, 12)
	head[2] = 2 // PKCS#7
	binary.BigEndian.PutUint32(head[8:], uint32(len(signature)))
	return bytes.Join([][]byte{module, signature, head, []byte("~Module signature appended~\n")}, nil)
}

func (f *File) wide() bool { return f.Class != elf.ELFCLASS32 }

type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func (f *File) order() order {
	if f.Order == binary.ByteOrder(binary.BigEndian) {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}
