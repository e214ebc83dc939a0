package lint

import (
	"cmp"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

// rules applies every rule that has what it needs.
func (l *look) rules() {
	l.machine()
	if l.module != nil {
		l.moduleRules()
	}
	if l.module != nil && l.module.Livepatch != nil {
		l.livepatchRules()
	}
	if l.ulp != nil {
		l.ulpRules()
	}
	l.target()
	l.inlined()
}

// machine compares what both files are for.
func (l *look) machine() {
	p := l.report.Facts.Target
	if p == nil {
		return
	}
	if l.base == nil || l.base.ident == nil {
		for _, id := range [...]ID{ELFClass, ELFByteOrder, ELFMachine} {
			l.unchecked(id, "%s", l.noBase("an ELF file"))
		}
		return
	}
	b := machineOf(*l.base.ident)
	if p.Class != b.Class {
		l.find(ELFClass, "the patch is for %s bits, the base for %s", p.Class, b.Class)
	}
	if p.ByteOrder != b.ByteOrder {
		l.find(ELFByteOrder, "the patch says %s endian, the base %s endian", p.ByteOrder, b.ByteOrder)
		return // the machine was read in the wrong order
	}
	if p.Machine != b.Machine {
		l.find(ELFMachine, "the patch is for %s, the base for %s", p.Machine, b.Machine)
	}
}

// noBase says why the base does not help.
func (l *look) noBase(what string) string {
	if l.base == nil {
		return cmp.Or(l.options.NoBase, "no base is given")
	}
	return "the base is not " + what
}

// target compares what a patch of user space says it is for with the base.
func (l *look) target() {
	f := l.report.Facts.For
	if f == nil {
		return
	}
	switch {
	case l.base == nil || l.base.elf == nil:
		l.unchecked(TargetBuildID, "%s", l.noBase("a readable ELF file"))
	case f.BuildID == "":
		l.unchecked(TargetBuildID, "the patch names no build-id")
	case l.base.buildID == "":
		l.unchecked(TargetBuildID, "the base has no build-id")
	case f.BuildID != l.base.buildID:
		l.find(TargetBuildID, "the patch is for build-id %s, the base has %s", f.BuildID, l.base.buildID)
	}
	if l.base == nil || l.base.name == "" || f.Name == "" {
		return
	}
	if name := lastElement(f.Name); name != l.base.name && !strings.HasPrefix(name, l.base.name+".") && l.ulp != nil {
		l.find(TargetName, "the patch is for %s, the base calls itself %s", name, l.base.name)
	}
}

func (l *look) ulpRules() {
	switch {
	case l.revert == nil:
		l.find(ULPIrreversible, "there is no section .ulp.rev")
	case !l.revert.Revert || l.revert.PatchID != l.ulp.PatchID:
		l.find(ULPIrreversible, "section .ulp.rev does not take off this patch: its id is %s, the patch's %s", l.revert.PatchID, l.ulp.PatchID)
	}
	own, err := object.TableOf(l.elf, "")
	for _, u := range l.ulp.Units {
		if err == nil && len(own.Find("", u.New)) == 0 {
			l.find(ULPNewFunction, "%s is to replace %s and is not in the patch", u.New, u.Old)
		}
		l.unit(u)
	}
}

func (l *look) unit(u object.ULPUnit) {
	if l.base == nil || l.base.symbols == nil || l.base.symbols.Len() == 0 {
		l.unchecked(SymbolAbsent, "%s", l.noBase("a file with symbols"))
		return
	}
	found := l.base.symbols.Find(l.base.object, u.Old)
	if len(found) == 0 {
		l.find(SymbolAbsent, "%s is not in the base%s", u.Old, l.parts(u.Old))
		return
	}
	for _, e := range found {
		if e.Address == u.Address {
			l.clones("", u.Old)
			return
		}
	}
	l.find(ULPAddress, "the patch says %s is at %#x, in the base it is at %#x", u.Old, u.Address, found[0].Address)
}

// parts says under which names parts of a function that is not there are.
func (l *look) parts(name string) string {
	if list := l.base.symbols.Parts(name); len(list) > 0 {
		return ", which has " + strings.Join(list[:min(len(list), 8)], ", ")
	}
	return ""
}

// clones tells of parts and copies of a function that is there.
func (l *look) clones(object, name string) {
	var list []string
	for _, part := range l.base.symbols.Parts(name) {
		suffix := strings.TrimPrefix(part, name)
		if strings.HasPrefix(suffix, ".cold") { // its own unlikely half: reached from it alone
			continue
		}
		if object == "" || len(l.base.symbols.Find(object, part)) > 0 {
			list = append(list, part)
		}
	}
	if len(list) > 0 {
		l.find(SymbolParts, "beside %s the base has %s", name, strings.Join(list[:min(len(list), 8)], ", "))
	}
}

// inlined tells of copies of the patched functions in the base.
func (l *look) inlined() {
	f := &l.report.Facts
	if len(f.Functions) == 0 {
		return
	}
	if l.base == nil || l.base.elf == nil {
		l.unchecked(SymbolInlined, "%s", l.noBase("a readable ELF file"))
		return
	}
	var names []string
	for _, fn := range f.Functions {
		if fn.Object == "" || fn.Object == l.base.object {
			names = append(names, fn.Name)
		}
	}
	limit := l.options.MaxDebug
	if limit == 0 {
		limit = defaultDebug
	}
	list, err := object.Inlined(l.base.elf, names, limit)
	if err != nil {
		l.unchecked(SymbolInlined, "the base: %v", err)
		return
	}
	for _, in := range list {
		f.Inlined = append(f.Inlined, Inline{clean(in.Name, maxText), in.Copies, append([]string{}, cleaned(in.Callers)...)})
		l.find(SymbolInlined, "the base has %d copies of %s in other functions: %s", in.Copies, in.Name, orUnknown(strings.Join(in.Callers, ", ")))
	}
}

func orUnknown(s string) string {
	if s == "" {
		return "which, its debug information does not say"
	}
	return s
}
