package object

import (
	"bufio"
	"bytes"
	"cmp"
	"debug/elf"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Limits of a table of symbols that is text.
const (
	maxTable = 256 << 20 // bytes
	maxLine  = 4096
)

// A Table is the symbols that a base has, by name.
type Table struct {
	names map[string][]Entry
	parts map[string][]string // names with a suffix that compilers add, by the part before it
	has   map[string]bool     // objects
}

// An Entry is one symbol of a [Table].
type Entry struct {
	Object  string // "vmlinux", or the module it is in; "" in the table of a library
	Address uint64
	Size    uint64 // 0 where the table does not say
	Code    bool
}

// Len returns how many names there are.
func (t *Table) Len() int { return len(t.names) }

// Find returns the symbols with this name in an object, in the order in which
// a position counts them.
func (t *Table) Find(object, name string) []Entry {
	var list []Entry
	for _, e := range t.names[name] {
		if e.Object == object {
			list = append(list, e)
		}
	}
	return list
}

// Has reports whether the table has symbols of an object.
func (t *Table) Has(object string) bool { return t.has[object] }

// Parts returns the names under which compilers put parts and copies of a
// function beside it or in its place: name.part.0, name.constprop.0 and so on.
func (t *Table) Parts(name string) []string { return t.parts[name] }

func newTable() *Table {
	return &Table{names: map[string][]Entry{}, parts: map[string][]string{}, has: map[string]bool{}}
}

func (t *Table) add(name string, e Entry) {
	t.has[e.Object] = true
	if _, known := t.names[name]; !known {
		if whole, suffix, ok := strings.Cut(name, "."); ok && whole != "" && suffix != "" {
			t.parts[whole] = append(t.parts[whole], name)
		}
	}
	t.names[name] = append(t.names[name], e)
}

// done sorts what a position counts: the symbols of the kernel by address.
func (t *Table) done() *Table {
	for _, list := range t.names {
		slices.SortStableFunc(list, func(a, b Entry) int {
			if a.Object == Vmlinux && b.Object == Vmlinux {
				return cmp.Compare(a.Address, b.Address)
			}
			return 0
		})
	}
	for _, list := range t.parts {
		slices.Sort(list)
	}
	return t
}

// TableOf returns the symbols that e defines, as those of object: all of them,
// or the dynamic ones where no others are left.
func TableOf(e *ELF, object string) (*Table, error) {
	symbols, err := e.Symbols(elf.SHT_SYMTAB)
	if err == nil && len(symbols) == 0 {
		symbols, err = e.Symbols(elf.SHT_DYNSYM)
	}
	if err != nil {
		return nil, err
	}
	t := newTable()
	for i := range symbols {
		s := &symbols[i]
		if s.Name == "" || s.Undefined() || s.special || s.Type() == elf.STT_FILE || s.Type() == elf.STT_SECTION || assembler(s.Name) {
			continue
		}
		t.add(s.Name, Entry{object, s.Value, s.Size, s.Code()})
	}
	return t.done(), nil
}

// assembler reports whether kallsyms leaves a name out (scripts/kallsyms.c).
func assembler(name string) bool {
	return strings.HasPrefix(name, ".L") || strings.HasPrefix(name, "$") || strings.HasPrefix(name, "__crc_")
}

// ReadTable reads a System.map, or what /proc/kallsyms says: lines of address,
// type, name and, in brackets, module.
func ReadTable(r io.Reader) (*Table, error) {
	t, lines := newTable(), bufio.NewScanner(io.LimitReader(r, maxTable+1))
	lines.Buffer(nil, maxLine)
	n, size := 0, 0
	for lines.Scan() {
		n++
		if size += len(lines.Bytes()) + 1; n > maxSymbols || size > maxTable {
			return nil, malformed("table of symbols", "more than %d lines or %d bytes", maxSymbols, maxTable)
		}
		words := bytes.Fields(lines.Bytes())
		if len(words) == 0 {
			continue
		}
		if len(words) < 3 || len(words) > 4 || len(words[1]) != 1 {
			return nil, malformed("line "+strconv.Itoa(n), "%.80q, want address, type, name and maybe module", lines.Text())
		}
		address, err := strconv.ParseUint(string(words[0]), 16, 64)
		if err != nil {
			return nil, malformed("line "+strconv.Itoa(n), "address %.40q", words[0])
		}
		e := Entry{Object: Vmlinux, Address: address, Code: bytes.ContainsAny(words[1], "tTwW")}
		if len(words) == 4 {
			e.Object = strings.Trim(string(words[3]), "[]")
		}
		if name := string(words[2]); !assembler(name) {
			t.add(name, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, malformed("line "+strconv.Itoa(n+1), "%v", err)
	}
	return t.done(), nil
}

// Exports returns the checksums of the symbols that a kernel or a module
// exports, by name: __crc_NAME holds that of NAME. None where it was built
// without them.
func Exports(e *ELF) (map[string]uint32, error) {
	symbols, err := e.Symbols(elf.SHT_SYMTAB)
	if err != nil {
		return nil, err
	}
	m := newMemory(e, nil)
	exports := map[string]uint32{}
	for i := range symbols {
		s := &symbols[i]
		name, ok := strings.CutPrefix(s.Name, "__crc_")
		if !ok || s.Undefined() {
			continue
		}
		if s.special {
			exports[name] = uint32(s.Value)
			continue
		}
		if crc, ok := m.half(s); ok {
			exports[name] = crc
		}
	}
	return exports, m.err
}

// half returns the 4 bytes at a symbol.
func (m *memory) half(s *Symbol) (uint32, bool) {
	m.look(s.Section)
	b := m.data[s.Section]
	if b == nil {
		return 0, false
	}
	off := s.Value
	if m.ELF.Type != elf.ET_REL {
		off -= m.Sections[s.Section].Addr
	}
	if off > uint64(len(b)) || uint64(len(b))-off < 4 {
		return 0, false
	}
	return m.Order().Uint32(b[off:]), true
}

// ReadExports reads a Module.symvers: lines of checksum, symbol and more, with
// tabs between them.
func ReadExports(r io.Reader) (map[string]uint32, error) {
	exports, lines := map[string]uint32{}, bufio.NewScanner(io.LimitReader(r, maxTable))
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		words := strings.Split(lines.Text(), "\t")
		crc, ok := strings.CutPrefix(words[0], "0x")
		if !ok || len(words) < 3 || n > maxSymbols {
			return nil, malformed("line "+strconv.Itoa(n), "%.80q, want checksum, symbol and module", lines.Text())
		}
		v, err := strconv.ParseUint(crc, 16, 32)
		if err != nil {
			return nil, malformed("line "+strconv.Itoa(n), "checksum %.40q", words[0])
		}
		exports[words[1]] = uint32(v)
	}
	if err := lines.Err(); err != nil {
		return nil, malformed("exports", "%v", err)
	}
	return exports, nil
}
