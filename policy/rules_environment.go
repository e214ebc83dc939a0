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
func (f *view) environmentMatch(found []Finding) (bool, []Finding) {
	p, complete := &f.parts, f.complete
	if !complete || f.Host == nil || f.Host.Record == nil || len(f.Host.Bases) == 0 {
		return false, found
	}
	c := compare(found)
	for _, b := range f.Host.Bases {
		c.hostEnvironment(f, b)
	}
	c.environmentNamed(f, p)
	c.builderNamed(f, p)
	c.ev = f.Patch.Base.Statement
	c.target("base/v1", p.environment.Target, p.base.Target)
	c.ev = nil
	c.target("the host record", p.environment.Target, f.Host.Record.Target)
	return c.done()
}

// hostEnvironment compares the environment the patch was made in with that of
// a base the host runs.
func (c *comparison) hostEnvironment(f *view, b *Base) {
	c.ev = f.Patch.Statement
	patch := verify.As[attest.LivePatch](f.Patch.Statement)
	if b == nil || !b.Environment.Proven() {
		c.differs("environment of the base the host runs", "", string(patch.Environment))
		return
	}
	if b.Environment.File() == patch.Environment {
		return
	}
	want, got := verify.As[attest.Environment](b.Environment), f.Patch.environment()
	if want == nil || got == nil {
		c.differs("environment", string(b.Environment.File()), string(patch.Environment))
		return
	}
	for i, d := range want.Diff(got) {
		if i == maxDifferences {
			c.differs("environment", string(b.Environment.File()), string(patch.Environment))
			return
		}
		c.differs(d.Field, d.Want, d.Got)
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
func (c *comparison) environmentNamed(f *view, p *parts) {
	want := f.Patch.Base.Environment.File()
	c.ev = f.Patch.Statement
	c.same("environment", "livepatch/v1", string(want), string(p.patch.Environment))
	c.ev = f.Patch.Provenance
	c.dependency(p.patchBuild, attest.DependencyEnvironment, want)
	c.ev = f.Patch.Base.Provenance
	c.dependency(p.baseBuild, attest.DependencyEnvironment, want)
}

// builderNamed asks the same of the builder image, the one of the environment.
// That its provenance is about it, subjectsMatch asks.
func (c *comparison) builderNamed(f *view, p *parts) {
	want := p.environment.BuilderImage
	c.ev = f.Patch.Provenance
	c.dependency(p.patchBuild, attest.DependencyBuilder, want)
	c.ev = f.Patch.Base.Provenance
	c.dependency(p.baseBuild, attest.DependencyBuilder, want)
}

// dependency asks that provenance names want as its one dependency called name.
// It compares in place: Provenance.Dependency would make a new string.
func (c *comparison) dependency(p *attest.Provenance, name string, want attest.Digest) {
	named, got := 0, ""
	for i := range p.BuildDefinition.ResolvedDependencies {
		if d := &p.BuildDefinition.ResolvedDependencies[i]; d.Name == name {
			named++
			got = d.Digest["sha256"]
		}
	}
	if named != 1 || got != want.Hex() || got == "" {
		c.differs("resolvedDependencies/"+name, string(want), got)
	}
}

func (c *comparison) target(of string, want, got attest.Target) {
	if want == got && want != (attest.Target{}) {
		return
	}
	c.same("target/architecture", of, want.Architecture, got.Architecture)
	c.same("target/byteOrder", of, want.ByteOrder, got.ByteOrder)
	c.same("target/wordSize", of, strconv.Itoa(want.WordSize), strconv.Itoa(got.WordSize))
	c.same("target/abi", of, want.ABI, got.ABI)
}
