package object

import (
	"cmp"
	"debug/elf"
	"slices"
	"strings"
)

// Limits of a live patch.
const (
	maxObjects   = 1 << 10
	maxFunctions = 1 << 14
)

// Vmlinux is the object of functions of the kernel itself.
const Vmlinux = "vmlinux"

// A Livepatch is what the tables of a kernel live patch say.
type Livepatch struct {
	Marked    bool       // .modinfo says livepatch=Y; the kernel refuses one that does not
	Kpatch    bool       // made by kpatch-build, which makes the kernel's tables at run time
	Functions []Function // in order of object, name, position
	Objects   []string   // sorted
	Replace   *bool      // it takes off all others; nil: made at run time
	Callbacks []string   // objects with callbacks
	States    []State
	Symbols   []Function // what relocations ask of the kernel: .klp.sym.*
	Sections  []string   // .klp.rela.*, .klp.arch.*
}

// A Function is replaced, or asked for, by object and name. Position is which
// of several of that name, in order of address, from 1; 0: the only one.
type Function struct {
	Object   string
	Name     string
	Position uint64
	New      string // the name of what replaces it; "": none, or not told
}

// A State is a state of the system that a live patch changes.
type State struct {
	ID      uint64
	Version uint32
}

// readLivepatch reads the tables of a live patch. In the source they are
//
//	struct klp_func   { char *old_name; void *new_func; unsigned long old_sympos; ... };
//	struct klp_object { char *name; struct klp_func *funcs; struct klp_callbacks callbacks; ... };
//	struct klp_state  { unsigned long id; unsigned int version; void *data; };
//	struct klp_patch  { struct module *mod; struct klp_object *objs; struct klp_state *states; bool replace; ... };
//
// (Linux, include/linux/livepatch.h); in the file, pointers are relocations.
// The patch is where one leads to the module itself and the next to a table of
// objects.
func readLivepatch(e *ELF, symbols []Symbol) (*Livepatch, error) {
	l := &Livepatch{Sections: []string{}}
	for i := range e.Sections {
		if name := e.Sections[i].Name; strings.HasPrefix(name, ".klp.") && len(l.Sections) < maxObjects {
			l.Sections = append(l.Sections, name)
		}
	}
	l.Symbols = klpSymbols(symbols)
	m := newMemory(e, symbols)
	for _, at := range m.selves() {
		l.patch(m, at)
	}
	if s := e.Section(".kpatch.funcs"); s != nil && len(l.Functions) == 0 {
		l.kpatch(m, s)
	}
	l.sort()
	return l, m.err
}

// selves returns the spots in data that point to the module itself.
func (m *memory) selves() []spot {
	var list []spot
	for i := range m.Sections {
		s := &m.Sections[i]
		if s.Flags&elf.SHF_ALLOC == 0 || s.Flags&elf.SHF_EXECINSTR != 0 {
			continue
		}
		for _, table := range m.targets[uint32(i)] {
			m.fail(m.Relocations(&m.Sections[table], func(r Relocation) error {
				if uint64(r.Symbol) < uint64(len(m.symbols)) && m.symbols[r.Symbol].Name == "__this_module" && len(list) < maxObjects {
					list = append(list, spot{uint32(i), r.Offset})
				}
				return nil
			}))
		}
	}
	return list
}

// patch reads the struct klp_patch at a spot, if it is one.
func (l *Livepatch) patch(m *memory, at spot) {
	objects, by, ok := m.pointer(spot{at.section, at.offset + m.word})
	if !ok || by.special || by.Undefined() {
		return
	}
	entries := m.table(objects, []uint64{1}, []uint64{0, 2, 3, 4, 5})
	if len(entries) == 0 || len(entries)+len(l.Objects) > maxObjects {
		return
	}
	for _, o := range entries {
		l.object(m, o)
	}
	b := m.data[at.section]
	if off := at.offset + 3*m.word; off < uint64(len(b)) {
		replace := b[off] != 0
		l.Replace = &replace
	}
	if states, by, ok := m.pointer(spot{at.section, at.offset + 2*m.word}); ok && !by.special {
		l.states(m, states)
	}
}

func (l *Livepatch) object(m *memory, at spot) {
	name, named := m.text(at)
	if !named {
		name = Vmlinux
	}
	l.Objects = append(l.Objects, name)
	for i := uint64(2); i < 6; i++ {
		if _, _, ok := m.pointer(spot{at.section, at.offset + i*m.word}); ok {
			l.Callbacks = append(l.Callbacks, name)
			break
		}
	}
	funcs, _, _ := m.pointer(spot{at.section, at.offset + m.word})
	for _, f := range m.table(funcs, []uint64{0, 1}, nil) {
		old, ok := m.text(f)
		if !ok || len(l.Functions) >= maxFunctions {
			continue
		}
		l.Functions = append(l.Functions, Function{
			Object: name, Name: old, Position: m.number(spot{f.section, f.offset + 2*m.word}),
			New: m.function(spot{f.section, f.offset + m.word}),
		})
	}
}

// states reads entries of three words until one without an id.
func (l *Livepatch) states(m *memory, at spot) {
	m.look(at.section)
	for ; len(l.States) < maxObjects; at.offset += 3 * m.word {
		id := m.number(at)
		b := m.data[at.section]
		if from := at.offset + m.word; id == 0 || from+4 > uint64(len(b)) {
			return
		} else {
			l.States = append(l.States, State{id, m.Order().Uint32(b[from:])})
		}
	}
}

// kpatch reads what kpatch-build leaves to its hook: entries of new address
// and size, old address and size, position, name and object.
func (l *Livepatch) kpatch(m *memory, s *Section) {
	l.Kpatch = true
	section := uint32(slices.IndexFunc(m.Sections, func(o Section) bool { return o.Name == s.Name }))
	m.look(section)
	for off := uint64(0); off+7*m.word <= s.Size && len(l.Functions) < maxFunctions; off += 7 * m.word {
		at := func(word uint64) spot { return spot{section, off + word*m.word} }
		name, ok := m.text(at(5))
		if !ok {
			continue
		}
		object, ok := m.text(at(6))
		if !ok {
			object = Vmlinux
		}
		l.Objects = append(l.Objects, object)
		l.Functions = append(l.Functions, Function{object, name, m.number(at(4)), m.function(at(0))})
	}
	for _, section := range [...]string{"pre_patch", "post_patch", "pre_unpatch", "post_unpatch"} {
		if s := m.Section(".kpatch.callbacks." + section); s != nil && s.Size > 0 {
			l.Callbacks = append(l.Callbacks, section)
		}
	}
}

// klpSymbols reads names in the form .klp.sym.OBJECT.NAME,POSITION
// (Documentation/livepatch/module-elf-format.rst).
func klpSymbols(symbols []Symbol) []Function {
	list := []Function{}
	for i := range symbols {
		rest, ok := strings.CutPrefix(symbols[i].Name, ".klp.sym.")
		if !ok || len(list) >= maxFunctions {
			continue
		}
		object, name, _ := strings.Cut(rest, ".")
		name, position, _ := strings.Cut(name, ",")
		var n uint64
		for _, c := range position[:min(len(position), 9)] {
			if c < '0' || c > '9' {
				break
			}
			n = 10*n + uint64(c-'0')
		}
		list = append(list, Function{Object: object, Name: name, Position: n})
	}
	return list
}

func (l *Livepatch) sort() {
	byName := func(a, b Function) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Position, b.Position))
	}
	slices.SortStableFunc(l.Functions, byName)
	slices.SortStableFunc(l.Symbols, byName)
	slices.Sort(l.Objects)
	l.Objects = slices.Compact(l.Objects)
	slices.Sort(l.Callbacks)
	l.Callbacks = slices.Compact(l.Callbacks)
}
