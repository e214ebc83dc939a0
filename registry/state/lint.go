package state

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
)

// linted takes what was found in a patch. Its manifest may come after: a patch
// that can be seen has been looked into.
func (s *State) linted(r ledger.Record, b *ledger.Linted) (change, error) {
	repo := s.repositories[b.Repository]
	if repo == nil {
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	}
	raw, err := s.blobs.Get(b.Report)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	report, err := lint.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", b.Report, err)
	}
	if report.Linter != b.Linter {
		return nil, fmt.Errorf("report %s is by %.80q, not %.80q", b.Report, report.Linter, b.Linter)
	}
	found := policy.NewLint(report, b.Report)
	return func() {
		repo.lints[b.Digest] = found
		repo.touchPatch(b.Digest, r.Sequence)
	}, nil
}

// lint returns what was found in a patch, if it was found in the file it has
// beside the base it is attached to.
func (repo *repository) lint(d attest.Digest) *policy.Lint {
	l, m := repo.lints[d], repo.manifests[d]
	if l == nil || m == nil || l.Patch != m.File {
		return nil
	}
	if base := repo.manifests[m.Subject]; l.Base != "" && (base == nil || l.Base != base.File) {
		return nil
	}
	return l
}

// Lint returns what was found in a patch last; nil: nobody looked into it.
func (s *State) Lint(repository string, d attest.Digest) *policy.Lint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return nil
	}
	return repo.lints[d]
}
