package admit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify"
)

// What is said of bases and patches that fit by another basis than one
// environment: imports, and environments that are vouched for.

// base admits the artifact of a base. One that was built here is attached to
// its environment; one of others is attached to nothing.
func (a *Admitter) base(m *state.Manifest) error {
	if m.SubjectName == "" {
		return aloneFile(m)
	}
	return a.oneFile(m, attest.ArtifactEnv, "environment")
}

// imported checks that an import is about a base, or about a patch that is
// attached to the base it names.
func (s said) imported(i *attest.Import) error {
	if err := s.file(i.File); err != nil {
		return err
	}
	if (i.Patch != nil) != (s.subject.Type == attest.ArtifactPatch) {
		return refuse(verify.SubjectMismatch, "/predicate/kind: %q is not what an artifact of type %s is", i.Kind, s.subject.Type)
	}
	if i.Patch == nil {
		return nil
	}
	_, err := s.attached(i.Patch.Base, i.Patch.BaseFile)
	return err
}

// attached returns the base a patch is attached to, which its statement has to
// name.
func (s said) attached(manifest, file attest.Digest) (*state.Manifest, error) {
	if manifest != s.subject.Subject {
		return nil, refuse(verify.BaseMismatch, "/predicate/base: %s, want %s, what the patch is attached to", manifest, orNone(s.subject.Subject))
	}
	base, ok := s.admitter.state.Manifest(s.subject.Repository, manifest)
	if !ok {
		return nil, refuse(verify.UnknownBase, "/predicate/base: %s is not in this repository", manifest)
	}
	if file != base.File {
		return nil, refuse(verify.BaseMismatch, "/predicate/baseFile: %s, want %s, the base's one file", file, base.File)
	}
	return base, nil
}

// suits asks that what was built in an environment fits a base: it is the
// base's own, or the base authority vouches for it.
func (s said) suits(base *state.Manifest, got attest.Digest) error {
	if s.vouched(base, got) {
		return nil
	}
	want, err := s.baseEnvironment(base)
	if err == nil {
		return s.sameEnvironment(want, got)
	}
	if s.importOf(base) == nil {
		return err
	}
	return refuse(verify.EnvMismatch, "base %s was imported and claims no environment, and nobody who may vouches for %s; publish environment-equivalence/v1 first, and see that the product accepts the basis of fit %s",
		base.Artifact.Manifest, got, attest.FitEquivalent)
}

// vouched reports whether the base authority vouches for an environment, and
// the product accepts that.
func (s said) vouched(base *state.Manifest, environment attest.Digest) bool {
	if p, ok := s.trust.Product(s.product); !ok || !slices.Contains(p.FitBases, attest.FitEquivalent) {
		return false
	}
	for _, e := range s.admitter.state.Evidence(base.Repository, base.Artifact.Manifest) {
		q := verify.As[attest.Equivalence](e.Evidence)
		if q != nil && q.Product == s.product && q.Environment == environment && s.trust.Trusted(s.product, attest.RoleBase, e.Evidence) {
			return true
		}
	}
	return false
}

// importOf returns the import of a base; nil: none by who may import.
func (s said) importOf(base *state.Manifest) *attest.Import {
	for _, e := range s.admitter.state.Evidence(base.Repository, base.Artifact.Manifest) {
		i := verify.As[attest.Import](e.Evidence)
		if i != nil && i.Product == s.product && s.trust.Trusted(s.product, attest.RoleImport, e.Evidence) {
			return i
		}
	}
	return nil
}

// equivalence checks that a statement names what differs, all of it and nothing
// else, and that it may differ: the gate would deny otherwise, too late.
func (s said) equivalence(q *attest.Equivalence) error {
	got := s.environment(q.Environment)
	if got == nil {
		return refuse(verify.NoAttestation, "/predicate/environment: %s has no environment/v1 by the base authority here; publish the patches' environment first", q.Environment)
	}
	if q.BaseEnvironment == "" {
		return s.reconstructed(q, got)
	}
	of, err := s.baseEnvironment(s.subject)
	if err != nil {
		return err
	}
	if of != q.BaseEnvironment {
		return refuse(verify.EnvMismatch, "/predicate/baseEnvironment: %s, want %s, the base's", q.BaseEnvironment, of)
	}
	want := s.environment(of)
	if want == nil {
		return refuse(verify.NoAttestation, "/predicate/baseEnvironment: %s has no environment/v1 here", of)
	}
	if never := want.Unvouchable(got); len(never) > 0 {
		return refuse(verify.EnvMismatch, "for this no statement can vouch: %s", told(never))
	}
	if differ := want.Diff(got); !q.Names(differ) {
		return refuse(verify.EnvMismatch, "/predicate/differences: the environments differ in %s, and the statement names something else", told(differ))
	}
	return nil
}

func (s said) reconstructed(q *attest.Equivalence, got *attest.Environment) error {
	i := s.importOf(s.subject)
	if i == nil {
		return refuse(verify.UnknownBase, "base %s has no trusted import/v1 yet; import it first", s.subject.Artifact.Manifest)
	}
	o := i.Observed
	switch want := o.Unobserved(); {
	case !slices.Equal(q.Unobserved, want):
		return refuse(verify.EnvMismatch, "/predicate/unobserved: want %s, got %s", strings.Join(want, " "), strings.Join(q.Unobserved, " "))
	case o.Configuration != "" && o.Configuration != got.Configuration:
		return refuse(verify.EnvMismatch, "want configuration = %s, got %s", o.Configuration, got.Configuration)
	case o.Compiler != "" && o.Compiler != got.Compiler.Version:
		return refuse(verify.EnvMismatch, "want compiler/version = %s, got %s", o.Compiler, got.Compiler.Version)
	case i.Target != got.Target:
		return refuse(verify.EnvMismatch, "want target = %v, got %v", i.Target, got.Target)
	}
	return nil
}

// told lists differences as the gate does.
func told(list []attest.Difference) string {
	fields := make([]string, 0, len(list))
	for _, d := range list {
		fields = append(fields, fmt.Sprintf("want %s = %s, got %s", d.Field, d.Want, d.Got))
	}
	return strings.Join(fields, ", ")
}
