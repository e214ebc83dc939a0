package admit

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// fits checks that a statement agrees with the manifest it is about and with
// what that is attached to.
func (s said) fits() error {
	if b := verify.As[attest.Base](s.evidence); b != nil {
		return s.base(b)
	}
	if p := verify.As[attest.LivePatch](s.evidence); p != nil {
		return s.patch(p)
	}
	if p := verify.As[attest.Provenance](s.evidence); p != nil {
		return s.provenance(p)
	}
	if i := verify.As[attest.Import](s.evidence); i != nil {
		return s.imported(i)
	}
	if q := verify.As[attest.Equivalence](s.evidence); q != nil {
		return s.equivalence(q)
	}
	if r := verify.As[attest.Rebuild](s.evidence); r != nil {
		return s.rebuilt(r)
	}
	if s.evidence.Type() == attest.TypeAdjudication {
		return s.wholeSubject()
	}
	return nil // environment/v1: its file is the config, which its parser saw to
}

func (s said) base(b *attest.Base) error {
	if err := s.file(b.File); err != nil {
		return err
	}
	environment, err := s.environmentOf(s.subject)
	if err != nil {
		return err
	}
	return s.sameEnvironment(environment, b.Environment)
}

func (s said) patch(p *attest.LivePatch) error {
	if err := s.file(p.File); err != nil {
		return err
	}
	base, err := s.attached(p.Base, p.BaseFile)
	if err != nil {
		return err
	}
	return s.suits(base, p.Environment)
}

// provenance of a base or a patch names the environment; that of a builder
// image names neither.
func (s said) provenance(p *attest.Provenance) error {
	if s.subject.Type != attest.ArtifactBase && s.subject.Type != attest.ArtifactPatch {
		return nil
	}
	got, ok := p.Dependency(attest.DependencyEnvironment)
	if !ok {
		return corrupt("/predicate/buildDefinition/resolvedDependencies: does not name %s exactly once with a sha256", attest.DependencyEnvironment)
	}
	if s.subject.Type == attest.ArtifactPatch {
		return s.patchBuild(got)
	}
	want, err := s.environmentOf(s.subject)
	if err != nil {
		return err
	}
	return s.sameEnvironment(want, got)
}

func (s said) file(f attest.File) error {
	if f.Digest != s.subject.File || f.Size != s.subject.FileSize {
		return refuse(verify.SubjectMismatch, "/predicate/file: %s of %d bytes, want %s of %d, the manifest's one file",
			f.Digest, f.Size, orNone(s.subject.File), s.subject.FileSize)
	}
	return nil
}

// environmentOf returns the environment that a base is attached to.
func (s said) environmentOf(base *state.Manifest) (attest.Digest, error) {
	m, ok := s.admitter.state.Manifest(base.Repository, base.Subject)
	if !ok || m.Type != attest.ArtifactEnv {
		return "", refuse(verify.SubjectMismatch, "base %s is attached to %s, which is no environment in this repository", base.Artifact.Manifest, orNone(base.Subject))
	}
	return m.File, nil
}

func (s said) patchBuild(environment attest.Digest) error {
	base, ok := s.admitter.state.Manifest(s.subject.Repository, s.subject.Subject)
	if !ok {
		return refuse(verify.UnknownBase, "the patch is attached to %s, which is not in this repository", orNone(s.subject.Subject))
	}
	return s.suits(base, environment)
}

// baseEnvironment returns the environment that the base authority says a base
// was built in. Until it has said so, nothing fits the base.
func (s said) baseEnvironment(base *state.Manifest) (attest.Digest, error) {
	for _, e := range s.admitter.state.Evidence(base.Repository, base.Artifact.Manifest) {
		b := verify.As[attest.Base](e.Evidence)
		if b != nil && b.Product == s.product && s.trust.Trusted(s.product, attest.RoleBase, e.Evidence) {
			return b.Environment, nil
		}
	}
	return "", refuse(verify.UnknownBase, "base %s has no trusted base/v1 yet; publish the base before its patches", base.Artifact.Manifest)
}

// sameEnvironment refuses another environment, and where both are known here
// it tells every field, as the gate would.
func (s said) sameEnvironment(want, got attest.Digest) error {
	if want == got {
		return nil
	}
	fact := fmt.Sprintf("environment is %s, want %s", got, want)
	w, g := s.environment(want), s.environment(got)
	if w != nil && g != nil {
		fact = told(w.Diff(g))
	}
	return refuse(verify.EnvMismatch, "%s", fact)
}

// environment returns the environment with this digest that the base authority
// signed; nil: none.
func (s said) environment(d attest.Digest) *attest.Environment {
	for _, e := range s.admitter.state.EnvironmentEvidence(s.subject.Repository, d) {
		if s.trust.Trusted(s.product, attest.RoleBase, e.Evidence) {
			return verify.As[attest.Environment](e.Evidence)
		}
	}
	return nil
}
