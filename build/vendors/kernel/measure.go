package kernel

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
)

const (
	noteBuildID = 3 // type of the note GNU that is a build-id
	noteHeader  = 12
	maxSections = 65_535
)

// An object is an ELF file, by its sections' bytes as they lie in the file.
type object struct {
	*elf.File
	raw []byte
}

func open(b []byte) (*object, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("not a readable ELF file: %w", err)
	}
	if len(f.Sections) > maxSections {
		return nil, fmt.Errorf("%d sections, at most %d are read", len(f.Sections), maxSections)
	}
	return &object{f, b}, nil
}

// bytes returns the bytes of a section; nothing is unpacked.
func (o *object) bytes(s *elf.Section) ([]byte, error) {
	size := uint64(len(o.raw))
	if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 || s.Offset > size || s.FileSize > size-s.Offset {
		return nil, fmt.Errorf("section %.80q lies outside the file, or is compressed", s.Name)
	}
	return o.raw[s.Offset : s.Offset+s.FileSize], nil
}

func (o *object) section(name string) ([]byte, error) {
	s := o.Section(name)
	if s == nil {
		return nil, nil
	}
	return o.bytes(s)
}

// Measure returns the measurements of a running kernel, from its boot image or
// ELF file.
func Measure(image []byte) ([]attest.Measurement, error) {
	b, err := ELF(image)
	if err != nil {
		return nil, err
	}
	o, err := open(b)
	if err != nil {
		return nil, err
	}
	raw, err := o.section(".notes")
	if err != nil {
		return nil, err
	}
	notes, id, err := Notes(raw, o.ByteOrder)
	if err != nil {
		return nil, fmt.Errorf("section .notes: %w", err)
	}
	all := []attest.Measurement{{Kind: attest.MeasureKernelNotes, Digest: attest.DigestOf(notes), BuildID: id}}
	btf, err := o.section(".BTF")
	if err != nil || len(btf) == 0 {
		return all, err
	}
	return append(all, attest.Measurement{Kind: attest.MeasureKernelBTF, Digest: attest.DigestOf(btf), BuildID: id}), nil
}

// Notes returns of ELF notes those named GNU and Linux, as they stand, and the
// build-id among them: what /sys/kernel/notes holds is read by it, too.
func Notes(b []byte, order binary.ByteOrder) (kept []byte, buildID string, err error) {
	for len(b) >= noteHeader {
		name, desc, typ := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		size := noteHeader + (name+3)&^3 + (desc+3)&^3
		if size > uint64(len(b)) {
			return nil, "", errors.New("a note is cut off")
		}
		owner := strings.TrimRight(string(b[noteHeader:noteHeader+name]), "\x00")
		if owner == "GNU" || owner == "Linux" {
			kept = append(kept, b[:size]...)
		}
		if owner == "GNU" && typ == noteBuildID {
			if buildID != "" {
				return nil, "", errors.New("two build-ids")
			}
			at := noteHeader + (name+3)&^3
			buildID = hex.EncodeToString(b[at : at+desc])
		}
		b = b[size:]
	}
	if len(b) > 0 && len(bytes.TrimRight(b, "\x00")) > 0 {
		return nil, "", errors.New("a note is cut off")
	}
	if buildID == "" {
		return nil, "", errors.New("no build-id, so hosts cannot tell that they run it")
	}
	return kept, buildID, nil
}

// MeasureModule returns the measurement of a loaded module, from its file.
func MeasureModule(module []byte) ([]attest.Measurement, error) {
	o, err := open(module)
	if err != nil {
		return nil, err
	}
	var notes []*elf.Section
	for _, s := range o.Sections {
		if s.Type == elf.SHT_NOTE && s.Flags&elf.SHF_ALLOC != 0 && s.Size > 0 {
			notes = append(notes, s)
		}
	}
	slices.SortStableFunc(notes, func(a, b *elf.Section) int { return cmp.Compare(a.Name, b.Name) })
	sum, id := sha256.New(), ""
	for i, s := range notes {
		if i > 0 && notes[i-1].Name == s.Name {
			return nil, fmt.Errorf("two sections are called %.80q", s.Name)
		}
		b, err := o.bytes(s)
		if err != nil {
			return nil, err
		}
		sum.Write(append([]byte(s.Name), 0))
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		sum.Write(b)
		if _, found, err := Notes(b, o.ByteOrder); err == nil {
			id = found
		}
	}
	if id == "" {
		return nil, errors.New("no build-id, so hosts cannot tell that they loaded it")
	}
	return []attest.Measurement{{Kind: attest.MeasureModuleNotes, Digest: attest.DigestFromSum(sum.Sum(nil)), BuildID: id}}, nil
}

// HasSection reports whether an ELF file has a section of this name.
func HasSection(b []byte, name string) bool {
	o, err := open(b)
	return err == nil && o.Section(name) != nil
}

// compilerKey is where a configuration has the compiler's own words.
const compilerKey = "CONFIG_CC_VERSION_TEXT="

// called is the name that gcc was called by, with which its words begin.
var called = regexp.MustCompile(`^(?:[a-z0-9_.]+-)*(gcc|g\+\+)(?:-[0-9.]+)? `)

// Compiler returns what the compiler said of itself, by a kernel's
// configuration; "" where it has no such line. gcc goes by the name that it has
// in environments, whatever its file was called.
func Compiler(config []byte) string {
	for line := range strings.Lines(string(config)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), compilerKey); ok {
			return called.ReplaceAllString(strings.Trim(text, `"`), "$1 ")
		}
	}
	return ""
}

// Target says what machine an ELF file is for, in the words of its header.
func Target(b []byte) (attest.Target, error) {
	o, err := open(b)
	if err != nil {
		return attest.Target{}, err
	}
	t := attest.Target{
		Architecture: strings.ToLower(strings.TrimPrefix(o.Machine.String(), "EM_")), ByteOrder: "little", WordSize: 64, ABI: "sysv",
	}
	if o.Data == elf.ELFDATA2MSB {
		t.ByteOrder = "big"
	}
	if o.Class == elf.ELFCLASS32 {
		t.WordSize = 32
	}
	return t, nil
}
