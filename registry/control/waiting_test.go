package control

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/registry/api"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
)

// What waits for rebuilders is what a quorum is asked of, for as long as it has
// not reached it.
func TestWhatWaitsForRebuilders(t *testing.T) {
	stage(t, statetest.New, func(t *testing.T, s *scene) {
		w := s.Publish("one")
		s.Signer("north").Independence = attest.Independence{Operator: "acme"}
		asks := func(version int64, ask attest.Rebuilds) {
			p := s.TrustPolicy(s.Product)
			p.Version, p.Roots = version, attest.Roots{Threshold: 1, Keys: []string{s.Root.Public.Base64()}}
			p.Products[0].Authorities[attest.RoleRebuilder] = []string{"north"}
			p.Products[0].Rebuilds = ask
			s.Trust(p)
		}
		id, key := s.Principal("north", state.RoleRebuilder)
		waits := func(want ...attest.Digest) {
			t.Helper()
			v, err := s.as(id, key).Rebuilds(ctx(), s.Product.ID, api.RebuildsWaiting)
			if err != nil {
				t.Fatal(err)
			}
			if all, err := s.as(id, key).Rebuilds(ctx(), s.Product.ID, api.RebuildsAll); err != nil || len(all.Artifacts) != 2 || all.Artifacts[0].Manifest != w.BaseManifest {
				t.Errorf("all of them: %+v, %v", all, err)
			}
			if _, err := s.as(id, key).Rebuilds(ctx(), s.Product.ID, "none"); err == nil {
				t.Error("it answers which none")
			}
			var got []attest.Digest
			for _, x := range v.Artifacts {
				got = append(got, x.Manifest)
				if x.File == "" || !strings.Contains(x.Missing, "0 of 1 wanted") || v.Repository != s.Product.Repository {
					t.Errorf("%+v", x)
				}
			}
			if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
				t.Errorf("%v wait, want %v", got, want)
			}
		}
		asks(2, attest.Rebuilds{})
		waits()
		one := &attest.Quorum{Reproduced: 1, Differ: []string{}}
		asks(3, attest.Rebuilds{Base: one, Patch: one})
		waits(w.BaseManifest, w.PatchManifest)
		s.Admit(s.Bundle(s.Statement(attest.TypeRebuild, w.BaseManifest, w.Base.File.Digest, &attest.Rebuild{
			Product: s.Product.ID, Environment: w.Base.Environment, Result: attest.Reproduced, Log: attest.DigestOf(nil),
			Compared: &attest.Compared{File: attest.Pair{Wanted: w.Base.File.Digest, Got: w.Base.File.Digest}}, Run: attest.Run{ID: "1", Builder: "https://rebuilder.example"},
		}), s.Signer("north")), w.BaseManifest, attest.TypeRebuild)
		waits(w.PatchManifest)
	})
}
