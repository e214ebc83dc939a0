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
	Facts   *policy.Facts
	Epoch   int64         // evidence epoch of (product, artifact, its base)
	Record  int64         // sequence of the host record; 0: none
	Policy  attest.Digest // trust policy envelope
	Grounds Grounds
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
	patch, touched, bases := repo.look(trust, d, h)
	made := &struct { // in one piece: a view is made for every request
		facts policy.Facts
		host  policy.Host
	}{
		policy.Facts{
			Now: now, Trust: trust, Product: repo.product, Site: s.site, Revoked: repo.revoked, Patch: patch,
			Channels: repo.channels, Embargoes: repo.embargoesOf(d),
		},
		policy.Host{
			ID: h.ID, State: h.State, Cloned: h.Cloned, Products: h.Products,
			Record: h.Record, Received: h.Received, Sequence: h.sequence, Bases: bases,
		},
	}
	made.facts.Host = &made.host
	epoch := max(repo.all, touched)
	v := View{Facts: &made.facts, Epoch: epoch, Policy: trust.Envelope(), Grounds: s.grounds(h, epoch)}
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

// gathered remembers what was gathered, until it could come out differently:
// all of it while the product's epoch stays, a patch while its own does, and
// the bases of a host while its record does. Its own lock lets readers fill it.
type gathered struct {
	mu       sync.Mutex
	all      int64
	bases    map[attest.Digest]*policy.Base
	patches  map[attest.Digest]gatheredPatch
	resolved map[string]resolved // by host
}

type gatheredPatch struct {
	touched int64
	patch   *policy.Patch
}

type resolved struct {
	record *attest.HostRecord
	bases  []*policy.Base
}

func (g *gathered) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bases, g.patches, g.resolved = nil, nil, nil
}

// forgetPatch forgets what was gathered about one patch, which changed.
func (g *gathered) forgetPatch(d attest.Digest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.patches, d)
}

// fresh empties g where the product's epoch has moved.
func (g *gathered) fresh(all int64) {
	if g.all == all && g.bases != nil {
		return
	}
	g.all, g.bases = all, make(map[attest.Digest]*policy.Base)
	g.patches, g.resolved = make(map[attest.Digest]gatheredPatch), make(map[string]resolved)
}

// look returns what is known about an artifact and the base its manifest is
// attached to, when that last changed, and the bases of this product that a
// host runs.
func (repo *repository) look(t *policy.Trust, d attest.Digest, h *Host) (p *policy.Patch, touched int64, bases []*policy.Base) {
	g := &repo.gathered
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fresh(repo.all)
	have, ok := g.patches[d]
	if !ok {
		have = gatheredPatch{repo.touched[d], repo.patch(t, d)}
		g.patches[d] = have
	}
	return have.patch, have.touched, repo.run(t, h)
}

// patch gathers the evidence about an artifact. gathered is locked.
func (repo *repository) patch(t *policy.Trust, d attest.Digest) *policy.Patch {
	m := repo.manifests[d]
	patch := policy.GatherPatch(t, repo.product, m.Artifact, repo.base(t, m.Subject), repo.pool)
	patch.Lint = repo.lint(d)
	return patch
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

// resolve returns the bases of this product that a host runs.
func (repo *repository) resolve(t *policy.Trust, h *Host) []*policy.Base {
	repo.gathered.mu.Lock()
	defer repo.gathered.mu.Unlock()
	repo.gathered.fresh(repo.all)
	return repo.run(t, h)
}

// run does so while gathered is locked.
func (repo *repository) run(t *policy.Trust, h *Host) []*policy.Base {
	if h.Record == nil {
		return nil
	}
	if have, ok := repo.gathered.resolved[h.ID]; ok && have.record == h.Record {
		return have.bases
	}
	bases := repo.measuredBy(t, h.Record)
	repo.gathered.resolved[h.ID] = resolved{h.Record, bases}
	return bases
}

// measuredBy returns the bases of this product that the record's measurements
// are of, each once. gathered is locked.
func (repo *repository) measuredBy(t *policy.Trust, record *attest.HostRecord) []*policy.Base {
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
	return slices.Clip(bases)
}
