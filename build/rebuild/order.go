package rebuild

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
)

// An Order is what to build, all of it by digest.
type Order struct {
	Manifest    attest.Digest // of the artifact
	File        attest.Digest // its one file
	Patch       bool          // it is a live patch, and the environment its base's
	Environment *attest.Environment
	Source      attest.Digest // of the source archive
	Command     []string
	Recipe      *attest.Recipe

	environment attest.Digest
}

// An Unfit is provenance that does not suffice to build again.
type Unfit struct{ Fact string }

func (u *Unfit) Error() string { return "it cannot be built again: " + u.Fact }

// Read returns the order that provenance gives. environment is the one that the
// artifact's own statement names, and both have to agree.
func Read(p *attest.Provenance, environment *attest.Environment) (*Order, error) {
	d, err := environment.Digest()
	if err != nil {
		return nil, err
	}
	def := &p.BuildDefinition
	named, _ := p.Dependency(attest.DependencyEnvironment)
	builder, _ := p.Dependency(attest.DependencyBuilder)
	archive, ok := p.Dependency(attest.DependencySource)
	switch {
	case !def.InternalParameters.Contained || def.ExternalParameters.Recipe == nil:
		return nil, &Unfit{"its build was not contained in its builder image, so its provenance has no recipe; build it with patchfit build"}
	case named != d:
		return nil, &Unfit{fmt.Sprintf("its provenance names environment %s, its own statement %s", named, d)}
	case builder != environment.BuilderImage:
		return nil, &Unfit{fmt.Sprintf("its provenance names builder image %s, its environment %s", builder, environment.BuilderImage)}
	case !ok:
		return nil, &Unfit{"its provenance names no source"}
	}
	return &Order{
		Environment: environment, environment: d, Source: archive,
		Command: def.ExternalParameters.Command, Recipe: def.ExternalParameters.Recipe,
	}, nil
}

// Base returns the environment that a patch's build is held to; nil where there
// is none.
func (o *Order) Base() *attest.Environment {
	if !o.Patch {
		return nil
	}
	return o.Environment
}
