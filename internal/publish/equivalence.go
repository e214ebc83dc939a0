package publish

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build"
)

// An Equivalence is the base authority's word on its way, that patches built in
// one environment fit a base all the same.
type Equivalence struct {
	Base    string         // tag or digest of the base in the repository
	Capture *build.Capture // of a patch that was built in that environment
	Reason  string         // one line for people
	// Tell is called with the statement before anything is pushed; an error ends
	// it. Nil: nobody is told.
	Tell func(*attest.Equivalence) error
}

// Equivalence publishes the environment of a capture, and
// environment-equivalence/v1 about a base: each field that differs from the
// base's environment, or what nobody observed of an imported base.
func (p *Publisher) Equivalence(ctx context.Context, e Equivalence) (*Result, error) {
	defer p.progress.Clear()
	base, err := p.repo.manifest(ctx, e.Base)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", e.Base, err)
	}
	if base.ArtifactType != attest.ArtifactBase || len(base.Layers) != 1 {
		return nil, fmt.Errorf("%s is no base: its type is %q", e.Base, base.ArtifactType)
	}
	q := &attest.Equivalence{
		Product: p.config.Product, BaseFile: base.file(), Environment: e.Capture.EnvironmentDigest, Reason: e.Reason,
		Differences: []attest.VouchedDifference{}, Unobserved: []string{},
	}
	if err := p.compare(ctx, base, e.Capture.Environment, q); err != nil {
		return nil, err
	}
	c := claim{attest.TypeEquivalence, base.subjects(), q}
	if err := sayable([]claim{c}); err != nil {
		return nil, err
	}
	if e.Tell != nil {
		if err := e.Tell(q); err != nil {
			return nil, err
		}
	}
	r := p.result()
	if _, err := p.environment(ctx, r, e.Capture.Environment); err != nil {
		return nil, err
	}
	return r, p.say(ctx, r, base.descriptor, c)
}

// compare fills in what a statement about base has to name. What nobody can
// vouch for is a [*build.MismatchError].
func (p *Publisher) compare(ctx context.Context, base *manifest, got *attest.Environment, q *attest.Equivalence) error {
	if base.Subject == nil {
		i, err := p.importOf(ctx, base)
		if err != nil {
			return err
		}
		q.Unobserved = i.Observed.Unobserved()
		return nil
	}
	of, want, err := p.environmentOf(ctx, base)
	if err != nil {
		return err
	}
	if never := want.Unvouchable(got); len(never) > 0 {
		return &build.MismatchError{Differences: never}
	}
	q.BaseEnvironment, q.Differences = of, attest.Vouch(want.Diff(got))
	return nil
}

// environmentOf returns the environment a base is attached to.
func (p *Publisher) environmentOf(ctx context.Context, base *manifest) (attest.Digest, *attest.Environment, error) {
	m, err := p.repo.manifest(ctx, string(base.Subject.Digest))
	if err != nil {
		return "", nil, fmt.Errorf("the base's environment: %w", err)
	}
	raw, err := p.repo.blob(ctx, m.Config, attest.MaxEnvironment)
	if err != nil {
		return "", nil, fmt.Errorf("the base's environment: %w", err)
	}
	env, err := attest.ParseEnvironment(raw)
	if err != nil {
		return "", nil, fmt.Errorf("the base's environment: %w", err)
	}
	return attest.Digest(m.Config.Digest), env, nil
}

// importOf returns what an import says of a base. Whether it counts, the server
// decides.
func (p *Publisher) importOf(ctx context.Context, base *manifest) (*attest.Import, error) {
	var found *attest.Import
	err := p.eachBundle(ctx, base.descriptor, func(_ []byte, b *attest.Bundle) {
		if i, ok := b.Statement.Predicate.(*attest.Import); ok {
			found = i
		}
	})
	if err == nil && found == nil {
		err = errors.New("the base has neither an environment nor an import")
	}
	return found, err
}

// vouched reports whether a statement about base vouches for an environment.
// Whether that counts, the server decides.
func (p *Publisher) vouched(ctx context.Context, base *manifest, environment attest.Digest) (bool, error) {
	found := false
	err := p.eachBundle(ctx, base.descriptor, func(_ []byte, b *attest.Bundle) {
		q, ok := b.Statement.Predicate.(*attest.Equivalence)
		found = found || ok && q.Environment == environment
	})
	return found, err
}

// eachBundle visits the bundles that are attached to a manifest and can be read.
func (p *Publisher) eachBundle(ctx context.Context, subject ocispec.Descriptor, visit func(raw []byte, b *attest.Bundle)) error {
	err := p.repo.Referrers(ctx, subject, attest.ArtifactBundle, func(list []ocispec.Descriptor) error {
		for _, d := range list {
			if d.ArtifactType != attest.ArtifactBundle {
				continue
			}
			raw, err := p.readBundle(ctx, d)
			if err != nil {
				return err
			}
			if b, err := attest.ParseBundle(raw); err == nil {
				visit(raw, b)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for what is attached already: %w", translate(err))
	}
	return nil
}
