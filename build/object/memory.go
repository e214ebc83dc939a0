package object

import (
	"bytes"
	"debug/elf"
	"slices"
)

// Limits of what is looked at in the data of a module.
const (
	maxData   = 32 << 20 // bytes of one section
	maxLinked = 1 << 20  // relocations of the sections looked at
	maxWork   = 4 << 20  // words and relocations compared to find tables
)

// A spot is a place in a section.
type spot struct {
	section uint32
	offset  uint64
}

// memory is the data of an object file as it will be once its relocations are
// done: pointers lead to spots.
type memory struct {
	*ELF
	symbols []Symbol
	word    uint64               // size of one
	targets map[uint32][]uint32  // relocation tables by the section they are for
	sizes   map[spot]uint64      // of objects
	data    map[uint32][]byte    // of sections looked at
	links   map[spot]*Relocation // in sections looked at
	read    map[uint32]bool
	code    map[spot]string // functions by where they begin; nil: not made yet
	work    int
	err     error // the first
}

func newMemory(e *ELF, symbols []Symbol) *memory {
	m := &memory{
		ELF: e, symbols: symbols, word: e.layout().natural,
		targets: map[uint32][]uint32{}, sizes: map[spot]uint64{}, data: map[uint32][]byte{},
		links: map[spot]*Relocation{}, read: map[uint32]bool{},
	}
	for i := range e.Sections {
		if s := &e.Sections[i]; isRelocation(s) {
			m.targets[s.Info] = append(m.targets[s.Info], uint32(i))
		}
	}
	for i := range symbols {
		if s := &symbols[i]; s.Type() == elf.STT_OBJECT && !s.special {
			at := spot{s.Section, s.Value}
			m.sizes[at] = max(m.sizes[at], s.Size)
		}
	}
	return m
}

// look reads a section and its relocations, once.
func (m *memory) look(section uint32) {
	if m.read[section] || uint64(section) >= uint64(len(m.Sections)) {
		return
	}
	m.read[section] = true
	b, err := m.Bytes(&m.Sections[section], maxData)
	m.fail(err)
	m.data[section] = b
	for _, table := range m.targets[section] {
		m.fail(m.Relocations(&m.Sections[table], func(r Relocation) error {
			if len(m.links) >= maxLinked {
				return malformed("section "+m.Sections[table].Name, "more than %d relocations", maxLinked)
			}
			if m.Sections[table].Type == elf.SHT_REL {
				r.Addend = int64(m.number(spot{section, r.Offset}))
			}
			m.links[spot{section, r.Offset}] = &r
			return nil
		}))
	}
}

func (m *memory) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// number returns the word at a spot, before relocation; 0 outside.
func (m *memory) number(at spot) uint64 {
	m.look(at.section)
	b := m.data[at.section]
	if at.offset > uint64(len(b)) || uint64(len(b))-at.offset < m.word {
		return 0
	}
	f := fields{m.Order(), b[at.offset:], m.word == 8}
	return f.natural()
}

// pointer returns where the pointer at a spot leads, and the symbol by which
// it says so.
func (m *memory) pointer(at spot) (to spot, by *Symbol, ok bool) {
	m.look(at.section)
	r := m.links[at]
	if r == nil || uint64(r.Symbol) >= uint64(len(m.symbols)) {
		return spot{}, nil, false
	}
	by = &m.symbols[r.Symbol]
	return spot{by.Section, by.Value + uint64(r.Addend)}, by, true
}

// text returns the string that the pointer at a spot leads to.
func (m *memory) text(at spot) (string, bool) {
	to, by, ok := m.pointer(at)
	if !ok || by.special || by.Undefined() {
		return "", false
	}
	m.look(to.section)
	b := m.data[to.section]
	if to.offset >= uint64(len(b)) {
		return "", false
	}
	b = b[to.offset:min(uint64(len(b)), to.offset+maxSymName)]
	n := bytes.IndexByte(b, 0)
	if n < 1 {
		return "", false
	}
	return string(b[:n]), true
}

// function returns the name of the function that the pointer at a spot leads to.
func (m *memory) function(at spot) string {
	to, by, ok := m.pointer(at)
	switch {
	case !ok:
		return ""
	case by.Name != "" && to.offset == by.Value:
		return by.Name
	}
	if m.code == nil {
		m.code = map[spot]string{}
		for i := range m.symbols {
			if s := &m.symbols[i]; s.Code() && !s.special {
				m.code[spot{s.Section, s.Value}] = s.Name
			}
		}
	}
	return m.code[to]
}

// table returns where the entries of the array at a spot begin. Its element's
// size depends on the configuration of the kernel, so it is told from the
// array's size and from where its pointers are: each entry but the last, which
// is empty, has pointers at all words in must, and no entry has one elsewhere
// than there and at the words in may.
func (m *memory) table(at spot, must, may []uint64) []spot {
	m.look(at.section)
	size := m.sizes[at]
	var offsets []uint64
	for off := uint64(0); off+m.word <= min(size, uint64(len(m.data[at.section]))) && m.spend(1); off += m.word {
		if m.links[spot{at.section, at.offset + off}] != nil {
			offsets = append(offsets, off)
		}
	}
	for n := uint64(1); n <= uint64(len(offsets)) && m.spend(1); n++ {
		if stride := size / (n + 1); size%(n+1) == 0 && stride%m.word == 0 && m.fits(at, n, stride, offsets, must, may) {
			var list []spot
			for i := range n {
				list = append(list, spot{at.section, at.offset + i*stride})
			}
			return list
		}
	}
	return nil
}

// spend reports whether there may be more work.
func (m *memory) spend(n int) bool {
	if m.work += n; m.work > maxWork {
		m.fail(malformed("tables of a live patch", "more than %d words to look at", maxWork))
	}
	return m.work <= maxWork
}

func (m *memory) fits(at spot, n, stride uint64, offsets, must, may []uint64) bool {
	if stride < (slices.Max(append(slices.Clone(must), may...))+1)*m.word {
		return false
	}
	var found uint64
	for _, off := range offsets {
		if !m.spend(1) {
			return false
		}
		word := off % stride / m.word
		switch {
		case off/stride >= n:
			return false
		case slices.Contains(must, word):
			found++
		case !slices.Contains(may, word):
			return false
		}
	}
	return found == n*uint64(len(must))
}
