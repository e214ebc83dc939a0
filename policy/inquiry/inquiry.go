// Package inquiry follows evidence from a live patch down to its builder image:
// each verified statement says what the next ones have to be about. The agent
// and the command line gather the facts of their own decision with it; the
// server has them in memory. It is pure, as package policy is.
package inquiry

import (
	"errors"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// A Search verifies bundles about a patch and what it stands on, from the
// patch down: each verified statement says what the next ones have to be
// about. A bundle about anything else is refused.
type Search struct {
	Pool    *policy.Pool
	Refused []*verify.Refusal // bundles that are no evidence

	verifier  *verify.Verifier
	trust     *policy.Trust
	manifests map[attest.Digest]attest.Digest // what a statement may be about: manifest to its one file
	files     map[attest.Digest]bool          // environments: known by their file alone, so far
	found     map[string]bool                 // predicate types there is verified evidence of
}

// New verifies bundles for a patch with this manifest and file, by one trust
// policy, of which v and t are made.
func New(v *verify.Verifier, t *policy.Trust, revoked *policy.Revocations, patch verify.Artifact, bundles [][]byte) *Search {
	s := &Search{
		verifier: v, trust: t, Pool: &policy.Pool{Revoked: revoked},
		manifests: map[attest.Digest]attest.Digest{patch.Manifest: patch.File},
		files:     map[attest.Digest]bool{},
		found:     map[string]bool{},
	}
	for _, raw := range s.follow(bundles) {
		s.dismiss(raw, patch)
	}
	return s
}

// follow settles what it can of bundles, in whatever order they come, and
// returns the rest.
func (s *Search) follow(bundles [][]byte) (rest [][]byte) {
	rest = slices.Clone(bundles)
	for more := true; more; {
		before := len(rest)
		rest = slices.DeleteFunc(rest, s.settle)
		more = len(rest) < before
	}
	return rest
}

// Compare adds what is said of a base this host runs, to tell where it differs
// from the patch's. Bundles that are no evidence are no reason here.
func (s *Search) Compare(manifest, file attest.Digest, bundles [][]byte) {
	refused := len(s.Refused)
	s.manifests[manifest] = file
	s.follow(bundles)
	s.Refused = s.Refused[:refused]
}

// dismiss tells what is wrong with a bundle that is about nothing the search
// came to know of. That it is about something else matters only where a
// statement of its type is what is missing: the rest is not reached then.
func (s *Search) dismiss(raw []byte, patch verify.Artifact) {
	_, err := s.verifier.Bundle(raw, patch)
	r := (*verify.Refusal)(nil)
	if b, perr := attest.ParseBundle(raw); perr == nil && errors.As(err, &r) && r.Reason == verify.SubjectMismatch && b.Statement.Type != s.missing() {
		return
	}
	s.refuse(err)
}

// missing returns the predicate type of the first statement, from the patch
// down, that the search did not find.
func (s *Search) missing() string {
	for _, t := range []string{attest.TypeLivePatch, attest.TypeBase, attest.TypeEnvironment} {
		if !s.found[t] {
			return t
		}
	}
	return attest.TypeProvenance
}

// settle verifies a bundle about something the search knows of, and reports
// whether it did; good or bad, it is done with.
func (s *Search) settle(raw []byte) bool {
	b, err := attest.ParseBundle(raw)
	if err != nil {
		return false // what is left is told why at the end
	}
	want, known := s.want(b.Statement)
	if !known {
		return false
	}
	e, err := s.verifier.Bundle(raw, want)
	if err != nil {
		s.refuse(err)
		return true
	}
	s.Pool.Add(e)
	s.learn(e)
	return true
}

// want returns what a statement that says it is about something known has to
// be about. Nothing of the statement is verified yet.
func (s *Search) want(st *attest.Statement) (verify.Artifact, bool) {
	manifest := st.Subjects[0].Digest
	if file, ok := s.manifests[manifest]; ok {
		return verify.Artifact{Manifest: manifest, File: file}, true
	}
	if len(st.Subjects) == 2 && s.files[st.Subjects[1].Digest] {
		return verify.Artifact{Manifest: manifest, File: st.Subjects[1].Digest}, true
	}
	return verify.Artifact{}, false
}

// learn follows a verified statement to what it stands on.
func (s *Search) learn(e *verify.Evidence) {
	s.found[e.Type()] = true
	if p := verify.As[attest.LivePatch](e); p != nil {
		s.manifests[p.Base] = p.BaseFile
		s.files[p.Environment] = true
	}
	if b := verify.As[attest.Base](e); b != nil {
		s.files[b.Environment] = true
	}
	if i := verify.As[attest.Import](e); i != nil && i.Patch != nil {
		s.manifests[i.Patch.Base] = i.Patch.BaseFile
	}
	if env := verify.As[attest.Environment](e); env != nil {
		s.manifests[env.BuilderImage] = ""
	}
}

func (s *Search) refuse(err error) {
	if r := (*verify.Refusal)(nil); errors.As(err, &r) {
		s.Refused = append(s.Refused, r)
	}
}

// Base gathers the base a patch is attached to. Hosts do not get to see the
// manifest of a base, so it is what the statements about it agree on.
func (s *Search) Base(product, repository string, manifest attest.Digest) *policy.Base {
	file, ok := s.manifests[manifest]
	if !ok || file == "" {
		return nil
	}
	art := policy.Artifact{Repository: repository, Manifest: manifest, Type: attest.ArtifactBase, File: file}
	for _, e := range s.Pool.About(manifest) {
		b := verify.As[attest.Base](e)
		if i := verify.As[attest.Import](e); i != nil && art.FileSize == 0 && s.trust.Trusted(product, attest.RoleImport, e) {
			art.FileSize = i.File.Size
		}
		if b == nil || !s.trust.Trusted(product, attest.RoleBase, e) {
			continue
		}
		art.FileSize = b.File.Size
		for _, env := range s.Pool.Environment(b.Environment) {
			if s.trust.Trusted(product, attest.RoleBase, env) {
				art.Subject = env.Subject()
			}
		}
	}
	return policy.GatherBase(s.trust, product, art, s.Pool)
}

// Described returns the patch as its own statement describes it: for a host
// that may not see the manifest. The statement's signature is verified later.
func Described(repository string, manifest attest.Digest, bundles [][]byte) policy.Artifact {
	art := policy.Artifact{Repository: repository, Manifest: manifest}
	for _, raw := range bundles {
		b, err := attest.ParseBundle(raw)
		if err != nil || b.Statement.Subjects[0].Digest != manifest {
			continue
		}
		if p, ok := b.Statement.Predicate.(*attest.LivePatch); ok {
			art.Type, art.Subject = attest.ArtifactPatch, p.Base
			art.File, art.FileSize = p.File.Digest, p.File.Size
		}
		if i, ok := b.Statement.Predicate.(*attest.Import); ok && i.Patch != nil && art.Type == "" {
			art.Type, art.Subject = attest.ArtifactPatch, i.Patch.Base
			art.File, art.FileSize = i.File.Digest, i.File.Size
		}
	}
	return art
}
