package registry

import (
	"sync"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
)

// places are manifests that have their places at a subject, and no record yet:
// without them, many that come at once would each find the last one free.
type places struct {
	mu     sync.Mutex
	coming map[place]int // requests that bring it
}

// A place is that of a manifest at its subject.
type place struct{ repository, subject, principal, manifest string }

func newPlaces() *places { return &places{coming: make(map[place]int)} }

// take gives m its place, unless as many as most have theirs of those that count:
// n are there or come in. The place is taken until the exchange ends, when it is on
// record or not.
func (x *exchange) take(m *state.Manifest, most int, counts func(principal string) bool) (n int, ok bool) {
	p := x.registry.places
	p.mu.Lock()
	defer p.mu.Unlock()
	there := make(map[attest.Digest]bool)
	for _, r := range x.registry.State.Referrers(x.repository, m.SubjectName) {
		if r.Artifact.Manifest == m.Artifact.Manifest {
			return 0, true
		}
		if counts(r.By) {
			there[r.Artifact.Manifest] = true
		}
	}
	mine := place{x.repository, m.SubjectName, x.principal.ID, string(m.Artifact.Manifest)}
	for other := range p.coming {
		if other.repository == mine.repository && other.subject == mine.subject && other.manifest != mine.manifest && counts(other.principal) {
			there[attest.Digest(other.manifest)] = true
		}
	}
	if len(there) >= most {
		return len(there), false
	}
	p.coming[mine]++
	x.cleanup = append(x.cleanup, func() { p.leave(mine) })
	return len(there), true
}

func (p *places) leave(of place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.coming[of]--; p.coming[of] == 0 {
		delete(p.coming, of)
	}
}
