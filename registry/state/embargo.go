package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
)

// An Embargo keeps a product, or one patch of it, from every host it does not
// name.
type Embargo struct {
	policy.Embargo
	Patch    attest.Digest // its manifest; "": the whole product
	Since    time.Time
	Sequence int64  // of its record
	By       string // principal id
}

// embargoed puts an embargo on a product or a patch, in the place of the one
// before, or lifts it. A patch need not be there yet, so that there is no
// moment between its coming in and its embargo.
func (s *State) embargoed(r ledger.Record, b *ledger.Embargoed) (change, error) {
	repo := s.repositories[s.products[b.Product]]
	if repo == nil {
		return nil, fmt.Errorf("product %q is not known", b.Product)
	}
	if b.Lifted {
		switch {
		case !b.Until.IsZero() || len(b.Hosts) > 0:
			return nil, errors.New("an embargo that is lifted has neither end nor hosts")
		case repo.embargoes[b.Patch] == nil:
			return nil, errors.New("there is no such embargo to lift")
		}
		return func() { repo.embargo(b.Patch, nil, r.Sequence) }, nil
	}
	for i, id := range b.Hosts {
		switch {
		case s.hosts[id] == nil:
			return nil, fmt.Errorf("host %q is not known", id)
		case i > 0 && b.Hosts[i-1] >= id:
			return nil, fmt.Errorf("host %s is not in order, or named twice", id)
		}
	}
	e := &Embargo{policy.Embargo{Until: b.Until, Hosts: b.Hosts}, b.Patch, r.Time, r.Sequence, b.By}
	return func() { repo.embargo(b.Patch, e, r.Sequence) }, nil
}

// embargo keeps e for a patch, or for the product; nil lifts it. Decisions made
// under what was before are made anew.
func (repo *repository) embargo(patch attest.Digest, e *Embargo, sequence int64) {
	if e == nil {
		delete(repo.embargoes, patch)
	} else {
		repo.embargoes[patch] = e
	}
	if patch != "" {
		repo.touchPatch(patch, sequence)
		return
	}
	repo.touchAll(sequence)
	repo.unembargoed = policy.NewEmbargoes(repo.of(""), nil)
}

// of returns the embargo of a patch, or of the product; nil: none.
func (repo *repository) of(patch attest.Digest) *policy.Embargo {
	if e := repo.embargoes[patch]; e != nil {
		return &e.Embargo
	}
	return nil
}

// embargoesOf are those that a decision on a patch has to heed.
func (repo *repository) embargoesOf(patch attest.Digest) *policy.Embargoes {
	if e := repo.of(patch); e != nil {
		return policy.NewEmbargoes(repo.of(""), e)
	}
	return repo.unembargoed
}

// Embargoes returns every embargo of a product that nobody lifted, that of the
// product first; those that are over, too.
func (s *State) Embargoes(product string) []Embargo {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.repositories[s.products[product]]
	if repo == nil {
		return nil
	}
	var all []Embargo
	for _, e := range repo.embargoes {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Embargo) int { return cmp.Compare(a.Patch, b.Patch) })
	return all
}

// Embargo returns the embargo of a product, or of a patch of it, that nobody
// lifted.
func (s *State) Embargo(product string, patch attest.Digest) (Embargo, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if repo := s.repositories[s.products[product]]; repo != nil && repo.embargoes[patch] != nil {
		return *repo.embargoes[patch], true
	}
	return Embargo{}, false
}

// Withheld reports whether an embargo keeps a manifest from a host: the patch
// itself, or what is attached to it, since that tells of the patch.
func (s *State) Withheld(host string, m *Manifest, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(m.Repository)
	if repo == nil {
		return true
	}
	return repo.of("").Holds(host, now) || repo.of(m.Artifact.Manifest).Holds(host, now) || m.Subject != "" && repo.of(m.Subject).Holds(host, now)
}

// ShutOut reports whether nothing but an embargo keeps an active host from a
// product: it was enrolled there, and the product does not exist for it.
func (s *State) ShutOut(host, product string, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := s.hosts[host]
	return h != nil && h.State == Active && slices.Contains(h.Products, product) && s.shut(host, product, now)
}

// shutNow is shut, and asks for the time only where there is an embargo: most
// products have none, and it is asked with each request.
func (s *State) shutNow(host, product string) bool {
	repo := s.repositories[s.products[product]]
	return repo != nil && repo.of("") != nil && s.shut(host, product, time.Now())
}

// shut reports whether an embargo keeps a whole product from a host.
func (s *State) shut(host, product string, now time.Time) bool {
	repo := s.repositories[s.products[product]]
	return repo != nil && repo.of("").Holds(host, now)
}
