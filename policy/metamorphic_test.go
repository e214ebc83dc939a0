package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// How answers relate when there is more, less or other evidence.

// Each statement is needed, whatever else there is.
func TestRemovingAnyEvidenceDenies(t *testing.T) {
	s := newStage(t)
	for i, a := range s.play(nil).said {
		p := s.play(nil)
		p.said = slices.Delete(p.said, i, i+1)
		if d := s.decide(p); d.Allow {
			t.Errorf("without %s by %s it is allowed", a.typ, a.role)
		}
	}
}

// Saying a thing twice adds nothing, in either direction: neither the same
// bundle, nor the same statement signed and logged again, nor by another key.
func TestDuplicatesNeverHelp(t *testing.T) {
	for _, missing := range append([]string{""}, docNames...) {
		s := newScene(t)
		w := s.World(s.product, "one")
		for _, said := range w.Said() {
			if said.Name == missing {
				continue
			}
			raw := s.Say(said)
			s.admit(t, raw, said.About)
			s.admit(t, raw, said.About)
			s.admit(t, s.Say(said), said.About)
			for _, role := range []attest.Role{attest.RoleBuilder, attest.RoleBase, attest.RolePatch, attest.RoleRevocation} {
				said.Role = role
				s.admit(t, s.Say(said), said.About)
			}
		}
		if d := policy.Decide(s.facts(t, w, w)); d.Allow != (missing == "") {
			t.Errorf("everything twice but %q: %+v", missing, d)
		}
	}
}

// No number of signers without the role makes one with it.
func TestStrangersNeverCount(t *testing.T) {
	roles := []attest.Role{attest.RoleBuilder, attest.RoleBase, attest.RolePatch, attest.RoleRevocation}
	for i, name := range docNames {
		s := newScene(t)
		w := s.World(s.product, "one")
		said := w.Said()[i]
		s.publish(t, w, name)
		for _, role := range roles {
			if role != said.Role {
				other := said
				other.Role = role
				s.admit(t, s.Say(other), said.About)
			}
		}
		d := policy.Decide(s.facts(t, w, w))
		if d.Allow || d.Reasons[0].Reason != verify.UntrustedSigner {
			t.Errorf("%s by everybody else: %+v", name, d)
		}
		s.admit(t, s.Say(said), said.About) // the right one, last
		if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
			t.Errorf("%s by everybody: %v", name, d.Reasons)
		}
	}
}

// What is revoked is denied, and a denial stays one however much more is
// revoked. (Where two trusted statements disagree, revoking one of them ends
// the contest: TestContestEndsWhenOneIsRevoked.)
func TestRevocationsNeverHelp(t *testing.T) {
	s, w, f := good(t)
	targets := map[string][]attest.Digest{
		attest.RevokeSubject:     {w.PatchManifest, w.BaseManifest, w.EnvManifest, w.Builder},
		attest.RevokeEnvironment: {w.EnvFile},
		attest.RevokeBuilder:     {w.Builder},
		attest.RevokePayload:     f.Evidence(),
	}
	for _, said := range w.Said() {
		targets[attest.RevokeKey] = append(targets[attest.RevokeKey], s.Signer(string(said.Role)).Key.ID())
	}
	for kind, digests := range targets {
		for _, d := range digests {
			s.revoked = nil
			s.revoke(t, kind, d)
			if got := policy.Decide(s.facts(t, w, w)); got.Allow || got.Reasons[0].Reason != verify.Revoked {
				t.Errorf("%s %s revoked: %+v", kind, d, got)
			}
		}
	}
	s.revoked = nil
	denied := false
	for kind, digests := range targets {
		for _, d := range digests {
			s.revoke(t, kind, d)
			allow := policy.Decide(s.facts(t, w, w)).Allow
			if allow && denied {
				t.Errorf("revoking %s %s helped", kind, d)
			}
			denied = denied || !allow
		}
	}
}

// Revocations that do not count: of something else, of another kind, of another
// product, by a signer without the role.
func TestRevocationsThatDoNotCount(t *testing.T) {
	s, w, f := good(t)
	s.revoke(t, attest.RevokeSubject, attest.DigestOf(nil))
	s.revoke(t, attest.RevokeKey, w.PatchManifest)
	s.revoke(t, attest.RevokeEnvironment, w.Builder)
	foreign, err := s.verifier.Revocation(s.Revoke("3b241101-e2bb-4255-8caf-4136c566a962", attest.RevokeSubject, w.PatchManifest))
	if err != nil {
		t.Fatal(err)
	}
	byBase := s.Bundle(s.Statement(attest.TypeRevocation, w.PatchManifest, "", &attest.Revocation{
		Product: s.product.ID, Kind: attest.RevokeSubject, Digest: w.PatchManifest, Reason: "not mine to say",
	}), s.Signer("base"))
	untrusted, err := s.verifier.Revocation(byBase)
	if err != nil {
		t.Fatal(err)
	}
	s.revoked = append(s.revoked, foreign, untrusted, f.Patch.Statement, new(verify.Evidence), nil)
	if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
		t.Errorf("denied: %v", d.Reasons)
	}
	r := policy.NewRevocations(s.trust, s.revoked)
	if r.By(s.product.ID, attest.RevokeKey, w.PatchManifest) == nil || r.By(s.product.ID, attest.RevokeSubject, w.PatchManifest) != nil {
		t.Error("revocations are not found by kind and digest")
	}
}

// Two trusted statements that disagree deny until one of them is revoked; then
// the other is what counts, and only then.
func TestContestEndsWhenOneIsRevoked(t *testing.T) {
	for _, wrongFirst := range []bool{true, false} {
		s := newScene(t)
		w := s.World(s.product, "one")
		right := w.Said()[2]
		predicate := *w.Base
		predicate.Measurements = append(slices.Clone(predicate.Measurements), attest.Measurement{Kind: attest.MeasureELFFile, Digest: w.BaseFile.Digest, BuildID: "ff"})
		wrong := right
		wrong.Predicate = &predicate
		s.publish(t, w, "base")
		order := []verifytest.Said{right, wrong}
		if wrongFirst {
			order = []verifytest.Said{wrong, right}
		}
		var evs []*verify.Evidence
		for _, said := range order {
			evs = append(evs, s.admit(t, s.Say(said), said.About))
		}
		if d := policy.Decide(s.facts(t, w, w)); d.Allow || d.Reasons[0].Reason != verify.Contested {
			t.Fatalf("contested: %+v", d)
		}
		for _, ev := range evs {
			if len(verify.As[attest.Base](ev).Measurements) == 2 {
				s.revoke(t, attest.RevokePayload, ev.Payload())
			}
		}
		if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
			t.Errorf("the wrong one is revoked: %v", d.Reasons)
		}
	}
}

// What names another product is no evidence here: it neither allows, nor does it
// contest what names this one.
func TestStatementsOfOtherProductsAreNoEvidence(t *testing.T) {
	for i, name := range docNames {
		s := newScene(t)
		w := s.World(s.product, "one")
		other := s.World(s.product, "one")
		other.Base.Product, other.Patch.Product = "3b241101-e2bb-4255-8caf-4136c566a962", "3b241101-e2bb-4255-8caf-4136c566a962"
		for _, p := range []*attest.Provenance{other.BuilderBuild, other.BaseBuild, other.PatchBuild} {
			p.BuildDefinition.ExternalParameters.Product = other.Base.Product
		}
		s.admit(t, s.Say(other.Said()[i]), w.Said()[i].About)
		s.publish(t, w)
		if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
			t.Errorf("%s of another product as well: %v", name, d.Reasons)
		}
		s.pool = new(policy.Pool)
		s.publish(t, w, name)
		s.admit(t, s.Say(other.Said()[i]), w.Said()[i].About)
		if d := policy.Decide(s.facts(t, w, w)); d.Allow != (name == "environment") { // names no product
			t.Errorf("%s of another product instead: %+v", name, d)
		}
	}
}

// Statements about other artifacts are no evidence: of patches times
// statements only the diagonal is allowed.
func TestOnlyTheDiagonalIsAllowed(t *testing.T) {
	const n = 4
	s := newScene(t)
	var worlds []*verifytest.World
	for i := range n {
		w := s.World(s.product, fmt.Sprint(i))
		if i > 0 { // all of one environment and base: nothing but the patch differs
			base := worlds[0]
			w.Builder, w.EnvManifest, w.Environment = base.Builder, base.EnvManifest, base.Environment
			w.BaseManifest, w.BaseFile, w.Base = base.BaseManifest, base.BaseFile, base.Base
			w.BaseBuild, w.BuilderBuild = base.BaseBuild, base.BuilderBuild
			w.Patch.Base, w.Patch.BaseFile = w.BaseManifest, w.BaseFile.Digest
			w.Record.Running = base.Record.Running
			w.Link(t)
		}
		worlds = append(worlds, w)
	}
	s.publish(t, worlds[0], "livepatch", "patch provenance")
	common := *s.pool
	for i, patch := range worlds {
		for j, statement := range worlds {
			for k, build := range worlds {
				s.pool = clonePool(t, s, &common, worlds[0])
				refused := 0
				for _, said := range []verifytest.Said{statement.Said()[0], build.Said()[1]} {
					about := verify.Artifact{Manifest: patch.PatchManifest, File: patch.PatchFile.Digest}
					ev, err := s.verifier.Bundle(s.Say(said), about)
					if err != nil {
						refused++
						continue
					}
					s.pool.Add(ev)
				}
				d := policy.Decide(s.facts(t, patch, worlds[0]))
				if want := i == j && i == k; d.Allow != want || (refused == 0) != want {
					t.Errorf("patch %d, statement %d, provenance %d: allowed %t, %d refused: %v", i, j, k, d.Allow, refused, d.Reasons)
				}
			}
		}
	}
}

// clonePool returns a pool with what is known of w's base.
func clonePool(t *testing.T, s *scene, from *policy.Pool, w *verifytest.World) *policy.Pool {
	t.Helper()
	p := new(policy.Pool)
	for _, m := range []attest.Digest{w.BaseManifest, w.EnvManifest, w.Builder} {
		for _, ev := range from.About(m) {
			p.Add(ev)
		}
	}
	return p
}

// What one pool holds is found however it was filled, and an order of arrival
// decides nothing.
func TestOrderDecidesNothing(t *testing.T) {
	s := newStage(t)
	p := s.play(nil)
	want := s.facts(p).Evidence()
	slices.Reverse(p.said)
	if got := s.facts(p).Evidence(); !slices.Equal(got, want) || !s.decide(p).Allow {
		t.Errorf("in reverse the decision stands on %v, want %v", got, want)
	}
}
