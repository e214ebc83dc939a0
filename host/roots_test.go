package host

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// turn changes the roots of the trust policy to a key nobody had before, which
// the one before signs too.
func (s *server) turn(version int64, edit func(*attest.TrustPolicy)) *verifytest.Signer {
	s.t.Helper()
	next := s.authority.Stranger()
	s.policyOf(func(p *attest.TrustPolicy) { p.Version = version; edit(p) }, next, s.root)
	s.turns, s.root = append(s.turns, s.policy), next
	return next
}

func (s *server) turnThrice() {
	for version := int64(2); version <= 6; version += 2 {
		s.turn(version, func(*attest.TrustPolicy) {})
		s.signPolicy(version+1, s.root)
	}
}

// A host that was away for three changes of the roots follows them.
func TestHostFollowsThreeChangesOfRoots(t *testing.T) {
	m := enrolled(t)
	m.server.turnThrice()
	m.pulls()
	if got := m.policyVersion(); got != 7 {
		t.Errorf("the host has trust policy version %d, want 7", got)
	}
	m.server.turns = nil // it needs none of them any more
	m.pulls()
}

// So does one that gets its policies by a TUF repository, which has the newest
// alone.
func TestHostFollowsChangesOfRootsByTUF(t *testing.T) {
	m := enrolled(t)
	r := m.server.withTUF()
	m.pulls()
	for version := int64(3); version <= 5; version++ {
		m.server.turn(version, func(p *attest.TrustPolicy) { p.TUF = r.Pin() })
		r.Release(m.server.policy)
	}
	m.pulls()
	if got := m.policyVersion(); got != 5 {
		t.Errorf("the host has trust policy version %d, want 5", got)
	}
}

// A token that was made before the roots changed still enrols a host.
func TestEnrollByRootsOfThePast(t *testing.T) {
	s := newServer(t)
	s.turns = [][]byte{s.policy}
	s.turnThrice()
	m := newMachine(s)
	if _, err := m.enroll(); err != nil {
		t.Fatal(err)
	}
	if got := m.policyVersion(); got != 7 {
		t.Errorf("the host has trust policy version %d, want 7", got)
	}
}

// A server that leaves a change out, or shows one that the roots before did not
// sign, leads nowhere; and the host stays where it was.
func TestAttackHostIsLedAstray(t *testing.T) {
	m := enrolled(t)
	m.server.turnThrice()
	honest := m.server.turns
	thief := m.server.authority.Stranger()
	m.server.turns = honest[1:]
	m.refused(verify.BadSignature)
	m.server.turns = [][]byte{honest[0], honest[2]}
	m.refused(verify.BadSignature)
	newest := m.server.policy
	m.server.signPolicy(4, thief)
	m.server.turns, m.server.policy = [][]byte{honest[0], m.server.policy}, newest
	m.refused(verify.BadSignature)
	if got := m.policyVersion(); got != 1 {
		t.Errorf("the host went to version %d on the way to nowhere", got)
	}
	m.server.turns = honest
	m.pulls()
	m.server.policy = honest[1]
	m.refused(verify.Rollback)
}
