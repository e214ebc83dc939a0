package state

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/index"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// StoredEvidence is an admitted bundle.
type StoredEvidence struct {
	Sequence int64         // of the record at which it took effect
	Time     time.Time     // of that record
	Subject  attest.Digest // manifest, or what is revoked
	Referrer attest.Digest // manifest that carries it; zero for revocations sent to the API
	Bundle   attest.Digest // its bytes are in the ledger store
	Type     string        // predicate type
	// Evidence is what the trust policy in effect makes of it; nil: its keys,
	// logs and timestamp authorities do not verify it.
	Evidence *verify.Evidence
}

// A statement is an admitted bundle as the state keeps it. A value that was
// handed out is replaced, never changed.
type statement struct {
	StoredEvidence
	product  string // of the repository
	want     verify.Artifact
	admitted *verify.Evidence // what it was when it was admitted
	by       *verify.Verifier // whose answer Evidence is
}

func (s *State) statementAdmitted(r ledger.Record, b *ledger.StatementAdmitted) (change, error) {
	repo := s.repositories[b.Repository]
	if repo == nil {
		return nil, fmt.Errorf("repository %q is not known", b.Repository)
	}
	if repo.admitted[b.Bundle] {
		return func() {
			repo.carry(b.Referrer, b.Bundle)
			repo.changed = r.Sequence
		}, nil
	}
	st := &statement{product: repo.product}
	st.StoredEvidence = StoredEvidence{Sequence: r.Sequence, Time: r.Time, Subject: b.Subject, Referrer: b.Referrer, Bundle: b.Bundle, Type: b.Type}
	if b.Type != attest.TypeRevocation {
		m := repo.manifests[b.Subject]
		if m == nil {
			return nil, fmt.Errorf("bundle %s is about %s, which is not known in %s", b.Bundle, b.Subject, b.Repository)
		}
		st.want = verify.Artifact{Manifest: m.Artifact.Manifest, File: m.File}
	}
	if err := s.admit(st); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", b.Bundle, err)
	}
	return func() {
		repo.carry(b.Referrer, b.Bundle)
		repo.changed = r.Sequence
		repo.add(st)
		if s.bundles[st.Bundle] == nil {
			s.bundles[st.Bundle] = st
		}
		if st.Type == attest.TypeRevocation {
			repo.revoke(s.trust.decisions)
		}
		if st.Type == attest.TypeRevocation || st.Evidence != nil {
			repo.touchFor(st, r.Sequence)
		}
	}, nil
}

// admit verifies a statement that was admitted under the trust policy in
// effect, or under an earlier one that was replaced in the same moment.
func (s *State) admit(st *statement) error {
	if s.trust.verifier == nil {
		return errors.New("admitted before there was a trust policy")
	}
	raw, err := s.blobs.Get(st.Bundle)
	if err != nil {
		return err
	}
	e, refused := st.verify(s.trust.verifier, raw)
	st.Evidence, st.admitted, st.by = e, e, s.trust.verifier
	for _, v := range s.trust.earlier {
		if st.admitted == nil {
			st.admitted, _ = st.verify(v, raw)
		}
	}
	if st.admitted == nil {
		return refused
	}
	if st.admitted.Type() != st.Type || st.admitted.Subject() != st.Subject {
		return fmt.Errorf("is %s about %s, the record says %s about %s", st.admitted.Type(), st.admitted.Subject(), st.Type, st.Subject)
	}
	return nil
}

func (st *statement) verify(v *verify.Verifier, raw []byte) (*verify.Evidence, error) {
	switch st.Type {
	case attest.TypeRevocation:
		return v.Revocation(raw)
	case attest.TypeChannel:
		return v.Channel(raw)
	}
	return v.Bundle(raw, st.want)
}

// detached reports whether no manifest carries a statement, and it is about none.
func (st *statement) detached() bool {
	return st.Type == attest.TypeRevocation || st.Type == attest.TypeChannel
}

// carry notes that a manifest carries an admitted bundle.
func (repo *repository) carry(referrer, bundle attest.Digest) {
	if referrer == "" {
		return
	}
	repo.carriers[referrer] = bundle
	if m := repo.manifests[referrer]; m != nil {
		with := *m
		with.Bundle = bundle
		repo.manifests[referrer] = &with
	}
}

// add takes a statement in, and its evidence into what is gathered from.
func (repo *repository) add(st *statement) {
	repo.statements = append(repo.statements, st)
	repo.admitted[st.Bundle] = true
	if st.Type == attest.TypeRebuild || st.Type == attest.TypeAdjudication {
		repo.rebuilt[st.Subject] = true
	}
	repo.offer(st)
}

func (repo *repository) offer(st *statement) {
	if st.detached() {
		return
	}
	repo.pool.Add(st.Evidence)
	repo.pool.Took(st.Evidence, st.Time)
	_, measurements := policy.Measurements(st.Evidence)
	for _, m := range measurements {
		repo.measured[m.Digest] = addOnce(repo.measured[m.Digest], st.Subject)
	}
}

func (repo *repository) touchFor(st *statement, sequence int64) {
	if st.Type == attest.TypeRevocation {
		repo.touchAll(sequence)
		return
	}
	repo.touch(st.Subject, sequence)
}

// revoke puts the revocations in effect that t trusts, and the channels that
// are left then.
func (repo *repository) revoke(t *policy.Trust) {
	repo.revoked = policy.NewRevocations(t, repo.evidence(attest.TypeRevocation))
	repo.pool.Revoked = repo.revoked
	repo.channels = policy.NewChannels(t, repo.revoked, repo.evidence(attest.TypeChannel))
}

// evidence returns what there is of a type that is about no manifest.
func (repo *repository) evidence(typ string) (all []*verify.Evidence) {
	for _, st := range repo.statements {
		if st.Type == typ {
			all = append(all, st.Evidence)
		}
	}
	return all
}

// verifyAgain verifies every bundle that another verifier than v answered for,
// and returns what it is now. A bundle whose bytes cannot be read is evidence
// no more, and the error names it.
func (s *State) verifyAgain(v *verify.Verifier) (map[*statement]*statement, error) {
	again := make(map[*statement]*statement)
	var errs []error
	for _, repo := range s.repositories {
		for _, st := range repo.statements {
			if st.by == v {
				continue
			}
			next := *st
			next.by, next.Evidence = v, nil
			again[st] = &next
			raw, err := s.blobs.Get(st.Bundle)
			if err != nil {
				errs = append(errs, fmt.Errorf("record %d: bundle %s: %w", st.Sequence, st.Bundle, err))
				continue
			}
			if e, err := st.verify(v, raw); err == nil {
				next.Evidence = e
			}
		}
	}
	return again, errors.Join(errs...)
}

// reassess gathers everything anew with what verifyAgain found.
func (s *State) reassess(again map[*statement]*statement) {
	for _, repo := range s.repositories {
		repo.pool, repo.measured = &policy.Pool{}, make(map[attest.Digest][]attest.Digest)
		for i, st := range repo.statements {
			if next := again[st]; next != nil {
				repo.statements[i] = next
				if s.bundles[st.Bundle] == st {
					s.bundles[st.Bundle] = next
				}
			}
			repo.offer(repo.statements[i])
		}
		repo.revoke(s.trust.decisions)
		repo.gathered.forget()
	}
}

// Evidence returns the admitted bundles about a manifest, in the order they
// took effect. Revocations and channels are not among them.
func (s *State) Evidence(repository string, subject attest.Digest) []StoredEvidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stored(repository, func(st *statement) bool {
		return !st.detached() && st.Subject == subject
	})
}

// EnvironmentEvidence returns the admitted environment/v1 bundles of an
// environment digest.
func (s *State) EnvironmentEvidence(repository string, environment attest.Digest) []StoredEvidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stored(repository, func(st *statement) bool {
		return st.Type == attest.TypeEnvironment && st.admitted.File() == environment
	})
}

// Revocations returns every revocation of a repository's product, in the order
// they took effect.
func (s *State) Revocations(repository string) []StoredEvidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stored(repository, func(st *statement) bool { return st.Type == attest.TypeRevocation })
}

// Condemned returns the revocation of a manifest itself that is in effect in a
// repository's product, whether the manifest is there or not; nil: there is none.
func (s *State) Condemned(repository string, manifest attest.Digest) *verify.Evidence {
	s.mu.RLock()
	defer s.mu.RUnlock()
	repo := s.served(repository)
	if repo == nil || !s.ready {
		return nil
	}
	return cmp.Or(
		repo.revoked.By(repo.product, attest.RevokeSubject, manifest),
		repo.revoked.By(repo.product, attest.RevokeBuilder, manifest),
	)
}

// Admitted returns the bundle in a repository, if it was admitted there.
func (s *State) Admitted(repository string, bundle attest.Digest) (StoredEvidence, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := s.stored(repository, func(st *statement) bool { return st.Bundle == bundle })
	if len(found) == 0 {
		return StoredEvidence{}, false
	}
	return found[0], true
}

func (s *State) stored(repository string, want func(*statement) bool) []StoredEvidence {
	repo := s.served(repository)
	if repo == nil {
		return nil
	}
	var all []StoredEvidence
	for _, st := range repo.statements {
		if want(st) {
			all = append(all, st.StoredEvidence)
		}
	}
	return all
}

// Statement returns what the index keeps of an admitted bundle: what was
// verified when it was admitted, whatever has become of its signer since.
func (s *State) Statement(bundle attest.Digest) (index.Statement, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := s.bundles[bundle]
	if st == nil {
		return index.Statement{}, fmt.Errorf("bundle %s was not admitted", bundle)
	}
	e := st.admitted
	out := index.Statement{
		Bundle: bundle, Payload: e.Payload(), Subject: e.Subject(), File: e.File(), Signer: e.Signer(),
		Type: e.Type(), Product: cmp.Or(policy.ProductOf(e), st.product), Time: e.Time(), LogIndex: e.LogIndex(),
	}
	if p := verify.As[attest.Provenance](e); p != nil {
		out.BuilderID = p.RunDetails.Builder.ID
	}
	out.Channel = verify.As[attest.Channel](e)
	if b := verify.As[attest.Base](e); b != nil {
		out.Environment = b.Environment
	}
	if p := verify.As[attest.LivePatch](e); p != nil {
		out.Environment = p.Environment
	}
	out.Rebuild, out.Adjudication = verify.As[attest.Rebuild](e), verify.As[attest.Adjudication](e)
	return out, nil
}
