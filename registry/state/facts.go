package state

import (
	"slices"
	"sync"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
)

// A View is all that one decision looks at, as it is at one moment, with what
// makes it another decision when it changes.
type View struct {
	Facts  *policy.Facts
	Epoch  int64         // evidence epoch of (product, artifact, its base)
	Record int64         // sequence of the host record; 0: none
	Policy attest.Digest // trust policy envelope
}

// View returns what a decision on host and an artifact looks at. It is false
// where there is nothing to decide on, which denies: the state is not ready,
// the host is not known, the product is not served, or the manifest is not
// visible.
func (s *State) View(host, repository string, d attest.Digest, now time.Time) (View, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo, h := s.served(repository), s.hosts[host]
	if !s.ready || repo == nil || h == nil || !repo.visible[d] {
		return View{}, false
	}
	trust := s.trust.decisions
	facts := &policy.Facts{
		Now: now, Trust: trust, Product: repo.product, Site: s.site, Revoked: repo.revoked,
		Patch: repo.patch(trust, d),
		Host: &policy.Host{
			ID: h.ID, State: h.State, Cloned: h.Cloned, Products: h.Products,
			Record: h.Record, Received: h.Received, Sequence: h.sequence, Bases: repo.resolve(trust, h.Record),
		},
	}
	v := View{Facts: facts, Epoch: repo.epoch(d), Policy: trust.Envelope()}
	if h.Record != nil {
		v.Record = h.Record.Sequence
	}
	return v, true
}

// Facts returns the facts of [State.View].
func (s *State) Facts(host, repository string, d attest.Digest, now time.Time) (*policy.Facts, bool) {
	v, ok := s.View(host, repository, d, now)
	return v.Facts, ok
}

// gathered remembers what was gathered, until it could come out differently.
// Its own lock lets readers fill it.
type gathered struct {
	mu      sync.Mutex
	all     int64
	bases   map[attest.Digest]*policy.Base
	patches map[attest.Digest]gatheredPatch
}

type gatheredPatch struct {
	epoch int64
	patch *policy.Patch
}

func (g *gathered) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bases, g.patches = nil, nil
}

// fresh empties g where the product's epoch has moved.
func (g *gathered) fresh(all int64) {
	if g.all == all && g.bases != nil {
		return
	}
	g.all, g.bases, g.patches = all, make(map[attest.Digest]*policy.Base), make(map[attest.Digest]gatheredPatch)
}

// patch returns the evidence about an artifact and the base its manifest is
// attached to.
func (repo *repository) patch(t *policy.Trust, d attest.Digest) *policy.Patch {
	g := &repo.gathered
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fresh(repo.all)
	if have, ok := g.patches[d]; ok && have.epoch == repo.epoch(d) {
		return have.patch
	}
	m := repo.manifests[d]
	p := policy.GatherPatch(t, repo.product, m.Artifact, repo.base(t, m.Subject), repo.pool)
	g.patches[d] = gatheredPatch{repo.epoch(d), p}
	return p
}

// base returns the evidence about a base, which may be hidden by now; nil
// where no base was ever put there. gathered is locked.
func (repo *repository) base(t *policy.Trust, d attest.Digest) *policy.Base {
	m := repo.manifests[d]
	if m == nil || m.Type != attest.ArtifactBase {
		return nil
	}
	if b := repo.gathered.bases[d]; b != nil {
		return b
	}
	b := policy.GatherBase(t, repo.product, m.Artifact, repo.pool)
	repo.gathered.bases[d] = b
	return b
}

// resolve returns the bases of this product that the record's measurements are
// of, each once.
func (repo *repository) resolve(t *policy.Trust, record *attest.HostRecord) []*policy.Base {
	if record == nil {
		return nil
	}
	repo.gathered.mu.Lock()
	defer repo.gathered.mu.Unlock()
	repo.gathered.fresh(repo.all)
	var bases []*policy.Base
	for _, r := range record.Running {
		if r.Product != repo.product {
			continue
		}
		for _, d := range repo.measured[r.Measurement.Digest] {
			if b := repo.base(t, d); b.Matches(r) && !slices.Contains(bases, b) {
				bases = append(bases, b)
			}
		}
	}
	return bases
}
