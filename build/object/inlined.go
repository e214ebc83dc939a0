package object

import (
	"bytes"
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of what is looked at of debug information, below the caller's.
const (
	maxDebugSections = 64
	maxCallers       = 5       // told of one function
	maxDebugSymbols  = 1 << 18 // in an object whose debug information is relocated
	abbreviated      = 16      // times smaller abbreviations are than all debug information
)

// ErrTooLarge reports that debug information is larger than the caller wants
// to look at.
var ErrTooLarge = errors.New("the debug information is larger than the limit")

// ErrNoDebug reports that a file has no debug information.
var ErrNoDebug = errors.New("no debug information")

// An Inline says that a function was copied into others.
type Inline struct {
	Name    string
	Copies  int
	Callers []string // the first few, sorted
}

// Inlined returns which of the functions in names have copies in others, by
// the debug information of e, of at most limit bytes.
func Inlined(e *ELF, names []string, limit uint64) ([]Inline, error) {
	if err := e.debugFits(limit); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(io.NewSectionReader(e.r, 0, int64(e.size)))
	if err != nil {
		return nil, malformed("debug information", "%v", err)
	}
	d, err := f.DWARF()
	if err != nil {
		return nil, malformed("debug information", "%v", err)
	}
	w := walk{origins: map[dwarf.Offset]*origin{}, names: map[dwarf.Offset]string{}, wanted: map[string]bool{}, left: limit}
	for _, name := range names {
		w.wanted[name] = true
	}
	if err := w.all(d.Reader()); err != nil {
		return nil, fmt.Errorf("debug information: %w", err)
	}
	return w.found(), nil
}

// debugFits reports an error unless the debug information can be read within
// limits: what the standard library reads of it, it reads whole.
func (e *ELF) debugFits(limit uint64) error {
	var total uint64
	var sections, tables int
	var abbreviations *Section
	for i := range e.Sections {
		s := &e.Sections[i]
		if isRelocation(s) && uint64(s.Info) < uint64(len(e.Sections)) && strings.HasPrefix(e.Sections[s.Info].Name, ".debug") {
			tables++
			total += s.Size
		}
		if strings.HasPrefix(s.Name, ".zdebug") {
			return malformed("section "+s.Name, "of a form nobody makes any more")
		}
		if !strings.HasPrefix(s.Name, ".debug") {
			continue
		}
		if s.Name == ".debug_abbrev" {
			abbreviations = s
		}
		sections++
		n, err := e.unpacked(s)
		if err != nil {
			return err
		}
		total += min(n, MaxFile)
	}
	switch {
	case e.Section(".debug_info") == nil || abbreviations == nil:
		return ErrNoDebug
	case total > limit || sections > maxDebugSections || tables > maxDebugSections:
		return ErrTooLarge
	}
	if tables > 0 {
		if symbols, err := e.Symbols(elf.SHT_SYMTAB); err != nil || len(symbols) > maxDebugSymbols {
			return cmp.Or(err, ErrTooLarge)
		}
	}
	return e.abbreviationsFit(max(1<<20, limit/abbreviated))
}

// unpacked returns the size of a section that may be compressed.
func (e *ELF) unpacked(s *Section) (uint64, error) {
	if s.Flags&elf.SHF_COMPRESSED == 0 {
		return s.Size, nil
	}
	l := e.layout()
	b, err := take(e.r, "section "+s.Name, s.Offset, 2*l.natural+4, e.size)
	if err != nil {
		return 0, err
	}
	f := fields{e.Order(), b[4:], l.wide}
	if l.wide {
		f.word() // reserved
	}
	return max(f.natural(), s.Size), nil
}

// data returns the content of a debug section, unpacked.
func (e *ELF) debugData(name string) ([]byte, error) {
	f, err := elf.NewFile(io.NewSectionReader(e.r, 0, int64(e.size)))
	if err != nil {
		return nil, malformed("section "+name, "%v", err)
	}
	s := f.Section(name)
	if s == nil {
		return nil, ErrNoDebug
	}
	b, err := s.Data()
	if err != nil {
		return nil, malformed("section "+name, "%v", err)
	}
	return b, nil
}

// abbreviationsFit reads, unit by unit, how many bytes of abbreviations there
// are to read: tables that overlap would take for ever. Which table a unit has
// is in its relocations, where there are any; then the largest is assumed.
func (e *ELF) abbreviationsFit(limit uint64) error {
	info, err := e.debugData(".debug_info")
	if err != nil {
		return err
	}
	abbreviations, err := e.debugData(".debug_abbrev")
	if err != nil {
		return err
	}
	if e.Type == elf.ET_REL {
		limit *= 2 * abbreviated
	}
	seen, read := map[uint64]bool{}, uint64(0)
	for len(info) > 0 {
		off, rest, ok := e.unit(info)
		if !ok {
			return malformed("section .debug_info", "a unit that does not end in it")
		}
		info = rest
		switch {
		case e.Type == elf.ET_REL:
			read += uint64(len(abbreviations))
		case !seen[off] && off < uint64(len(abbreviations)):
			seen[off] = true
			read += tableSize(abbreviations[off:], limit)
		}
		if read > limit {
			return ErrTooLarge
		}
	}
	return nil
}

// unit returns where the abbreviations of the first unit in b are, and what
// follows the unit.
func (e *ELF) unit(b []byte) (abbreviations uint64, rest []byte, ok bool) {
	if len(b) < 23 {
		return 0, nil, bytes.Trim(b, "\x00") == nil
	}
	f := fields{e.Order(), b, false}
	length, wide := uint64(f.word()), false
	if length == 0xffffffff {
		length, wide = f.long(), true
	}
	if length > uint64(len(f.b)) || length < 7 {
		return 0, nil, false
	}
	rest = f.b[length:]
	version := f.half()
	f.wide = wide
	if version >= 5 {
		if kind := f.byte(); kind > 3 {
			return 0, rest, true // type units and others: the reader says what it makes of them
		}
		f.byte()
	}
	return f.natural(), rest, true
}

// tableSize returns how many bytes a table of abbreviations has, or more than
// limit.
func tableSize(b []byte, limit uint64) uint64 {
	whole := len(b)
	leb := func() (v uint64) {
		for i := 0; len(b) > 0; i++ {
			c := b[0]
			b = b[1:]
			if i < 9 {
				v |= uint64(c&0x7f) << (7 * i)
			}
			if c&0x80 == 0 {
				return v
			}
		}
		return 0
	}
	for len(b) > 0 && uint64(whole-len(b)) <= limit {
		if leb() == 0 { // no more
			break
		}
		leb() // tag
		if len(b) > 0 {
			b = b[1:] // children
		}
		for len(b) > 0 {
			name, form := leb(), leb()
			if form == 0x21 { // DW_FORM_implicit_const
				leb()
			}
			if name == 0 && form == 0 {
				break
			}
		}
	}
	return uint64(whole - len(b))
}
