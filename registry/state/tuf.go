package state

import (
	"bytes"
	"fmt"
	"maps"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tuf"
)

// published is the TUF repository in effect, and where the bytes of every
// state it ever had are in the store, by path. The map is never changed.
type published struct {
	repository *tuf.Repository // nil: none was accepted yet
	paths      map[string]attest.Digest
	left       bool // a trust policy that came by it names none any more: another may begin
}

// before is what the next state follows; nil: it begins a repository.
func (p published) before() *tuf.Repository {
	if p.left {
		return nil
	}
	return p.repository
}

// leaves reports whether the trust policy in next names no TUF repository,
// where the one it follows came by one and named it.
func leaves(before, next *tuf.Repository) (bool, error) {
	if before == nil {
		return false, nil
	}
	old, err := before.Policy()
	if err != nil {
		return false, err
	}
	p, err := next.Policy()
	if err != nil {
		return false, err
	}
	return old.TUF != attest.TUFRoot{} && p.TUF == attest.TUFRoot{}, nil
}

// tufAccepted takes the next state of the repository. Everything is verified
// again but what time alone changes: what was good when it came is still what
// the server took.
func (s *State) tufAccepted(_ ledger.Record, b *ledger.TUFAccepted) (change, error) {
	offer, err := s.offered(b)
	if err != nil {
		return nil, err
	}
	next, err := tuf.Accept(s.tuf.before(), offer)
	if err != nil {
		return nil, err
	}
	h, err := tuf.ReadHeading(tuf.RoleSnapshot, next.Snapshot)
	if err != nil {
		return nil, err
	}
	if h.Version != b.Version {
		return nil, fmt.Errorf("snapshot %s has version %d, the record says %d", b.Snapshot, h.Version, b.Version)
	}
	if !bytes.Equal(next.Files[tuf.TrustPolicy], s.trust.envelope) {
		return nil, fmt.Errorf("its trust policy is not the one in effect")
	}
	paths, err := next.Paths()
	if err != nil {
		return nil, err
	}
	p := published{repository: next, paths: make(map[string]attest.Digest)}
	if s.tuf.before() != nil {
		p.paths = maps.Clone(s.tuf.paths)
	}
	for path, b := range paths {
		p.paths[path] = attest.DigestOf(b)
	}
	if p.left, err = leaves(s.tuf.before(), next); err != nil {
		return nil, err
	}
	return func() { s.tuf = p }, nil
}

// offered reads the bytes a record names.
func (s *State) offered(b *ledger.TUFAccepted) (o tuf.Offer, err error) {
	for _, d := range b.Roots {
		root, err := s.blobs.Get(d)
		if err != nil {
			return o, fmt.Errorf("root of the TUF repository: %w", err)
		}
		o.Roots = append(o.Roots, root)
	}
	if o.Targets, err = s.blobs.Get(b.Targets); err != nil {
		return o, fmt.Errorf("targets of the TUF repository: %w", err)
	}
	if o.Snapshot, err = s.blobs.Get(b.Snapshot); err != nil {
		return o, fmt.Errorf("snapshot of the TUF repository: %w", err)
	}
	o.Files = make(map[string][]byte, len(b.Files))
	for name, d := range b.Files {
		if o.Files[name], err = s.blobs.Get(d); err != nil {
			return o, fmt.Errorf("target of the TUF repository: %w", err)
		}
	}
	return o, nil
}

// TUF returns the TUF repository in effect, nil before the first, and the
// digests of the bytes of every state it ever had, by path.
func (s *State) TUF() (*tuf.Repository, map[string]attest.Digest) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tuf.repository, s.tuf.paths
}

// TUFBefore returns the repository that the next state has to follow; nil: it
// begins one, because there is none, or because the trust policy left the one
// there is.
func (s *State) TUFBefore() *tuf.Repository {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tuf.before()
}
