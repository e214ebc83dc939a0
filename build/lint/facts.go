package lint

import (
	"cmp"
	"debug/elf"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

// Kinds of files.
const (
	KindLivepatch = "kernel-livepatch"
	KindModule    = "kernel-module"
	KindULP       = "libpulp"
	KindKpatch    = "libcare"
	KindELF       = "elf" // any other ELF file
	KindUnknown   = "unknown"
)

// Facts are what a patch says of itself, as far as it could be read.
type Facts struct {
	Kind      string          `json:"kind"`
	Name      string          `json:"name,omitzero"` // of the module, or soname
	Target    *Machine        `json:"target,omitzero"`
	Digests   *object.Digests `json:"digests,omitzero"` // docs/spec/digests.md
	BuildID   string          `json:"buildId,omitzero"`
	Compilers []string        `json:"compilers,omitzero"` // of .comment

	Functions     []Function `json:"functions"` // what it replaces
	MoreFunctions int        `json:"moreFunctions,omitzero"`
	Imports       []Import   `json:"imports"` // what it takes from elsewhere
	MoreImports   int        `json:"moreImports,omitzero"`
	Asks          []Function `json:"asks,omitzero"` // symbols that are not exported, which it has the kernel find (.klp.sym)

	Vermagic  string   `json:"vermagic,omitzero"`
	BuildSalt string   `json:"buildSalt,omitzero"`
	Signed    bool     `json:"signed,omitzero"`    // a signature is appended; whose is not looked at
	Replace   *bool    `json:"replace,omitzero"`   // it takes off every other live patch; absent: not told
	Callbacks []string `json:"callbacks,omitzero"` // objects with callbacks
	Shadow    []string `json:"shadow,omitzero"`    // klp_shadow_* that it uses
	States    []State  `json:"states,omitzero"`

	For          *For     `json:"for,omitzero"`     // what a libpulp or libcare patch says it is for
	Depends      []string `json:"depends,omitzero"` // ids of libpulp patches that it needs
	Inlined      []Inline `json:"inlined,omitzero"` // copies of its functions in the base
	MoreFindings int      `json:"moreFindings,omitzero"`
}

// A Machine is what a file is for.
type Machine struct {
	Class     string `json:"class"` // "32" or "64" bits
	ByteOrder string `json:"byteOrder"`
	Machine   string `json:"machine"`
}

// A Function is one that is replaced.
type Function struct {
	Object   string `json:"object,omitzero"` // "vmlinux", a module; absent in user space
	Name     string `json:"name"`
	Position int64  `json:"position,omitzero"` // of several with this name, by address; absent: the only one
	New      string `json:"new,omitzero"`
	Address  string `json:"address,omitzero"` // of the old one, where the patch says it
}

// An Import is a symbol from elsewhere.
type Import struct {
	Symbol string `json:"symbol"`
	CRC    string `json:"crc,omitzero"` // 0x and 8 hex digits
}

// A State is a state of the system that a live patch changes.
type State struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
}

// For is what a patch of user space says it is for.
type For struct {
	Name    string `json:"name"`
	BuildID string `json:"buildId,omitzero"`
}

// An Inline says that the base has copies of a function.
type Inline struct {
	Name    string   `json:"name"`
	Copies  int      `json:"copies"`
	Callers []string `json:"callers"`
}

func machineOf(id object.Ident) *Machine {
	m := &Machine{Class: "?", ByteOrder: "?", Machine: strings.ToLower(strings.TrimPrefix(id.Machine.String(), "EM_"))}
	switch id.Class {
	case elf.ELFCLASS32:
		m.Class = "32"
	case elf.ELFCLASS64:
		m.Class = "64"
	}
	switch id.Data {
	case elf.ELFDATA2LSB:
		m.ByteOrder = "little"
	case elf.ELFDATA2MSB:
		m.ByteOrder = "big"
	}
	return m
}

// functions lists what is replaced.
func (f *Facts) functions(list []object.Function) {
	for i, fn := range list {
		if i == maxListed {
			f.MoreFunctions = len(list) - i
			return
		}
		f.Functions = append(f.Functions, toFunction(fn))
	}
}

func toFunction(f object.Function) Function {
	return Function{
		Object: clean(f.Object, maxText), Name: clean(f.Name, maxText),
		Position: int64(min(f.Position, 1<<53-1)), New: clean(f.New, maxText),
	}
}

// imports lists what comes from elsewhere, with the checksums that are known.
func (f *Facts) imports(names []string, versions []object.Version) {
	crcs := map[string]uint32{}
	for _, v := range versions {
		crcs[v.Symbol] = v.CRC
	}
	for i, name := range names {
		if i == maxListed {
			f.MoreImports = len(names) - i
			return
		}
		imp := Import{Symbol: clean(name, maxText)}
		if crc, ok := crcs[name]; ok {
			imp.CRC = hexCRC(crc)
		}
		f.Imports = append(f.Imports, imp)
	}
}

func cleaned(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxListed)] {
		out = append(out, clean(s, maxText))
	}
	slices.SortFunc(out, cmp.Compare[string])
	return slices.Compact(out)
}
