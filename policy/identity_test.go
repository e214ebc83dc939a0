package policy_test

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// certified is a scene whose patches are signed by a name in certificates.
func certified(t *testing.T) (*scene, *verifytest.CA) {
	t.Helper()
	a := verifytest.New(t)
	ca := a.CA("corp", nil)
	ca.Certified(string(attest.RolePatch), "spiffe://build.example/patches", "", nil)
	s := &scene{Authority: a, product: a.Product("libs/demo"), pool: new(policy.Pool)}
	s.reload(t)
	return s, ca
}

func TestIdentityHasItsSignersRoles(t *testing.T) {
	s, _ := certified(t)
	w := s.World(s.product, "one")
	s.publish(t, w)
	if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
		t.Errorf("denied: %v", d.Reasons)
	}
	base := w.Said()[2]
	ev := s.admit(t, s.Bundle(s.Statement(base.Type, base.About.Manifest, base.About.File, base.Predicate), s.Signer(string(attest.RolePatch))), base.About)
	if s.trust.Trusted(s.product.ID, attest.RoleBase, ev) || !s.trust.Trusted(s.product.ID, attest.RolePatch, ev) {
		t.Error("an identity has another role than its signer")
	}
}

// TestRevokedIdentity: an identity is revoked by its digest, whatever keys its
// certificates had; one certificate is by its key.
func TestRevokedIdentity(t *testing.T) {
	for _, what := range []string{"identity", "key", "another certificate's key"} {
		t.Run(what, func(t *testing.T) {
			s, ca := certified(t)
			w := s.World(s.product, "one")
			s.publish(t, w)
			f := s.facts(t, w, w)
			d := map[string]attest.Digest{
				"identity": f.Patch.Statement.Signer(), "key": f.Patch.Statement.Key(),
				"another certificate's key": ca.Certificate("spiffe://build.example/patches", "", nil).Key.ID(),
			}[what]
			s.revoke(t, attest.RevokeKey, d)
			got := policy.Decide(s.facts(t, w, w))
			if other := what == "another certificate's key"; got.Allow != other || !other && got.Reasons[0].Reason != verify.Revoked {
				t.Errorf("%+v", got)
			}
		})
	}
}
