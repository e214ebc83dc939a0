package host

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/patchfit/patchfit/attest"
)

// Limits of what is measured, in bytes.
const (
	maxMeasured = 4 << 30
	maxNote     = 64 << 10
)

const bootIDFile = "/proc/sys/kernel/random/boot_id"

// Measure takes the measurement of the ELF file at path: the sha256 of its
// bytes and its GNU build-id (docs/spec/base.md). It reads the file once; a
// file that changes meanwhile is an error.
func Measure(path string) (attest.Measurement, error) {
	m, err := measure(path)
	if err != nil {
		return attest.Measurement{}, fmt.Errorf("measuring %s: %w", path, err)
	}
	return m, nil
}

func measure(path string) (m attest.Measurement, err error) {
	// Without O_NONBLOCK a named pipe would keep us waiting for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return m, reason(err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return m, reason(err)
	}
	if !before.Mode().IsRegular() || before.Size() > maxMeasured {
		return m, fmt.Errorf("not a regular file of at most %d bytes", maxMeasured)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return m, reason(err)
	}
	id, err := buildID(f)
	if err != nil {
		return m, err
	}
	if after, err := f.Stat(); err != nil || !same(before, after) {
		return m, errors.New("the file changed while it was being read")
	}
	return attest.Measurement{Kind: attest.MeasureELFFile, Digest: attest.DigestFromSum(sum.Sum(nil)), BuildID: id}, nil
}

// reason is err without the path, which Measure says.
func reason(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// same reports whether nothing was written between two looks at a file.
func same(a, b fs.FileInfo) bool {
	sa, oka := a.Sys().(*syscall.Stat_t)
	sb, okb := b.Sys().(*syscall.Stat_t)
	return oka && okb && a.Size() == b.Size() && sa.Mtim == sb.Mtim && sa.Ctim == sb.Ctim
}

// buildID returns the one GNU build-id of an ELF file, in lower-case hex. It
// is read from what is loaded (program headers), as tools on a live system do.
func buildID(r io.ReaderAt) (string, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return "", fmt.Errorf("not an ELF file: %w", err)
	}
	var found []byte
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes := make([]byte, min(p.Filesz, maxNote))
		if _, err := p.ReadAt(notes, 0); err != nil {
			return "", fmt.Errorf("reading its notes: %w", err)
		}
		id := gnuBuildID(notes, f.ByteOrder, p.Align)
		if found != nil && id != nil && !bytes.Equal(found, id) {
			return "", errors.New("it has two GNU build-ids")
		}
		if id != nil {
			found = id
		}
	}
	if found == nil {
		return "", errors.New("it has no GNU build-id: link it with --build-id=sha1")
	}
	return hex.EncodeToString(found), nil
}

const ntGNUBuildID = 3 // elf.h: NT_GNU_BUILD_ID

// gnuBuildID returns the build-id in a note segment; nil where it has none.
func gnuBuildID(notes []byte, order interface{ Uint32([]byte) uint32 }, align uint64) []byte {
	pad := uint64(4)
	if align == 8 {
		pad = 8
	}
	for len(notes) >= 12 {
		nameSize, descSize, kind := uint64(order.Uint32(notes)), uint64(order.Uint32(notes[4:])), order.Uint32(notes[8:])
		desc := roundUp(12+nameSize, pad)
		if desc+descSize > uint64(len(notes)) {
			return nil
		}
		if name := notes[12 : 12+nameSize]; kind == ntGNUBuildID && string(name) == "GNU\x00" && descSize > 0 {
			return notes[desc : desc+descSize]
		}
		notes = notes[min(roundUp(desc+descSize, pad), uint64(len(notes))):]
	}
	return nil
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }

// bootID returns the kernel's name for this boot.
func bootID() (string, error) {
	b, err := os.ReadFile(bootIDFile)
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// target returns what machine this is, as the ELF header of this very program
// says: it runs here.
func target() (attest.Target, error) {
	t, err := targetAt("/proc/self/exe")
	if err != nil {
		return t, fmt.Errorf("reading this program's ELF header: %w", err)
	}
	return t, nil
}

// machineFor is the target in a record about bases. The kernel runs libraries
// of either ABI, sysv or gnu: the machine has the ABI of its bases where they
// all have one.
func machineFor(bases []Base) (attest.Target, error) {
	machine, err := target()
	if err != nil {
		return machine, err
	}
	abi := ""
	for _, b := range bases {
		t, err := targetAt(b.Path)
		if err != nil {
			return machine, fmt.Errorf("measuring %s: %w", b.Path, err)
		}
		if abi != "" && t.ABI != abi {
			return machine, nil
		}
		abi = t.ABI
	}
	machine.ABI = abi
	return machine, nil
}

func targetAt(path string) (attest.Target, error) {
	f, err := elf.Open(path)
	if err != nil {
		return attest.Target{}, reason(err)
	}
	defer f.Close()
	return targetOf(&f.FileHeader)
}

func targetOf(h *elf.FileHeader) (attest.Target, error) {
	t := attest.Target{Architecture: strings.ToLower(strings.TrimPrefix(h.Machine.String(), "EM_"))}
	switch h.Class {
	case elf.ELFCLASS32:
		t.WordSize = 32
	case elf.ELFCLASS64:
		t.WordSize = 64
	default:
		return t, fmt.Errorf("ELF class %v is neither 32 nor 64 bit", h.Class)
	}
	switch h.Data {
	case elf.ELFDATA2LSB:
		t.ByteOrder = "little"
	case elf.ELFDATA2MSB:
		t.ByteOrder = "big"
	default:
		return t, fmt.Errorf("ELF byte order %v is neither little nor big", h.Data)
	}
	switch h.OSABI {
	case elf.ELFOSABI_NONE:
		t.ABI = "sysv"
	case elf.ELFOSABI_LINUX:
		t.ABI = "gnu"
	default:
		return t, fmt.Errorf("ELF OS ABI %v is neither sysv nor gnu", h.OSABI)
	}
	return t, nil
}
