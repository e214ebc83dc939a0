package build

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/object"
)

// Facts are what an ELF file says of itself, and the digests of its bytes.
type Facts struct {
	File   attest.File
	Target attest.Target
	Type   elf.Type
	// Kernel: it is a Linux kernel, which exports symbols to modules.
	Kernel bool
	Soname string // "" where it has none
	// Interpreter is the dynamic loader that a program asks for; "" where none is.
	Interpreter string
	BuildID     string   // GNU build-id in lower-case hex; "" where it has none
	Needed      []string // sonames of the libraries it needs, in order
	Functions   []string // exported functions, sorted
	Imports     []string // undefined symbols, sorted
	Digests     object.Digests
}

const (
	maxELF         = 1 << 30
	maxInterpreter = 4096
)

// ReadELF returns the facts about the ELF file at path.
func ReadELF(path string) (*Facts, error) {
	b, err := readWhole(path, maxELF)
	if err != nil {
		return nil, err
	}
	f, err := ParseELF(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func readWhole(path string, limit int64) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes exceed the limit of %d", path, size, limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than the limit of %d bytes", path, limit)
	}
	return b, err
}

// openRegular opens what a build left behind, if it is a regular file: opening a
// pipe would wait for whoever writes to it, and nobody does any more.
func openRegular(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// ParseELF returns the facts about the ELF file that b is.
func ParseELF(b []byte) (*Facts, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("not a readable ELF file: %w", err)
	}
	facts := &Facts{
		Target: target(f.FileHeader),
		Type:   f.Type,
		Kernel: f.Type == elf.ET_EXEC && f.Section("__ksymtab") != nil,
	}
	if facts.Digests, err = object.DigestsOf(bytes.NewReader(b), int64(len(b))); err != nil {
		return nil, err
	}
	facts.File = attest.File{Digest: facts.Digests.File, Size: int64(len(b))}
	if facts.BuildID, err = buildID(f); err != nil {
		return nil, err
	}
	if err := facts.dynamic(f); err != nil {
		return nil, err
	}
	return facts, facts.symbols(f)
}

// target says what machine a file is for, in the words of its header.
func target(h elf.FileHeader) attest.Target {
	t := attest.Target{
		Architecture: strings.ToLower(strings.TrimPrefix(h.Machine.String(), "EM_")),
		ByteOrder:    "little",
		WordSize:     64,
		ABI:          strings.ToLower(strings.TrimPrefix(h.OSABI.String(), "ELFOSABI_")),
	}
	if h.Data == elf.ELFDATA2MSB {
		t.ByteOrder = "big"
	}
	if h.Class == elf.ELFCLASS32 {
		t.WordSize = 32
	}
	switch h.OSABI {
	case elf.ELFOSABI_NONE:
		t.ABI = "sysv"
	case elf.ELFOSABI_LINUX:
		t.ABI = "gnu"
	}
	return t
}

func (f *Facts) dynamic(e *elf.File) error {
	names, err := e.DynString(elf.DT_SONAME)
	if err == nil {
		f.Needed, err = e.DynString(elf.DT_NEEDED)
	}
	if err != nil {
		return fmt.Errorf("reading the dynamic section: %w", err)
	}
	if len(names) > 0 {
		f.Soname = names[0]
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz <= maxInterpreter {
			b, err := io.ReadAll(p.Open())
			if err != nil {
				return fmt.Errorf("reading the name of the interpreter: %w", err)
			}
			f.Interpreter = strings.TrimRight(string(b), "\x00")
		}
	}
	return nil
}

// symbols reads the dynamic symbols, or all of them in an object that has not
// been linked.
func (f *Facts) symbols(e *elf.File) error {
	read := e.DynamicSymbols
	if e.Type == elf.ET_REL {
		read = e.Symbols
	}
	list, err := read()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("reading the symbols: %w", err)
	}
	f.Functions, f.Imports = []string{}, []string{}
	for _, s := range list {
		bind := elf.ST_BIND(s.Info)
		switch {
		case s.Name == "" || bind == elf.STB_LOCAL:
		case s.Section == elf.SHN_UNDEF:
			f.Imports = append(f.Imports, s.Name)
		case elf.ST_TYPE(s.Info) == elf.STT_FUNC || elf.ST_TYPE(s.Info) == elf.STT_GNU_IFUNC:
			f.Functions = append(f.Functions, s.Name)
		}
	}
	slices.Sort(f.Functions)
	slices.Sort(f.Imports)
	f.Functions, f.Imports = slices.Compact(f.Functions), slices.Compact(f.Imports)
	return nil
}

// noteGNUBuildID is the type of the note that holds a build-id.
const noteGNUBuildID = 3

// buildID returns the GNU build-id in hex, "" where the file has none.
func buildID(f *elf.File) (string, error) {
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOTE {
			continue
		}
		b, err := s.Data()
		if err != nil {
			return "", fmt.Errorf("reading section %s: %w", s.Name, err)
		}
		if id := findNote(b, f.ByteOrder); len(id) > 0 {
			return hex.EncodeToString(id), nil
		}
	}
	return "", nil
}

// findNote walks ELF notes: sizes of name and description, type, then both,
// each padded to four bytes (System V ABI, Note Section).
func findNote(b []byte, order binary.ByteOrder) []byte {
	for len(b) >= 12 {
		name, desc, typ := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		b = b[12:]
		padded := (name + 3) &^ 3
		if padded+desc > uint64(len(b)) {
			return nil
		}
		if typ == noteGNUBuildID && string(b[:name]) == "GNU\x00" {
			return b[padded : padded+desc]
		}
		b = b[min(uint64(len(b)), padded+(desc+3)&^3):]
	}
	return nil
}

// digestFile returns the digest of the file at path.
func digestFile(path string) (attest.Digest, error) {
	f, _, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return attest.DigestFromSum(sum.Sum(nil)), nil
}
