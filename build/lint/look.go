package lint

import (
	"debug/elf"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/patchfit/patchfit/build/object"
)

const defaultDebug = 64 << 20

// look is one look at a patch and its base.
type look struct {
	options Options
	report  *Report

	elf    *object.ELF // nil: it is none, or cannot be read
	module *object.Module
	ulp    *object.ULP
	revert *object.ULP
	kpatch *object.Kpatch
	base   *base
}

// base is what is known of the base. Its members are zero where they are not.
type base struct {
	elf     *object.ELF
	module  *object.Module
	ident   *object.Ident
	buildID string
	name    string // soname, or name of the module
	symbols *object.Table
	exports map[string]uint32
	object  string // what live patches call it; "": not told
	release string // of a kernel as it is booted
}

func hexCRC(crc uint32) string { return fmt.Sprintf("0x%08x", crc) }

// patch reads the patch.
func (l *look) patch(p File) error {
	f := &l.report.Facts
	f.Functions, f.Imports = []Function{}, []Import{}
	digests, err := object.DigestsOf(p.Reader, p.Size)
	switch {
	case err == nil:
		l.report.Patch, f.Digests = digests.File, &digests
	case !unreadable(err):
		return err
	default:
		if l.report.Patch, err = object.FileDigest(p.Reader, p.Size); err != nil {
			return err
		}
	}
	if err := l.read(p); err != nil {
		if !unreadable(err) {
			return err
		}
		l.find(FileUnreadable, "%v", err)
	}
	return nil
}

// read finds out what kind of file the patch is.
func (l *look) read(p File) error {
	f := &l.report.Facts
	if object.IsKpatch(p.Reader) {
		f.Kind = KindKpatch
		return l.readKpatch(p)
	}
	id, ok := object.ReadIdent(p.Reader)
	if !ok {
		f.Kind = KindUnknown
		l.find(FileUnknown, "neither an ELF file nor a libcare patch%s", packed(p.Reader))
		return nil
	}
	f.Kind, f.Target = KindELF, machineOf(id)
	e, err := object.Open(p.Reader, p.Size)
	if err != nil {
		return err
	}
	l.elf = e
	if err := l.readELF(); err != nil {
		return err
	}
	if l.module, err = object.ReadModule(e); err != nil {
		return err
	}
	if l.module != nil {
		return l.readModule()
	}
	if l.ulp, err = object.ReadULP(e, ".ulp"); err != nil {
		return err
	}
	if l.ulp != nil {
		return l.readULP()
	}
	return l.readOther()
}

func (l *look) readELF() error {
	f, e := &l.report.Facts, l.elf
	var err error
	if f.BuildID, err = e.BuildID(); err != nil {
		return err
	}
	compilers, err := e.Compilers()
	if err != nil {
		return err
	}
	f.Compilers = cleaned(compilers)
	f.Signed = e.Signature != nil
	soname, _, err := e.Dynamic()
	f.Name = clean(soname, maxText)
	return err
}

func (l *look) readModule() error {
	f, m := &l.report.Facts, l.module
	f.Kind = KindModule
	name, _ := m.Value("name")
	vermagic, _ := m.Value("vermagic")
	f.Name, f.Vermagic = clean(name, maxText), clean(vermagic, maxText)
	salt, err := l.elf.BuildSalt()
	if err != nil {
		return err
	}
	f.BuildSalt = clean(salt, maxText)
	f.imports(m.Imports, m.Versions)
	var shadow []string
	for _, s := range m.Imports {
		if strings.HasPrefix(s, "klp_shadow_") {
			shadow = append(shadow, s)
		}
	}
	f.Shadow = cleaned(shadow)
	p := m.Livepatch
	if p == nil {
		return nil
	}
	f.Kind, f.Replace, f.Callbacks = KindLivepatch, p.Replace, cleaned(p.Callbacks)
	f.functions(p.Functions)
	for _, s := range p.Symbols[:min(len(p.Symbols), maxListed)] {
		f.Asks = append(f.Asks, toFunction(s))
	}
	for _, s := range p.States[:min(len(p.States), maxListed)] {
		f.States = append(f.States, State{strconv.FormatUint(s.ID, 10), int64(s.Version)})
	}
	return nil
}

func (l *look) readULP() error {
	f, u := &l.report.Facts, l.ulp
	f.Kind, f.For = KindULP, &For{clean(u.Target, maxText), u.BuildID}
	f.Depends = cleaned(u.Depends)
	for i, unit := range u.Units {
		if i == maxListed {
			f.MoreFunctions = len(u.Units) - i
			break
		}
		f.Functions = append(f.Functions, Function{Name: clean(unit.Old, maxText), New: clean(unit.New, maxText), Address: fmt.Sprintf("%#x", unit.Address)})
	}
	if err := l.readOther(); err != nil {
		return err
	}
	f.Kind = KindULP
	var err error
	l.revert, err = object.ReadULP(l.elf, ".ulp.rev")
	return err
}

// readOther lists what any ELF file takes from elsewhere.
func (l *look) readOther() error {
	names, err := l.elf.Imports()
	if err != nil {
		return err
	}
	l.report.Facts.imports(names, nil)
	return nil
}

func (l *look) readKpatch(p File) error {
	k, err := object.ReadKpatch(p.Reader, p.Size)
	if err != nil {
		return err
	}
	l.kpatch = k
	f := &l.report.Facts
	f.For = &For{Name: clean(k.Module, maxText)}
	if isHex(k.Target) {
		f.For.BuildID = k.Target
	}
	for i, name := range k.Functions {
		if i == maxListed {
			f.MoreFunctions = len(k.Functions) - i
			break
		}
		f.Functions = append(f.Functions, Function{Name: clean(name, maxText)})
	}
	if id, ok := object.ReadIdent(k.Body(p.Reader, p.Size)); ok {
		f.Target = machineOf(id)
	}
	return nil
}

// packed says what a file is packed with, as distributions pack modules.
func packed(r io.ReaderAt) string {
	var b [6]byte
	n, _ := r.ReadAt(b[:], 0)
	for magic, by := range map[string]string{"\xfd7zXZ\x00": "xz", "\x28\xb5\x2f\xfd": "zstd", "\x1f\x8b": "gzip"} {
		if strings.HasPrefix(string(b[:n]), magic) {
			return "; it is packed with " + by + ": unpack it first"
		}
	}
	return ""
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// newBase returns what is declared of a base: tables are those of a kernel.
func newBase(d Declared) *base {
	b := &base{symbols: d.Symbols, exports: d.Exports}
	if d.Symbols != nil || d.Exports != nil {
		b.object = object.Vmlinux
	}
	return b
}

// readBase reads the base. What of it cannot be read is not known of it.
func (l *look) readBase(p File) error {
	b := newBase(l.options.Declared)
	l.base = b
	var err error
	if l.report.Base, err = object.FileDigest(p.Reader, p.Size); err != nil {
		return err
	}
	if boot := object.ReadBootImage(p.Reader); boot != nil {
		b.ident, b.release, b.object = &boot.Ident, boot.Release, object.Vmlinux
		return nil
	}
	id, ok := object.ReadIdent(p.Reader)
	if !ok {
		return nil
	}
	b.ident = &id
	if b.elf, err = object.Open(p.Reader, p.Size); err == nil {
		err = b.read()
	}
	if err != nil && !unreadable(err) {
		return err
	}
	if err != nil {
		l.unchecked(FileUnreadable, "the base cannot be read: %v", err)
	}
	return nil
}

func (b *base) read() error {
	var err error
	if b.buildID, err = b.elf.BuildID(); err != nil {
		return err
	}
	if b.name, _, err = b.elf.Dynamic(); err != nil {
		return err
	}
	if b.module, err = object.ReadModule(b.elf); err != nil {
		return err
	}
	switch {
	case b.module != nil:
		b.name, _ = b.module.Value("name")
		b.object = b.name
	case b.elf.Type != elf.ET_REL && b.elf.Section("__ksymtab") != nil:
		b.object = object.Vmlinux
	}
	if b.symbols == nil {
		if b.symbols, err = object.TableOf(b.elf, b.object); err != nil {
			return err
		}
	}
	if b.exports == nil && b.object != "" {
		b.exports, err = object.Exports(b.elf)
	}
	return err
}

func lastElement(s string) string { return path.Base(s) }
