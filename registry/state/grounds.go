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
// which one it is; the site policy is told by what it says; all else that a
// decision looks at moves the epoch.
type Grounds struct {
	host  *Host
	trust *policy.Trust
	site  policy.Site
	epoch int64
}

// grounds are those of now. mu is held.
func (s *State) grounds(h *Host, epoch int64) Grounds {
	g := Grounds{host: h, trust: s.trust.decisions, epoch: epoch}
	if s.site != nil {
		g.site = *s.site
	}
	return g
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
	return s.grounds(h, repo.epoch(d)), true
}
