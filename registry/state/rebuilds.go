package state

import (
	"cmp"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// A Disputed is a base or a patch of which a credible rebuild came out otherwise.
type Disputed struct {
	Repository string
	Artifact   attest.Digest
	Dispute    *policy.Dispute
}

// Disputed returns the artifacts in dispute that are visible in products that are
// served, by repository and digest, whether a quorum is asked for or not.
func (s *State) Disputed() []Disputed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Disputed
	for name := range s.repositories {
		repo := s.served(name)
		if repo == nil || !s.ready {
			continue
		}
		for d := range repo.rebuilt {
			if dispute := repo.dispute(s.trust.decisions, d); dispute != nil && repo.visible[d] {
				all = append(all, Disputed{name, d, dispute})
			}
		}
	}
	slices.SortFunc(all, func(a, b Disputed) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Artifact, b.Artifact))
	})
	return all
}

// dispute gathers what is said of an artifact, as a decision would.
func (repo *repository) dispute(t *policy.Trust, d attest.Digest) *policy.Dispute {
	repo.gathered.mu.Lock()
	defer repo.gathered.mu.Unlock()
	repo.gathered.fresh(repo.all)
	if m := repo.manifests[d]; m.Type == attest.ArtifactBase {
		return repo.base(t, d).Dispute()
	}
	return repo.patch(t, d).Dispute()
}

// Rebuilt returns what an admitted bundle says of a rebuild, as it was admitted;
// nil: it is about none.
func (s *State) Rebuilt(bundle attest.Digest) *attest.Rebuild {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.bundles[bundle]
	if st == nil {
		return nil
	}
	return verify.As[attest.Rebuild](st.admitted)
}

// A ToRebuild is a base or a patch that rebuilders can build again.
type ToRebuild struct {
	Manifest *Manifest
	Missing  string // who counts, what is missing; "": no quorum is asked for, or it is reached
}

// ToRebuild returns the visible artifacts of a type in a repository, by digest, and
// what each lacks of the quorum of rebuilds that is asked for.
func (s *State) ToRebuild(repository, artifactType string) []ToRebuild {
	var all []ToRebuild
	for _, m := range s.Manifests(repository, artifactType) {
		all = append(all, ToRebuild{m, s.missing(repository, m)})
	}
	return all
}

func (s *State) missing(repository string, m *Manifest) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil || !s.ready || !repo.visible[m.Artifact.Manifest] {
		return ""
	}
	repo.gathered.mu.Lock()
	defer repo.gathered.mu.Unlock()
	repo.gathered.fresh(repo.all)
	if m.Type == attest.ArtifactBase {
		return repo.base(s.trust.decisions, m.Artifact.Manifest).Missing()
	}
	return repo.patch(s.trust.decisions, m.Artifact.Manifest).Missing()
}
