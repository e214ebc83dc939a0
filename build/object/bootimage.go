package object

import (
	"debug/elf"
	"io"
	"strings"
)

// Where things are in the header of a bzImage (Linux,
// Documentation/arch/x86/boot.rst).
const (
	bootMagicAt   = 0x202
	bootMagic     = "HdrS"
	bootVersionAt = 0x206
	bootNameAt    = 0x20e // offset, less 0x200, of the kernel's name
	bootFlagsAt   = 0x236 // from version 2.12 on
	bootHeader    = 0x238
	bootWide      = 1 // of the flags: it has a 64-bit entry point
	maxBootName   = 1024
)

// A BootImage is a kernel as x86 machines boot it. What is in it is packed;
// its header says a little.
type BootImage struct {
	Ident   Ident
	Release string // as uname -r; "" where it does not say
	Banner  string // the whole name, with builder and version
}

// ReadBootImage returns what the header of the bzImage r says; nil where it is
// none.
func ReadBootImage(r io.ReaderAt) *BootImage {
	b := make([]byte, bootHeader)
	if n, _ := r.ReadAt(b, 0); n < len(b) || string(b[bootMagicAt:bootMagicAt+4]) != bootMagic {
		return nil
	}
	i := &BootImage{Ident: Ident{Class: elf.ELFCLASS32, Data: elf.ELFDATA2LSB, Machine: elf.EM_386}}
	order := i.Ident.Order()
	if order.Uint16(b[bootVersionAt:]) >= 0x20c && order.Uint16(b[bootFlagsAt:])&bootWide != 0 {
		i.Ident.Class, i.Ident.Machine = elf.ELFCLASS64, elf.EM_X86_64
	}
	if at := order.Uint16(b[bootNameAt:]); at != 0 {
		name := make([]byte, maxBootName)
		n, _ := r.ReadAt(name, int64(at)+0x200)
		i.Banner = untilZero(name[:n])
		i.Release, _, _ = strings.Cut(i.Banner, " ")
	}
	return i
}
