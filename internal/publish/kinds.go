package publish

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/lint"
)

// baseKind is the kind of a base in user space. What has a soname, or asks for no
// interpreter and may lie anywhere, is linked; what is at a fixed place or asks
// for an interpreter is run. Kernels and their modules are recognised by other
// measurements, which an import takes.
func baseKind(facts *build.Facts) (string, error) {
	switch {
	case facts.Kernel:
		return "", errors.New("is a kernel: it becomes a base by patchfit import, with what hosts measure of it")
	case facts.Type == elf.ET_REL:
		return "", errors.New("is not linked: a kernel module becomes a base by patchfit import, with what hosts measure of it")
	case facts.Type == elf.ET_EXEC || facts.Soname == "" && facts.Interpreter != "":
		return attest.BaseELFExecutable, nil
	case facts.Type == elf.ET_DYN:
		return attest.BaseELFLibrary, nil
	}
	return "", fmt.Errorf("is neither a library nor a program, but of ELF type %v", facts.Type)
}

// patchKinds are the kinds of live patches, by what their files are.
var patchKinds = map[string]string{
	lint.KindLivepatch: attest.PatchKernel,
	lint.KindULP:       attest.PatchLibpulp,
	lint.KindELF:       attest.PatchELFTest,
}

// describePatch completes what is said of a patch with what its file says:
// formats of live patches name the functions that they replace.
func describePatch(p *attest.LivePatch, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	report, err := lint.Look(lint.File{Reader: f, Size: p.File.Size}, nil, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	facts := &report.Facts
	kind, ok := patchKinds[facts.Kind]
	if !ok {
		return fmt.Errorf("%s is a %s, no live patch that is delivered: a kernel module that is one, a libpulp patch, or a shared library", path, facts.Kind)
	}
	if p.Kind = kind; kind == attest.PatchELFTest {
		return nil
	}
	if n := facts.MoreFunctions + facts.MoreImports; n > 0 {
		return fmt.Errorf("%s replaces or imports %d more symbols than a patch may", path, n)
	}
	p.Functions, p.Imports = []string{}, []string{}
	for _, fn := range facts.Functions {
		name := fn.Name
		if fn.Object != "" {
			name = fn.Object + ":" + fn.Name
		}
		if fn.Position > 0 {
			name = fmt.Sprintf("%s,%d", name, fn.Position)
		}
		p.Functions = append(p.Functions, name)
	}
	for _, i := range facts.Imports {
		p.Imports = append(p.Imports, i.Symbol)
	}
	return nil
}
