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
		s.asksRebuilder(2, attest.Rebuilds{})
		waits()
		one := &attest.Quorum{Reproduced: 1, Differ: []string{}}
		s.asksRebuilder(3, attest.Rebuilds{Base: one, Patch: one})
		waits(w.BaseManifest, w.PatchManifest)
		s.reproduced(w, w.BaseManifest, w.Base.File.Digest)
		waits(w.PatchManifest)
	})
}
