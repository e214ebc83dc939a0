package object

import (
	"cmp"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io"
	"slices"
)

// A Body is one function as it is in a file.
type Body struct {
	Name        string // of several with one name the second is NAME#2
	Section     string
	Address     uint64
	Size        uint64
	Sum         [sha256.Size]byte // of its bytes
	Relocations []Link            // in an object that has not been linked
}

// A Link is a relocation, with what it leads to by name.
type Link struct {
	Offset uint64 // in the function
	Type   uint32
	Target string // symbol, or section
	Addend int64
}

func (l Link) String() string {
	return fmt.Sprintf("+%#x type %d %s%+d", l.Offset, l.Type, l.Target, l.Addend)
}

// maxBodies is how many bytes all functions of a file have, as times its size:
// functions may overlap, as aliases do.
const maxBodies = 4

// Bodies returns the functions that e defines, by name: of its symbol table,
// or of the dynamic one where no other is left.
func Bodies(e *ELF) ([]Body, error) {
	symbols, err := e.Symbols(elf.SHT_SYMTAB)
	if err == nil && len(symbols) == 0 {
		symbols, err = e.Symbols(elf.SHT_DYNSYM)
	}
	if err != nil {
		return nil, err
	}
	var list []Body
	var placed []uint32
	left := maxBodies * e.size
	for i := range symbols {
		s := &symbols[i]
		if !s.Code() || s.special || s.Name == "" || uint64(s.Section) >= uint64(len(e.Sections)) {
			continue
		}
		b, err := e.body(s, &left)
		if err != nil {
			return nil, err
		}
		list, placed = append(list, b), append(placed, s.Section)
	}
	if e.Type == elf.ET_REL {
		if err := e.linkBodies(list, placed, symbols); err != nil {
			return nil, err
		}
	}
	return named(list), nil
}

func (e *ELF) body(s *Symbol, left *uint64) (Body, error) {
	section := &e.Sections[s.Section]
	b := Body{Name: s.Name, Section: section.Name, Address: s.Value, Size: s.Size}
	off := s.Value
	if e.Type != elf.ET_REL {
		off -= section.Addr
	}
	if section.Type == elf.SHT_NOBITS {
		return b, nil
	}
	place := "function " + s.Name
	if off > section.Size || s.Size > section.Size-off || section.Offset > e.size || section.Size > e.size-section.Offset {
		return b, malformed(place, "%d bytes at %#x are outside section %s", s.Size, s.Value, section.Name)
	}
	if s.Size > *left {
		return b, malformed(place, "functions overlap: together they have more than %d times the size of the file", maxBodies)
	}
	*left -= s.Size
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(e.r, int64(section.Offset+off), int64(s.Size))); err != nil {
		return b, err
	}
	h.Sum(b.Sum[:0])
	return b, nil
}

// linkBodies gives each function the relocations in it.
func (e *ELF) linkBodies(list []Body, placed []uint32, symbols []Symbol) error {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(placed[a], placed[b]), cmp.Compare(list[a].Address, list[b].Address), cmp.Compare(a, b))
	})
	left := maxLinked
	for i := range e.Sections {
		table := &e.Sections[i]
		if !isRelocation(table) {
			continue
		}
		from, _ := slices.BinarySearchFunc(order, table.Info, func(n int, section uint32) int { return cmp.Compare(placed[n], section) })
		to, _ := slices.BinarySearchFunc(order, uint64(table.Info)+1, func(n int, section uint64) int { return cmp.Compare(uint64(placed[n]), section) })
		here := order[from:to]
		if len(here) == 0 {
			continue
		}
		err := e.Relocations(table, func(r Relocation) error {
			// The last function that begins at or before it; aliases of it share.
			n, _ := slices.BinarySearchFunc(here, r.Offset+1, func(n int, at uint64) int { return cmp.Compare(list[n].Address, at) })
			if n == 0 || uint64(r.Symbol) >= uint64(len(symbols)) {
				return nil
			}
			if left--; left < 0 {
				return malformed("section "+table.Name, "more than %d relocations", maxLinked)
			}
			b := &list[here[n-1]]
			if off := r.Offset - b.Address; off < b.Size {
				b.Relocations = append(b.Relocations, Link{off, r.Type, e.target(&symbols[r.Symbol]), r.Addend})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *ELF) target(s *Symbol) string {
	if s.Name == "" && !s.special && uint64(s.Section) < uint64(len(e.Sections)) {
		return e.Sections[s.Section].Name
	}
	return s.Name
}

// named sorts functions by name, and tells those of one name apart by address.
func named(list []Body) []Body {
	slices.SortFunc(list, func(a, b Body) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Section, b.Section), cmp.Compare(a.Address, b.Address))
	})
	n := 1
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-n].Name {
			n++
			list[i].Name = fmt.Sprintf("%s#%d", list[i].Name, n)
		} else {
			n = 1
		}
	}
	return list
}

// A Content is what a section holds, by its digest.
type Content struct {
	Name   string
	Size   uint64
	Loaded bool
	Sum    [sha256.Size]byte
}

// Contents returns the sections of e that have content, by name; of several
// with one name the second is NAME#2.
func (e *ELF) Contents() ([]Content, error) {
	var list []Content
	left := maxBodies * e.size
	for i := range e.Sections {
		s := &e.Sections[i]
		if s.Type == elf.SHT_NULL {
			continue
		}
		c := Content{Name: s.Name, Size: s.Size, Loaded: s.Flags&elf.SHF_ALLOC != 0}
		if s.Type != elf.SHT_NOBITS {
			if s.Offset > e.size || s.Size > e.size-s.Offset || s.Size > left {
				return nil, malformed("section "+s.Name, "%d bytes at %d are outside the file, or many times in it", s.Size, s.Offset)
			}
			left -= s.Size
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(e.r, int64(s.Offset), int64(s.Size))); err != nil {
				return nil, err
			}
			h.Sum(c.Sum[:0])
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Content) int { return cmp.Compare(a.Name, b.Name) })
	n := 1
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-n].Name {
			n++
			list[i].Name = fmt.Sprintf("%s#%d", list[i].Name, n)
		} else {
			n = 1
		}
	}
	return list, nil
}
