package state

import (
	"fmt"
	"slices"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// trust is the trust policy in effect, in every form it is asked in.
type trust struct {
	policy    *attest.TrustPolicy
	envelope  []byte
	decisions *policy.Trust
	verifier  *verify.Verifier
	signers   map[attest.Digest]bool
	earlier   []*verify.Verifier // of the policies before, newest first
	turns     []turn             // changes of roots, oldest first; the first policy is one
}

// A turn is a policy whose roots are others than those of the one before it.
type turn struct {
	version  int64
	envelope attest.Digest
}

func (s *State) trustPolicy(r ledger.Record, b *ledger.TrustPolicyAccepted) (change, error) {
	envelope, err := s.blobs.Get(b.Envelope)
	if err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	next, err := NextTrustPolicy(s.trust.policy, envelope)
	if err != nil {
		return nil, err
	}
	if next.Version != b.Version {
		return nil, fmt.Errorf("trust policy %s has version %d, the record says %d", b.Envelope, next.Version, b.Version)
	}
	t, err := s.trust.followedBy(next, envelope)
	if err != nil {
		return nil, err
	}
	var evidence map[*statement]*statement
	if s.ready {
		// A bundle that cannot be read now counts for nothing from here on,
		// which denies; at the next start it is an error.
		evidence, _ = s.verifyAgain(t.verifier)
	} // else SetReady does it, once, for the last policy
	return func() {
		s.trust = t
		s.reassess(evidence)
		for _, repo := range s.repositories {
			repo.touchAll(r.Sequence)
		}
	}, nil
}

// NextTrustPolicy opens the envelope of a trust policy that follows current:
// signed by a threshold of current's roots and of its own, and of a higher
// version. Where there is none yet, any policy that its own roots signed may
// be the first.
func NextTrustPolicy(current *attest.TrustPolicy, envelope []byte) (*attest.TrustPolicy, error) {
	if current != nil {
		return current.OpenNext(envelope)
	}
	e, err := attest.ParseEnvelope(envelope, attest.PolicyPayload)
	if err != nil {
		return nil, err
	}
	p, err := attest.ParseTrustPolicy(e.Payload)
	if err != nil {
		return nil, err
	}
	roots, err := p.Roots.Digest()
	if err != nil {
		return nil, err
	}
	return attest.OpenTrustPolicy(envelope, roots)
}

func (t trust) followedBy(next *attest.TrustPolicy, envelope []byte) (trust, error) {
	v, err := verify.New(next)
	if err != nil {
		return trust{}, err
	}
	out := trust{
		policy: next, envelope: envelope, verifier: v,
		decisions: policy.NewTrust(next, attest.DigestOf(envelope)),
		signers:   make(map[attest.Digest]bool),
	}
	if t.verifier != nil {
		out.earlier = append([]*verify.Verifier{t.verifier}, t.earlier...)
	}
	if out.turns, err = t.turned(next, envelope); err != nil {
		return trust{}, err
	}
	for _, signer := range next.Signers {
		for _, k := range signer.Keys {
			key, err := attest.ParsePublicKey(k.Key)
			if err != nil {
				return trust{}, fmt.Errorf("signer %q: %w", signer.Name, err)
			}
			out.signers[key.ID()] = true
		}
		for _, i := range signer.Identities {
			id, err := i.ID()
			if err != nil {
				return trust{}, fmt.Errorf("signer %q: %w", signer.Name, err)
			}
			out.signers[id] = true
		}
	}
	return out, nil
}

// turned returns the changes of roots up to next.
func (t trust) turned(next *attest.TrustPolicy, envelope []byte) ([]turn, error) {
	roots, err := next.Roots.Digest()
	if err != nil {
		return nil, err
	}
	if t.policy != nil {
		if before, err := t.policy.Roots.Digest(); err != nil || before == roots {
			return t.turns, err
		}
	}
	return append(slices.Clip(t.turns), turn{next.Version, attest.DigestOf(envelope)}), nil
}

// TrustPolicyAfter returns the envelope of the first trust policy above a
// version whose roots are others than those of the one before it and, where
// there is none, of the one in effect. Nil: that is not above the version.
func (s *State) TrustPolicyAfter(version int64) ([]byte, error) {
	s.mu.RLock()
	t := s.trust
	s.mu.RUnlock()
	for _, turn := range t.turns {
		if turn.version > version {
			return s.blobs.Get(turn.envelope)
		}
	}
	if t.policy == nil || t.policy.Version <= version {
		return nil, nil
	}
	return t.envelope, nil
}

// product takes a product that the trust policy names; the pair stays, and is
// served while the policy in effect names it.
func (s *State) product(_ ledger.Record, b *ledger.ProductAdded) (change, error) {
	if was, ok := s.products[b.Product]; ok {
		return nil, fmt.Errorf("product %s was added before, in repository %s", b.Product, was)
	}
	if s.repositories[b.Repository] != nil {
		return nil, fmt.Errorf("repository %s belongs to another product", b.Repository)
	}
	return func() {
		s.products[b.Product] = b.Repository
		repo := newRepository(b.Repository, b.Product)
		repo.revoke(s.trust.decisions)
		s.repositories[b.Repository] = repo
	}, nil
}

// Product returns the id of the product that lives in a repository: an admin
// added it, and the trust policy in effect names it.
func (s *State) Product(repository string) (id string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil {
		return "", false
	}
	return repo.product, true
}

// ProductEver returns the id of the product that was added in a repository,
// whether or not it is served now: the pair stays.
func (s *State) ProductEver(repository string) (id string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.repositories[repository]
	if repo == nil {
		return "", false
	}
	return repo.product, true
}

// Repository returns the repository of a product that is served.
func (s *State) Repository(product string) (repository string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(s.products[product])
	if repo == nil {
		return "", false
	}
	return repo.name, true
}

// served returns a repository whose product is added and trusted, or nil.
func (s *State) served(name string) *repository {
	repo := s.repositories[name]
	if repo == nil {
		return nil
	}
	p, ok := s.trust.decisions.ProductFor(name)
	if !ok || p.ID != repo.product {
		return nil
	}
	return repo
}

// Added reports whether a product, or another one in the same repository, was
// ever added: neither can be added again.
func (s *State) Added(product, repository string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.products[product] != "" || s.repositories[repository] != nil
}
