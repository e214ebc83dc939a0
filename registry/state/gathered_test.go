package state_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// history makes something of everything happen, and returns who and what to ask
// about.
func history(t *testing.T, h *statetest.House) (hosts []string, patches []attest.Digest) {
	t.Helper()
	one := h.Publish("one")
	a, keyA := h.Enrol("a")
	b, keyB := h.Enrol("b")
	h.Record(a, keyA, 1, one)
	h.Record(b, keyB, 1, one)
	two := h.Publish("two")
	h.Record(a, keyA, 2, two)
	h.Record(a, keyA, 3, one)
	again := *one.PatchBuild // more evidence about one patch
	again.RunDetails.Metadata.InvocationID = "again"
	h.SayIt(verifytest.Said{Role: attest.RolePatch, Type: attest.TypeProvenance,
		About: verify.Artifact{Manifest: one.PatchManifest, File: one.Patch.File.Digest}, Predicate: &again})
	contested := *two.Patch
	contested.Revertible = !contested.Revertible
	h.SayIt(verifytest.Said{Role: attest.RolePatch, Type: attest.TypeLivePatch,
		About: verify.Artifact{Manifest: two.PatchManifest, File: two.Patch.File.Digest}, Predicate: &contested})
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: two.PatchManifest, By: h.Admin})
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: one.BaseManifest, By: h.Admin})
	h.SetState(b, state.Suspended)
	h.SetState(b, state.Active)
	h.RevokeIt(attest.RevokeEnvironment, two.EnvFile)
	p := h.TrustPolicy(h.Product)
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
	p.Products[0].Authorities[attest.RoleBase] = []string{string(attest.RoleBuilder)}
	h.Trust(p)
	p.Version, p.Products[0].Authorities[attest.RoleBase] = 3, []string{string(attest.RoleBase)}
	h.Trust(p)
	h.Record(b, keyB, 2, two)
	h.RevokeIt(attest.RevokeSubject, one.PatchManifest)
	return []string{a, b}, []attest.Digest{one.PatchManifest, two.PatchManifest, one.BaseManifest, two.EnvManifest}
}

// TestRememberedIsAsGatheredAnew: whatever happens, a state that was asked after
// every record, and remembers, says what one says that gathers all of it anew.
func TestRememberedIsAsGatheredAnew(t *testing.T) {
	h := house(t)
	hosts, patches := history(t, h)
	warm, cold := state.New(h.Blobs, h.Site()), state.New(h.Blobs, h.Site())
	for _, s := range []*state.State{warm, cold} {
		if err := s.SetReady(); err != nil {
			t.Fatal(err)
		}
	}
	views, allowed := 0, 0
	for _, r := range h.Journal.Records() {
		for _, s := range []*state.State{warm, cold} {
			if err := s.Apply(r); err != nil {
				t.Fatal(err)
			}
		}
		for _, host := range hosts {
			for _, d := range patches {
				state.Forget(cold)
				got, ok := warm.View(host, repo, d, r.Time.Add(time.Second))
				want, wantOK := cold.View(host, repo, d, r.Time.Add(time.Second))
				if diff := cmp.Diff(want, got, everything); ok != wantOK || diff != "" {
					t.Fatalf("after record %d, %s, host %s and %s (-anew +remembered):\n%s", r.Sequence, r.Kind, host, d, diff)
				}
				if !ok {
					continue
				}
				views++
				if policy.Decide(got.Facts).Allow {
					allowed++
				}
			}
		}
	}
	if views < 50 || allowed < 5 || allowed > views/2 {
		t.Errorf("%d views, of which %d allow: too little happened", views, allowed)
	}
	t.Logf("%d views, of which %d allow", views, allowed)
}
