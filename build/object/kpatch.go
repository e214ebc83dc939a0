package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// KpatchMagic begins the file of a libcare patch, and of a KernelCare one.
const KpatchMagic = "KPATCH1\x00"

// KpatchHeader is the size of their header (libcare, src/kpatch_file.h, struct
// kpatch_file).
const KpatchHeader = 688

const maxKpatchHead = 64 << 20 // bytes before the content: header and relocations

// A Kpatch is the header of a libcare or KernelCare patch.
type Kpatch struct {
	Flags      uint8
	Safety     uint8
	Module     string // what it is for: the name of a file, or vmlinux
	Target     string // hex build-id of that, or the text of /proc/version
	Built      time.Time
	Checksum   uint32
	Relocs     uint32
	Content    uint32 // where its ELF file begins
	Total      uint32 // size of the file
	SrcVersion string
	Functions  []string // what it replaces, sorted; nil where the content does not tell
	builtAt    span
}

// IsKpatch reports whether r begins as a libcare patch.
func IsKpatch(r io.ReaderAt) bool {
	var b [len(KpatchMagic)]byte
	n, _ := r.ReadAt(b[:], 0)
	return n == len(b) && string(b[:]) == KpatchMagic
}

// ReadKpatch returns the header of a libcare patch of size bytes and the
// functions that its content names. Numbers are in the byte order in which
// they make sense: the header does not say which.
func ReadKpatch(r io.ReaderAt, size int64) (*Kpatch, error) {
	if size < 0 || size > MaxFile {
		return nil, malformed("file", "%d bytes, want at most %d", size, MaxFile)
	}
	b, err := take(r, "header", 0, KpatchHeader, uint64(size))
	if err != nil {
		return nil, err
	}
	if string(b[:8]) != KpatchMagic {
		return nil, malformed("header", "begins %q, want %q", b[:8], KpatchMagic)
	}
	k := parseKpatch(b, binary.LittleEndian)
	if int64(k.Total) != size {
		k = parseKpatch(b, binary.BigEndian)
	}
	switch {
	case int64(k.Total) != size:
		return nil, malformed("header", "says that the file has %d bytes, it has %d", binary.LittleEndian.Uint32(b[0x168:]), size)
	case k.Content < KpatchHeader || k.Content > min(k.Total, maxKpatchHead):
		return nil, malformed("header", "content at %d, want between %d and %d", k.Content, KpatchHeader, min(k.Total, maxKpatchHead))
	}
	content := k.Body(r, size)
	if e, err := Open(content, content.Size()); err == nil {
		k.Functions, err = kpatchFunctions(e)
		return k, err
	}
	return k, nil
}

// Body returns the content of the patch, which is in the file r of size bytes.
func (k *Kpatch) Body(r io.ReaderAt, size int64) *io.SectionReader {
	return io.NewSectionReader(r, int64(k.Content), max(0, size-int64(k.Content)))
}

func parseKpatch(b []byte, order binary.ByteOrder) *Kpatch {
	f := fields{order, b[8:], true}
	k := &Kpatch{Flags: f.byte(), Safety: f.byte()}
	k.Module, k.Target = untilZero(b[0x10:0x50]), untilZero(b[0x50:0x150])
	f.b = b[0x150:]
	k.builtAt = span{0x150, 0x158}
	k.Built = time.Unix(int64(f.long()&(1<<40-1)), 0).UTC()
	k.Checksum, k.Relocs = f.word(), f.word()
	k.Content = f.word()
	f.word() // where relocations of kernel patches are
	k.Total = f.word()
	k.SrcVersion = untilZero(b[0x1b0 : 0x1b0+25])
	return k
}

// kpatchFunctions reads the entries of .kpatch.info: addresses of old and new
// function, their lengths, a name, an address, flags. What replaces nothing
// has no old address.
func kpatchFunctions(e *ELF) ([]string, error) {
	i := slices.IndexFunc(e.Sections, func(s Section) bool { return s.Name == ".kpatch.info" })
	if i < 0 || e.layout().natural != 8 {
		return nil, nil
	}
	symbols, err := e.Symbols(elf.SHT_SYMTAB)
	if err != nil {
		return nil, err
	}
	m := newMemory(e, symbols)
	m.look(uint32(i))
	list := []string{}
	for off := uint64(0); off+48 <= e.Sections[i].Size && len(list) < maxFunctions; off += 48 {
		_, _, old := m.pointer(spot{uint32(i), off})
		if name, ok := m.text(spot{uint32(i), off + 24}); ok && old {
			list = append(list, strings.TrimSuffix(name, ".kpatch"))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), m.err
}

// kpatchDigests adds the digests of a libcare patch: its header, in which the
// time of its build does not count as code, and its content by itself.
func kpatchDigests(r io.ReaderAt, size int64, d *Digests) error {
	k, err := ReadKpatch(r, size)
	if err != nil {
		return err
	}
	content := k.Body(r, size)
	inner, err := DigestsOf(content, content.Size())
	if err != nil {
		return fmt.Errorf("content: %w", err)
	}
	head, err := take(r, "header", 0, uint64(k.Content), uint64(size))
	if err != nil {
		return err
	}
	whole := bytes.Clone(head)
	clear(whole[k.builtAt.from:k.builtAt.to])
	d.WithoutDebug = formOf(kpatchForm, head, inner.WithoutDebug.Sum())
	d.Code = formOf(kpatchForm, whole, inner.Code.Sum())
	return nil
}
