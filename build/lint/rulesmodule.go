package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

func (l *look) moduleRules() {
	f := &l.report.Facts
	if !f.Signed {
		l.find(ModuleUnsigned, "no signature is appended")
	}
	l.release()
	l.compiler()
	l.importRules()
	if len(f.Shadow) > 0 {
		l.find(KLPShadow, "it uses %s", strings.Join(f.Shadow, ", "))
	}
}

// release compares what the module says of the release it was built for with
// what the base, or whoever declares it, says.
func (l *look) release() {
	f := &l.report.Facts
	mine, flags, _ := strings.Cut(f.Vermagic, " ")
	if f.BuildSalt != "" && mine != "" && f.BuildSalt != mine {
		l.find(ModuleSalt, "its vermagic says %s, its build salt %s", mine, f.BuildSalt)
	}
	want, wantFlags := l.baseRelease()
	if want == "" {
		l.unchecked(ModuleVermagic, "the release of the base is not known: it has no vermagic or build salt, and none is declared")
		return
	}
	if mine != want {
		l.find(ModuleVermagic, "its vermagic says %s, the base is %s", orNothing(mine), want)
	}
	if wantFlags != "" && strings.TrimSpace(flags) != strings.TrimSpace(wantFlags) {
		l.find(ModuleVermagic, "its vermagic has flags %q, the base's %q", strings.TrimSpace(flags), strings.TrimSpace(wantFlags))
	}
}

func orNothing(s string) string { return cmp.Or(s, "nothing") }

// baseRelease returns the release of the base, and the flags of its vermagic
// where that is a module.
func (l *look) baseRelease() (release, flags string) {
	if l.base != nil && l.base.module != nil {
		if v, ok := l.base.module.Value("vermagic"); ok {
			release, flags, _ = strings.Cut(v, " ")
		}
	}
	if release == "" && l.base != nil && l.base.elf != nil {
		release, _ = l.base.elf.BuildSalt()
	}
	if release == "" && l.base != nil {
		release = l.base.release
	}
	return cmp.Or(l.options.Declared.Release, release), flags
}

// compiler compares the compiler strings of both files.
func (l *look) compiler() {
	f := &l.report.Facts
	if l.base == nil || l.base.elf == nil {
		l.unchecked(ModuleCompiler, "%s", l.noBase("a readable ELF file"))
		return
	}
	list, err := l.base.elf.Compilers()
	theirs := cleaned(list)
	switch {
	case err != nil || len(theirs) == 0:
		l.unchecked(ModuleCompiler, "the base does not say what compiled it")
	case len(f.Compilers) == 0:
		l.unchecked(ModuleCompiler, "the patch does not say what compiled it")
	case !slices.Equal(f.Compilers, theirs):
		l.find(ModuleCompiler, "the patch was compiled by %s, the base by %s", strings.Join(f.Compilers, " and "), strings.Join(theirs, " and "))
	}
}

// importRules compares imports and their checksums with what the base exports.
func (l *look) importRules() {
	m := l.module
	if !m.Versioned && len(m.Imports) > 0 {
		l.find(ImportUnversion, "it takes %s from elsewhere and has no checksums of them", many(len(m.Imports), "symbol"))
	}
	if l.base == nil || len(l.base.exports) == 0 {
		why := "the base tells no checksums of what it exports; give its Module.symvers"
		if l.base == nil {
			why = l.noBase("")
		}
		l.unchecked(ImportCRC, "%s", why)
		l.unchecked(ImportAbsent, "%s", why)
		return
	}
	others, _ := m.Value("depends")
	alone := l.base.object == object.Vmlinux && others == ""
	if !alone {
		l.unchecked(ImportAbsent, "it takes symbols from other modules, too, or the base is one")
	}
	for _, v := range m.Versions {
		switch crc, ok := l.base.exports[v.Symbol]; {
		case !ok && alone:
			l.find(ImportAbsent, "%s is not exported by the base", v.Symbol)
		case ok && crc != v.CRC:
			l.find(ImportCRC, "%s has checksum %s, in the base %s", v.Symbol, hexCRC(v.CRC), hexCRC(crc))
		}
	}
}

func (l *look) livepatchRules() {
	f, p := &l.report.Facts, l.module.Livepatch
	if !p.Marked {
		l.find(KLPUnmarked, "it calls klp_enable_patch and its .modinfo does not say livepatch=Y")
	}
	if len(p.Functions) == 0 {
		l.find(KLPNoFunctions, "no table of functions was found")
	}
	if p.Replace != nil && *p.Replace {
		l.find(KLPReplace, "replace is set")
	}
	if p.Kpatch {
		l.unchecked(KLPReplace, "kpatch-build sets it in code, not in a table")
	}
	if len(p.Callbacks) > 0 {
		l.find(KLPCallbacks, "it has callbacks for %s", strings.Join(f.Callbacks, ", "))
	}
	if len(f.States) > 0 {
		l.find(KLPStates, "it has %s, the first %s in version %d", many(len(p.States), "state"), f.States[0].ID, f.States[0].Version)
	}
	for _, fn := range p.Functions {
		l.symbol(fn, "it patches")
	}
	for _, fn := range p.Symbols {
		l.symbol(fn, "it asks for")
	}
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func there(n uint64) string {
	if n == 1 {
		return "there is 1"
	}
	return fmt.Sprintf("there are %d", n)
}

// symbol looks for a function as the kernel does: by name, and by position
// where there are several.
func (l *look) symbol(fn object.Function, does string) {
	switch {
	case l.base == nil || l.base.symbols == nil || l.base.symbols.Len() == 0:
		l.unchecked(SymbolAbsent, "%s", l.noBase("a file with symbols; give its System.map"))
		return
	case !l.base.symbols.Has(fn.Object):
		l.unchecked(SymbolAbsent, "the symbols of %s are not given", fn.Object)
		return
	}
	found := l.base.symbols.Find(fn.Object, fn.Name)
	n := uint64(len(found))
	switch {
	case n == 0:
		l.find(SymbolAbsent, "%s %s of %s, which is not there%s", does, fn.Name, fn.Object, l.parts(fn.Name))
	case fn.Position == 0 && n > 1:
		l.find(SymbolAmbiguous, "%s %s of %s, and %s of that name", does, fn.Name, fn.Object, there(n))
	case fn.Position > n:
		l.find(SymbolPosition, "%s %s of %s at position %d, and %s of that name", does, fn.Name, fn.Object, fn.Position, there(n))
	case does == "it patches":
		l.clones(fn.Object, fn.Name)
	}
}
