package mirror

import (
	"cmp"
	"slices"

	"github.com/patchfit/patchfit/attest"
)

// inOrder sorts manifests so that what others name comes before them, and what
// makes a patch fit last: bases and all that is said of them, then patches and
// what is said of those.
func inOrder(manifests map[attest.Digest]*manifest) []*manifest {
	o := &order{all: manifests, known: map[attest.Digest]place{}}
	list := make([]*manifest, 0, len(manifests))
	for _, m := range manifests {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *manifest) int {
		x, y := o.place(a), o.place(b)
		return cmp.Or(cmp.Compare(x.late, y.late), cmp.Compare(x.depth, y.depth), cmp.Compare(a.digest(), b.digest()))
	})
	return list
}

// An order knows the places of manifests.
type order struct {
	all   map[attest.Digest]*manifest
	known map[attest.Digest]place
}

// A place is when a manifest is sent.
type place struct {
	late  int // 1: a patch, or attached to one; 0: not
	depth int // how long the way of what it needs is
}

// place is behind everything m needs: its subject and its parts. Manifests
// name each other by digest, so there is no circle.
func (o *order) place(m *manifest) place {
	if p, ok := o.known[m.digest()]; ok {
		return p
	}
	p := place{}
	needs := slices.Clone(m.Manifests)
	if m.Subject != nil {
		needs = append(needs, *m.Subject)
	}
	for _, n := range needs {
		other := o.all[n.Digest]
		if other == nil {
			continue
		}
		q := o.place(other)
		p.late, p.depth = max(p.late, q.late), max(p.depth, q.depth+1)
	}
	switch m.typ() {
	case attest.ArtifactPatch:
		p.late = 1
	case attest.ArtifactBundle:
		p.depth++ // after what else is attached: a rebuild's is about what it left behind
	}
	o.known[m.digest()] = p
	return p
}
