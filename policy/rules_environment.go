package policy

import (
	"strconv"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

const maxDifferences = 64 // findings of one comparison of environments

// environmentMatch asks that everybody names the same environment: the digest
// itself, its target and its builder image. Where the patch's environment is
// not the one of the base the host runs, it tells every field.
func (f *view) environmentMatch() bool {
	switch f.basis.name {
	case attest.FitVendor:
		return f.vendorMatch()
	case attest.FitEquivalent:
		return f.equivalentMatch()
	}
	p := &f.parts
	if !f.complete || f.Host == nil || f.Host.Record == nil || len(f.Host.Bases) == 0 {
		return false
	}
	for _, b := range f.Host.Bases {
		f.hostEnvironment(b)
	}
	f.environmentNamed()
	f.builderNamed()
	f.ev = f.Patch.Base.Statement
	f.target("base/v1", p.environment.Target, p.base.Target)
	f.ev = nil
	f.target("the host record", p.environment.Target, f.Host.Record.Target)
	return true
}

// hostEnvironment compares the environment the patch was made in with that of
// a base the host runs.
func (f *view) hostEnvironment(b *Base) {
	f.ev = f.Patch.Statement
	patch := f.parts.patch
	if b == nil || !b.Environment.Proven() {
		f.differs("environment of the base the host runs", "", string(patch.Environment))
		return
	}
	if b.Environment.File() == patch.Environment {
		return
	}
	want, got := verify.As[attest.Environment](b.Environment), f.Patch.environment()
	if want == nil || got == nil {
		f.differs("environment", string(b.Environment.File()), string(patch.Environment))
		return
	}
	for i, d := range want.Diff(got) {
		if i == maxDifferences {
			f.differs("environment", string(b.Environment.File()), string(patch.Environment))
			return
		}
		f.differs(d.Field, d.Want, d.Got)
	}
}

// environment returns the environment the patch says it was made in.
func (p *Patch) environment() *attest.Environment {
	s := verify.As[attest.LivePatch](p.Statement)
	if s != nil && p.Environment.File() == s.Environment {
		return verify.As[attest.Environment](p.Environment)
	}
	return nil
}

// environmentNamed asks every statement that names the environment for the
// digest of the one the base authority signed. That it is the one base/v1
// names, subjectsMatch asks.
func (f *view) environmentNamed() {
	want := f.Patch.Base.Environment.File()
	f.ev = f.Patch.Statement
	f.same("environment", "livepatch/v1", string(want), string(f.parts.patch.Environment))
	f.ev = f.Patch.Provenance
	f.dependency(attest.DependencyEnvironment, want, &f.chain[1].vetted.environment)
	f.ev = f.Patch.Base.Provenance
	f.dependency(attest.DependencyEnvironment, want, &f.chain[3].vetted.environment)
}

// builderNamed asks the same of the builder image, the one of the environment.
// That its provenance is about it, subjectsMatch asks.
func (f *view) builderNamed() {
	want := f.parts.environment.BuilderImage
	f.ev = f.Patch.Provenance
	f.dependency(attest.DependencyBuilder, want, &f.chain[1].vetted.builder)
	f.ev = f.Patch.Base.Provenance
	f.dependency(attest.DependencyBuilder, want, &f.chain[3].vetted.builder)
}

// dependency asks that provenance names want as its one dependency called name.
func (f *view) dependency(name string, want attest.Digest, got *dependency) {
	if got.named != 1 || got.hex != want.Hex() || got.hex == "" {
		f.differs("resolvedDependencies/"+name, string(want), got.hex)
	}
}

func (f *view) target(of string, want, got attest.Target) {
	if want == got && want != (attest.Target{}) {
		return
	}
	f.same("target/architecture", of, want.Architecture, got.Architecture)
	f.same("target/byteOrder", of, want.ByteOrder, got.ByteOrder)
	f.same("target/wordSize", of, strconv.Itoa(want.WordSize), strconv.Itoa(got.WordSize))
	f.same("target/abi", of, want.ABI, got.ABI)
}
