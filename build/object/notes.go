package object

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
)

// A Note is one entry of a section or segment of notes.
type Note struct {
	Name string // without its zero byte
	Type uint32
	Desc []byte
	desc span // where Desc is in the file
}

// Types of notes, by the name of whoever defines them.
const (
	noteGNUBuildID = 3     // "GNU"
	noteBuildSalt  = 0x100 // "Linux" (include/linux/build-salt.h)
)

// Notes returns the notes of all sections, then of all segments, that hold
// notes. What is no whole note ends its section: linkers pad.
func (e *ELF) Notes() ([]Note, error) {
	var list []Note
	seen, left := map[span]bool{}, uint64(maxNotes)
	add := func(place string, off, size, align uint64) error {
		at := span{off, off + size}
		if seen[at] || size == 0 {
			return nil
		}
		seen[at] = true
		if size > left {
			return malformed(place, "more than %d bytes of notes", maxNotes)
		}
		left -= size
		b, err := take(e.r, place, off, size, e.size)
		if err != nil {
			return err
		}
		list = append(list, e.notes(b, off, align)...)
		return nil
	}
	for i := range e.Sections {
		if s := &e.Sections[i]; s.Type == elf.SHT_NOTE {
			if err := add("section "+s.Name, s.Offset, s.Size, s.Align); err != nil {
				return nil, err
			}
		}
	}
	for i := range e.Segments {
		if s := &e.Segments[i]; s.Type == elf.PT_NOTE {
			if err := add("segment of notes", s.Offset, s.Filesz, s.Align); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// notes walks b: sizes of name and description, type, then both, each padded
// (System V ABI, "Note Section"; to 8 bytes where the section is).
func (e *ELF) notes(b []byte, at, align uint64) []Note {
	pad := uint64(4)
	if align == 8 {
		pad = 8
	}
	var list []Note
	for len(b) >= 12 {
		f := fields{e.Order(), b, false}
		name, desc, typ := uint64(f.word()), uint64(f.word()), f.word()
		from := (12 + name + pad - 1) &^ (pad - 1)
		if from+desc > uint64(len(b)) {
			break
		}
		list = append(list, Note{
			Name: string(bytes.TrimRight(b[12:12+name], "\x00")),
			Type: typ,
			Desc: b[from : from+desc],
			desc: span{at + from, at + from + desc},
		})
		next := min(uint64(len(b)), (from+desc+pad-1)&^(pad-1))
		b, at = b[next:], at+next
	}
	return list
}

// BuildID returns the GNU build-id in lower-case hex; "" where there is none.
func (e *ELF) BuildID() (string, error) {
	n, err := e.note("GNU", noteGNUBuildID)
	return hex.EncodeToString(n), err
}

// BuildSalt returns the release that the kernel's build wrote into a module or
// a kernel (CONFIG_BUILD_SALT); "" where there is none.
func (e *ELF) BuildSalt() (string, error) {
	n, err := e.note("Linux", noteBuildSalt)
	return string(bytes.TrimRight(n, "\x00")), err
}

func (e *ELF) note(name string, typ uint32) ([]byte, error) {
	list, err := e.Notes()
	for _, n := range list {
		if n.Name == name && n.Type == typ && len(n.Desc) > 0 {
			return n.Desc, nil
		}
	}
	return nil, err
}
