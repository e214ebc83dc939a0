package vendors

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
	"github.com/patchfit/patchfit/build/object"
	"github.com/patchfit/patchfit/build/vendors/kernel"
	"github.com/patchfit/patchfit/build/vendors/unpack"
)

// A Claim is what an importer says beside what was found.
type Claim struct {
	Product string
	Vendor  string // "": the package's own
	Word    string
	Patch   *Patch // nil: it is a base
}

// A Patch is what an importer says of a live patch that its file does not say.
type Patch struct {
	Base, BaseFile attest.Digest
	Fixes          []string
	Replaces       []attest.Digest
	Requires       []attest.Digest
	Conflicts      []attest.Digest
	Revertible     bool
}

// Import returns the import/v1 of a file that was found in p.
func (p *Package) Import(f *Found, c Claim) (*attest.Import, error) {
	i := &attest.Import{
		Product: c.Product, Origin: attest.OriginImported, Method: p.Method, Vendor: c.Vendor, Word: c.Word, Package: p.Package,
		Chain: p.Chain, Path: f.Path, File: attest.File{Digest: attest.DigestOf(f.Bytes), Size: int64(len(f.Bytes))},
		Measurements: []attest.Measurement{},
	}
	if i.Vendor == "" {
		i.Vendor = p.Vendor
	}
	if i.Vendor == "" {
		return nil, ErrNoVendor
	}
	if p.Method == attest.ImportDir {
		i.Origin = attest.OriginObserved
	} else {
		i.Chain = append(p.Chain[:len(p.Chain):len(p.Chain)], attest.ImportStep{What: attest.StepFile, Digest: i.File.Digest})
	}
	describe := describeBase
	if c.Patch != nil {
		describe = describePatch
	}
	if err := describe(i, f, c.Patch); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return i, nil
}

// plain returns the bytes of a file that may be compressed, as modules are. A
// boot image is not unpacked.
func plain(b []byte) ([]byte, error) {
	if !unpack.Compressed(b) {
		return b, nil
	}
	return unpack.All(b, unpack.MaxFile)
}

func describeBase(i *attest.Import, f *Found, _ *Patch) error {
	if kernel.IsImage(f.Bytes) {
		return describeKernel(i, f)
	}
	b, err := plain(f.Bytes)
	if err != nil {
		return err
	}
	facts, err := build.ParseELF(b)
	if err != nil {
		return err
	}
	i.Target = facts.Target
	switch {
	case kernel.HasSection(b, ".modinfo"):
		i.Kind = attest.BaseModule
		observe(i, f)
		i.Measurements, err = kernel.MeasureModule(b)
	case kernel.HasSection(b, ".notes"): // of others they are .note.something
		return describeKernel(i, f)
	case facts.BuildID == "":
		return errors.New("no GNU build-id, so hosts cannot tell that they run it")
	case len(b) != len(f.Bytes):
		return errors.New("a compressed library is nothing a host maps")
	default:
		i.Kind = attest.BaseELFLibrary
		if facts.Soname == "" && kernel.HasSection(b, ".interp") {
			i.Kind = attest.BaseELFExecutable
		}
		i.Measurements = []attest.Measurement{{Kind: attest.MeasureELFFile, Digest: i.File.Digest, BuildID: facts.BuildID}}
	}
	return err
}

func describeKernel(i *attest.Import, f *Found) error {
	elf, err := kernel.ELF(f.Bytes)
	if err != nil {
		return err
	}
	if i.Target, err = kernel.Target(elf); err != nil {
		return err
	}
	i.Kind = attest.BaseKernel
	observe(i, f)
	i.Measurements, err = kernel.Measure(elf)
	return err
}

// observe takes what the configuration in the package says of the build.
func observe(i *attest.Import, f *Found) {
	if f.Config != nil {
		i.Observed = attest.Observed{Configuration: attest.DigestOf(f.Config), Compiler: kernel.Compiler(f.Config)}
	}
}

func describePatch(i *attest.Import, f *Found, p *Patch) error {
	b, err := plain(f.Bytes)
	if err != nil {
		return err
	}
	facts, err := build.ParseELF(b)
	if err != nil {
		return err
	}
	kind, functions, err := patchOf(b)
	if err != nil {
		return err
	}
	if functions == nil {
		functions = facts.Functions
	}
	i.Kind, i.Target = kind, facts.Target
	i.Patch = &attest.ImportedPatch{
		Base: p.Base, BaseFile: p.BaseFile, Unsigned: facts.Digests.WithoutSignature, Code: facts.Digests.Code,
		Functions: functions, Imports: facts.Imports, Fixes: list(p.Fixes),
		Replaces: list(p.Replaces), Requires: list(p.Requires), Conflicts: list(p.Conflicts), Revertible: p.Revertible,
	}
	return nil
}

// patchOf tells what a patch is by what is in it, and of a kernel's which
// functions it replaces.
func patchOf(b []byte) (kind string, functions []string, err error) {
	e, err := object.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return "", nil, err
	}
	m, err := object.ReadModule(e)
	switch {
	case err != nil:
		return "", nil, err
	case m != nil && (m.Livepatch == nil || !m.Livepatch.Marked):
		return "", nil, errors.New("a kernel module that is no live patch: it lacks the modinfo livepatch=Y")
	case m != nil:
		functions = []string{}
		for _, f := range m.Livepatch.Functions {
			functions = append(functions, f.Name)
		}
		slices.Sort(functions)
		return attest.PatchKernel, slices.Compact(functions), nil
	case kernel.HasSection(b, ".ulp"):
		return attest.PatchLibpulp, nil, nil
	}
	return attest.PatchELFTest, nil, nil
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
