package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
)

func (m *machine) policyVersion() (version int64) {
	m.t.Helper()
	m.does(func(a *Agent) error { version = a.pinned.Version; return nil })
	return version
}

func TestTrustPolicyGoesForwardOnly(t *testing.T) {
	m := enrolled(t)
	old := m.server.policy
	m.server.signPolicy(3, m.server.root)
	if _, err := m.pull(); err != nil {
		t.Fatal(err)
	}
	if got := m.policyVersion(); got != 3 {
		t.Fatalf("the host has trust policy version %d, want 3", got)
	}
	if err := os.Remove(m.file()); err != nil {
		t.Fatal(err)
	}
	m.server.policy = old
	m.refused(verify.Rollback)
	if got := m.policyVersion(); got != 3 {
		t.Errorf("the host went back to version %d", got)
	}
}

// New roots count when the old ones said so.
func TestTrustPolicyNewRoots(t *testing.T) {
	m := enrolled(t)
	next := m.server.authority.Stranger()
	m.server.signPolicy(2, next)
	m.refused(verify.BadSignature)
	m.server.signPolicy(2, next, m.server.root)
	if _, err := m.pull(); err != nil {
		t.Fatal(err)
	}
	m.server.signPolicy(3, next)
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
	m.server.signPolicy(4, m.server.root)
	if _, err := m.pull(); reasonOf(err) != verify.BadSignature {
		t.Errorf("%v, want that roots of the past no longer count", err)
	}
}

// Signatures may be added to a policy; it is still the one we have.
func TestTrustPolicySignedByMore(t *testing.T) {
	m := enrolled(t)
	var err error
	if m.server.policy, err = attest.AddSignature(m.server.policy, m.server.authority.Stranger()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

func TestTrustPolicyExpired(t *testing.T) {
	m := enrolled(t)
	m.server.policyOf(func(p *attest.TrustPolicy) {
		p.Version, p.Expires = 2, time.Now().UTC().Truncate(time.Second).Add(-time.Second)
	}, m.server.root)
	m.refused(verify.Expired)
}

// Trust is asked anew: who is no longer trusted has said nothing.
func TestTrustPolicyTakesARoleAway(t *testing.T) {
	m := enrolled(t)
	m.server.policyOf(func(p *attest.TrustPolicy) {
		p.Version = 2
		p.Products[0].Authorities[attest.RoleBase] = []string{string(attest.RolePatch)}
	}, m.server.root)
	m.refused(verify.UntrustedSigner)
}

func TestRevocationsAreRemembered(t *testing.T) {
	m := enrolled(t)
	other := m.server.authority.World(m.server.product, "other")
	m.server.revocations = [][]byte{m.server.authority.Revoke(m.server.product.ID, attest.RevokeSubject, other.PatchManifest)}
	if _, err := m.pull(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.file()); err != nil {
		t.Fatal(err)
	}
	kept := m.server.revocations

	m.server.revocations = nil
	m.refused(verify.Rollback)

	m.server.count = 1
	m.refused(verify.Rollback)

	// All of them, and a count that lost one.
	m.server.revocations, m.server.count = kept, 0
	m.refused(verify.Rollback)

	// As many as before, but another one.
	m.server.count = -1
	m.server.revocations = [][]byte{m.server.authority.Revoke(m.server.product.ID, attest.RevokeSubject, other.BaseManifest)}
	m.refused(verify.Rollback)

	// The same statement, by somebody who may not make it.
	m.server.revocations = [][]byte{m.server.authority.Bundle(statementOf(t, kept[0]), m.server.authority.Signer(string(attest.RolePatch)))}
	m.refused(verify.Rollback)

	m.server.revocations = kept
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

// What a server claims beyond what verifies is forgotten with its answer: the
// honest server after it is believed, and still may not lose what was verified.
func TestRevocationsOfALiarAreNotRemembered(t *testing.T) {
	m := enrolled(t)
	other := m.server.authority.World(m.server.product, "other")
	honest := [][]byte{m.server.authority.Revoke(m.server.product.ID, attest.RevokeSubject, other.PatchManifest)}
	m.server.revocations = slices.Clone(honest)
	for i := range 999 {
		m.server.revocations = append(m.server.revocations, fmt.Appendf(nil, `{"junk":%d}`, i))
	}
	pull := func(when string) {
		t.Helper()
		if _, err := m.pull(); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if err := os.Remove(m.file()); err != nil {
			t.Fatal(err)
		}
	}
	pull("from a server with 999 revocations of junk")
	if p := m.remembered(); len(p) != 1 || p[0].Count != 1 || len(p[0].Bundles) != 1 {
		t.Errorf("remembered %+v, want the one revocation that verifies", p)
	}
	m.server.revocations = honest
	pull("from the honest server after it")

	// As an agent left it that remembered what the server said.
	m.does(func(a *Agent) error {
		return a.state.write(revocationsFile, seenRevocations{stateVersion, []productRevocations{{m.server.product.ID, 1000, honest}}})
	})
	pull("with a count of 1000 remembered")

	m.server.revocations = [][]byte{[]byte("{}"), []byte("[]")}
	m.refused(verify.Rollback)
}

// Junk alone is nothing to remember.
func TestJunkRevocationsAreNotRemembered(t *testing.T) {
	m := enrolled(t)
	m.server.revocations = slices.Repeat([][]byte{[]byte("{}")}, 1000)
	if _, err := m.pull(); err != nil {
		t.Fatal(err)
	}
	if p := m.remembered(); len(p) != 0 {
		t.Errorf("remembered %+v of a server that sent junk", p)
	}
	m.server.revocations = nil
	if _, err := m.pull(); err != nil {
		t.Errorf("the honest server after it: %v", err)
	}
}

func (m *machine) remembered() (all []productRevocations) {
	m.t.Helper()
	m.does(func(a *Agent) error {
		seen, err := a.state.readRevocations()
		if err == nil {
			all = seen.Products
		}
		return err
	})
	return all
}

func statementOf(t *testing.T, bundle []byte) []byte {
	t.Helper()
	b, err := attest.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return b.Envelope.Payload
}

// A revocation seen counts although the pull it was seen in was refused.
func TestRevocationSeenInARefusedPull(t *testing.T) {
	m := enrolled(t)
	m.server.revocations = [][]byte{m.server.authority.Revoke(m.server.product.ID, attest.RevokeSubject, m.server.world.PatchManifest)}
	m.refused(verify.Revoked)
	m.server.revocations = nil
	m.refused(verify.Rollback)
}

// Revocations whose signer may not revoke do nothing, and need not be kept.
func TestRevocationByAStranger(t *testing.T) {
	m := enrolled(t)
	statement := statementOf(t, m.server.authority.Revoke(m.server.product.ID, attest.RevokeSubject, m.server.world.PatchManifest))
	m.server.revocations = [][]byte{m.server.authority.Bundle(statement, m.server.authority.Stranger())}
	if _, err := m.pull(); err != nil {
		t.Error(err)
	}
}

func TestChangedStateIsRefused(t *testing.T) {
	for _, name := range []string{identityFile, policyFile, recordFile, revocationsFile, keyFile} {
		t.Run(name, func(t *testing.T) {
			m := enrolled(t)
			m.server.revocations = [][]byte{m.server.authority.Revoke(m.server.product.ID, attest.RevokeSubject, m.server.world.Builder)}
			m.refused(verify.Revoked) // leaves one of every file
			path := filepath.Join(m.state, name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for what, b := range map[string][]byte{"cut": whole[:len(whole)/2], "empty": nil, "added to": append(whole[:len(whole):len(whole)], "{}"...)} {
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := m.pull(); err == nil || reasonOf(err) == verify.Revoked {
					t.Errorf("%s %s: %v, want that the state is refused", name, what, err)
				}
			}
			m.nothingKept()
		})
	}
}

// The last record is this host's own, or the state was changed.
func TestRecordOfAnotherHostIsRefused(t *testing.T) {
	m := enrolled(t)
	m.does(func(a *Agent) error {
		forged := *a.last
		forged.Envelope = m.server.authority.RecordEnvelope(m.server.world)
		return a.state.write(recordFile, &forged)
	})
	m.refused(verify.BadSignature)
}
