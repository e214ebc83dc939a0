package object

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// Where a symbol is, in a canonical form.
const (
	inNumber  = 0 // its section index is none: absolute, common, undefined, livepatch
	inSection = 1 // of those that count
	inDebug   = 2 // of those that do not
)

// readSymbols makes the canonical form of each symbol, its sha256, because
// relocations repeat it, and tells which of them count.
func (c *canon) readSymbols() error {
	if c.symtab < 0 {
		return nil
	}
	list, err := c.Symbols(elf.SHT_SYMTAB)
	if err != nil {
		return err
	}
	c.symbols = make([][sha256.Size]byte, len(list))
	c.strip = make([]bool, len(list))
	var b []byte
	for i := range list {
		s := &list[i]
		kind, where := inNumber, uint64(s.Section)
		if !s.special && !s.Undefined() {
			if where >= uint64(len(c.place)) {
				return malformed("symbol table", "symbol %d is in section %d of %d", i, where, len(c.place))
			}
			kind, where = inSection, c.place[where]
			if where == 0 {
				kind = inDebug
			}
		}
		c.strip[i] = i == 0 || kind == inDebug || told(s)
		b = binary.BigEndian.AppendUint64(b[:0], uint64(len(s.Name)))
		b = append(b, s.Name...)
		for _, n := range [...]uint64{uint64(s.Info), uint64(s.Other), s.Value, s.Size, uint64(kind), where} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		c.symbols[i] = sha256.Sum256(b)
	}
	return nil
}

// told reports whether a symbol is there for debuggers and assemblers only: the
// name of a source file, a section, or a label that assemblers make.
func told(s *Symbol) bool {
	switch s.Type() {
	case elf.STT_FILE, elf.STT_SECTION:
		return true
	case elf.STT_NOTYPE:
		return s.Bind() == elf.STB_LOCAL && (s.Name == "" || strings.HasPrefix(s.Name, ".L"))
	}
	return false
}

// symbolTable writes the symbols that count, in order.
func (c *canon) symbolTable() {
	var n uint64
	for _, stripped := range c.strip {
		if !stripped {
			n++
		}
	}
	c.number(n)
	for i, stripped := range c.strip {
		if !stripped {
			c.out.Write(c.symbols[i][:])
		}
	}
}
