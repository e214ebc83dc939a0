package object

import (
	"bytes"
	"debug/elf"
	"slices"
	"strings"
)

// Limits of what is read from a kernel module.
const (
	maxInfo     = 1 << 20 // bytes of .modinfo, and of .comment
	maxVersions = 8 << 20 // bytes of __versions
	maxSymName  = 512     // bytes of a symbol's name (Linux, KSYM_NAME_LEN)
)

// A Module is what a kernel module says of itself.
type Module struct {
	Info      []Parameter // of .modinfo, in order
	Versions  []Version   // of __versions: symbols it takes from elsewhere
	Versioned bool        // it has a table of them
	Imports   []string    // undefined symbols, sorted
	Livepatch *Livepatch  // nil: it is none
}

// A Parameter is one entry of .modinfo.
type Parameter struct{ Key, Value string }

// A Version is the checksum of a symbol's type.
type Version struct {
	Symbol string
	CRC    uint32
}

// Value returns the first value of a key of .modinfo.
func (m *Module) Value(key string) (string, bool) {
	for _, p := range m.Info {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// ReadModule returns what e says as a kernel module; nil where it is none.
func ReadModule(e *ELF) (*Module, error) {
	info := e.Section(".modinfo")
	if e.Type != elf.ET_REL || info == nil {
		return nil, nil
	}
	b, err := e.Bytes(info, maxInfo)
	if err != nil {
		return nil, err
	}
	m := &Module{Info: parameters(b)}
	if err := m.versions(e); err != nil {
		return nil, err
	}
	symbols, err := e.Symbols(elf.SHT_SYMTAB)
	if err != nil {
		return nil, err
	}
	m.Imports = imports(symbols)
	marked, _ := m.Value("livepatch")
	if marked == "Y" || slices.Contains(m.Imports, "klp_enable_patch") {
		if m.Livepatch, err = readLivepatch(e, symbols); err != nil {
			return nil, err
		}
		m.Livepatch.Marked = marked == "Y"
	}
	return m, nil
}

func parameters(b []byte) []Parameter {
	var list []Parameter
	for word := range bytes.SplitSeq(b, []byte{0}) {
		if len(word) > 0 {
			key, value, _ := strings.Cut(string(word), "=")
			list = append(list, Parameter{key, value})
		}
	}
	return list
}

// versions reads the records of 64 bytes, a checksum in a word and a name, or
// what took their place for long names (Linux 6.14): checksums of 4 bytes and
// names beside them.
func (m *Module) versions(e *ELF) error {
	if s := e.Section("__versions"); s != nil {
		b, err := e.Bytes(s, maxVersions)
		if err != nil {
			return err
		}
		m.Versioned = true
		for ; len(b) >= 64; b = b[64:] {
			f := fields{e.Order(), b[:64], e.layout().wide}
			crc := f.natural()
			m.Versions = append(m.Versions, Version{untilZero(f.b), uint32(crc)})
		}
	}
	crcs, names := e.Section("__version_ext_crcs"), e.Section("__version_ext_names")
	if crcs == nil || names == nil {
		return nil
	}
	b, err := e.Bytes(crcs, maxVersions)
	if err != nil {
		return err
	}
	words, err := e.Bytes(names, maxVersions)
	if err != nil {
		return err
	}
	m.Versioned = true
	f := fields{e.Order(), b, false}
	for word := range bytes.SplitSeq(words, []byte{0}) {
		if len(word) > 0 && len(f.b) >= 4 {
			m.Versions = append(m.Versions, Version{string(word), f.word()})
		}
	}
	return nil
}

func untilZero(b []byte) string {
	word, _, _ := bytes.Cut(b, []byte{0})
	return string(word)
}

func imports(symbols []Symbol) []string {
	list := []string{}
	for i := range symbols {
		if s := &symbols[i]; s.Name != "" && s.Undefined() {
			list = append(list, s.Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Compilers returns the compiler strings of .comment, each once, sorted.
func (e *ELF) Compilers() ([]string, error) {
	list := []string{}
	s := e.Section(".comment")
	if s == nil {
		return list, nil
	}
	b, err := e.Bytes(s, maxInfo)
	if err != nil {
		return nil, err
	}
	for word := range bytes.SplitSeq(b, []byte{0}) {
		if len(word) > 0 {
			list = append(list, string(word))
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// Dynamic returns the soname of e ("": none) and the sonames it needs.
func (e *ELF) Dynamic() (soname string, needed []string, err error) {
	i := e.table(elf.SHT_DYNAMIC)
	if i < 0 {
		return "", nil, nil
	}
	s := &e.Sections[i]
	b, err := e.Bytes(s, maxInfo)
	if err != nil {
		return "", nil, err
	}
	names, err := e.strings(s.Link)
	if err != nil {
		return "", nil, err
	}
	f := fields{e.Order(), b, e.layout().wide}
	for uint64(len(f.b)) >= 2*e.layout().natural {
		tag, value := elf.DynTag(f.natural()), f.natural()
		if tag != elf.DT_SONAME && tag != elf.DT_NEEDED {
			continue
		}
		name, err := names.at(uint32(min(value, 1<<32-1)))
		if err != nil {
			return "", nil, malformed("section "+s.Name, "a name: %v", err)
		}
		if tag == elf.DT_SONAME {
			soname = name
		} else {
			needed = append(needed, name)
		}
	}
	return soname, needed, nil
}
