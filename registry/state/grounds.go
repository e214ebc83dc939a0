package state

import (
	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
)

// Grounds are what one decision looks at, told by version: while they are equal
// (==), [State.View] has the same facts, but for the time. The zero Grounds are
// of nothing.
//
// A host and a trust policy are replaced and never changed, so that it matters
// which one it is; all else that a decision looks at moves the epoch.
type Grounds struct {
	host  *Host
	trust *policy.Trust
	epoch int64
}

// Grounds returns those of a decision on host and an artifact. It is false
// where View is.
func (s *State) Grounds(host, repository string, d attest.Digest) (Grounds, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo, h := s.served(repository), s.hosts[host]
	if !s.ready || repo == nil || h == nil || !repo.visible[d] {
		return Grounds{}, false
	}
	return Grounds{h, s.trust.decisions, repo.epoch(d)}, true
}
