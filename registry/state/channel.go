package state

import (
	"fmt"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/verify"
)

// channelTaken takes a version of a channel. That it is newer than the one
// before was for whoever took it in: here the newest that is trusted counts,
// whatever order they came in.
func (s *State) channelTaken(r ledger.Record, b *ledger.ChannelTaken) (change, error) {
	repo := s.repositories[s.products[b.Product]]
	if repo == nil {
		return nil, fmt.Errorf("product %q is not known", b.Product)
	}
	if repo.admitted[b.Bundle] {
		return func() {}, nil
	}
	st := &statement{product: repo.product, StoredEvidence: StoredEvidence{
		Sequence: r.Sequence, Time: r.Time, Subject: attest.ChannelID(b.Product, b.Name), Bundle: b.Bundle, Type: attest.TypeChannel,
	}}
	if err := s.admit(st); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", b.Bundle, err)
	}
	if c := verify.As[attest.Channel](st.admitted); c.Product != b.Product || c.Name != b.Name || c.Version != b.Version {
		return nil, fmt.Errorf("bundle %s is version %d of channel %s of product %s, the record says version %d of %s of %s",
			b.Bundle, c.Version, c.Name, c.Product, b.Version, b.Name, b.Product)
	}
	return func() {
		repo.add(st)
		if s.bundles[st.Bundle] == nil {
			s.bundles[st.Bundle] = st
		}
		repo.revoke(s.trust.decisions)
		repo.touchAll(r.Sequence)
	}, nil
}

// Channels returns the newest version of each channel of a product that the
// trust policy in effect trusts, by name, expired or not.
func (s *State) Channels(product string) []*verify.Evidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(s.products[product])
	if repo == nil {
		return nil
	}
	return repo.channels.All(product)
}

// Channel returns the newest version of one channel; nil: there is none.
func (s *State) Channel(product, name string) *verify.Evidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(s.products[product])
	if repo == nil {
		return nil
	}
	return repo.channels.Newest(product, name)
}

// Voided returns a revocation in effect that voids e, as one said in a
// repository's product; nil: none does.
func (s *State) Voided(repository string, e *verify.Evidence) *verify.Evidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return nil
	}
	return repo.revoked.Of(repo.product, e)
}
