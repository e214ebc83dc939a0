package control

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// asksRebuilder makes north a rebuilder of the product, and asks this of rebuilds.
func (s *scene) asksRebuilder(version int64, ask attest.Rebuilds) {
	s.Signer("north").Independence = attest.Independence{Operator: "acme"}
	p := s.TrustPolicy(s.Product)
	p.Version, p.Roots = version, attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
	p.Products[0].Authorities[attest.RoleRebuilder] = []string{"north"}
	p.Products[0].Rebuilds = ask
	s.Trust(p)
}

// reproduced has north say that a base or patch of w came out the same.
func (s *scene) reproduced(w *verifytest.World, about, file attest.Digest) {
	s.Admit(s.Bundle(s.Statement(attest.TypeRebuild, about, file, &attest.Rebuild{
		Product: s.Product.ID, Environment: w.Base.Environment, Result: attest.Reproduced, Log: attest.DigestOf(nil),
		Compared: &attest.Compared{File: attest.Pair{Wanted: file, Got: file}}, Run: attest.Run{ID: "1", Builder: "https://rebuilder.example"},
	}), s.Signer("north")), about, attest.TypeRebuild)
}

// A host gets what is said of rebuilds where its product asks for them, and
// nothing of it elsewhere.
func TestRebuildsAreEvidenceWhereTheyAreAskedFor(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		s.asksRebuilder(2, attest.Rebuilds{})
		for about, file := range map[attest.Digest]attest.Digest{w.PatchManifest: w.Patch.File.Digest, w.BaseManifest: w.Base.File.Digest} {
			s.reproduced(w, about, file)
		}
		id, key := s.enrol(t, "a")
		pub, pubKey := s.Principal("pub", state.RolePublisher)
		count := func(id string, key statetest.Key) int {
			e, err := s.as(id, key).Evidence(ctx(), s.Product.Repository, w.PatchManifest)
			if err != nil {
				t.Fatal(err)
			}
			return len(e.Bundles)
		}
		if host, publisher := count(id, key), count(pub, pubKey); host != 6 || publisher != 8 {
			t.Errorf("nobody asks: the host gets %d bundles, the publisher %d, want 6 and 8", host, publisher)
		}
		s.asksRebuilder(3, attest.Rebuilds{Base: &attest.Quorum{Reproduced: 1, Differ: []string{}}})
		if host := count(id, key); host != 8 {
			t.Errorf("the trust policy asks: the host gets %d bundles, want 8", host)
		}
	})
}
