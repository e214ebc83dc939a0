package state_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// everything compares two states down to every field, but for what they were
// verified with and what readers gathered.
var everything = cmp.Options{
	cmp.Exporter(func(reflect.Type) bool { return true }),
	cmpopts.IgnoreTypes(&verify.Verifier{}),
	cmp.FilterPath(func(p cmp.Path) bool {
		switch p.Last().String() {
		case ".blobs", ".mu", ".gathered", ".earlier", ".verifier", ".by":
			return true
		}
		return false
	}, cmp.Ignore()),
	cmp.Comparer(func(a, b *attest.PublicKey) bool { return a == nil && b == nil || a.Equal(b) }),
	cmpopts.EquateEmpty(),
}

func mustRebuild(t *testing.T, h *statetest.House) {
	t.Helper()
	again, err := h.Rebuild()
	if err != nil {
		t.Fatalf("rebuilding the state: %v", err)
	}
	if diff := cmp.Diff(h.State, again, everything); diff != "" {
		t.Errorf("the state rebuilt from the journal is another one (-live +rebuilt):\n%s", diff)
	}
}

func TestRebuildEqualsLive(t *testing.T) {
	h := house(t)
	one := h.Publish("one")
	host, key := h.Enrol("a")
	other, _ := h.Enrol("b")
	h.Principal("pub", state.RolePublisher, state.RoleAuditor)
	gone, _ := h.Principal("gone", state.RoleRebuilder)
	h.Must(ledger.KindEnded, ledger.PrincipalEnded{Principal: gone, By: h.Admin})
	h.Record(host, key, 1, one)
	h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.Put(h.Policy(2, h.Product)), By: h.Admin})
	two := h.Publish("two")
	h.RevokeIt(attest.RevokeSubject, one.PatchManifest)
	h.Record(host, key, 2, two)
	h.SetState(other, state.Revoked)
	h.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "v1", Digest: two.PatchManifest, By: h.Admin})
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Digest: one.PatchManifest, By: h.Admin})
	h.Must(ledger.KindDelete, ledger.Deleted{Repository: repo, Tag: "v1", By: h.Admin})
	p := h.TrustPolicy(h.Product)
	p.Version, p.Roots = 3, attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
	p.Products[0].Authorities[attest.RoleBase] = []string{string(attest.RoleBuilder)}
	h.Trust(p)
	decide(t, h, host, two)
	h.Must(ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Hosts: []string{host}, By: h.Admin})
	h.Must(ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Patch: two.PatchManifest, Until: verifytest.Epoch.AddDate(0, 0, 1), Hosts: []string{}, By: h.Admin})
	h.Must(ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Patch: one.PatchManifest, Hosts: []string{}, By: h.Admin})
	h.Must(ledger.KindEmbargo, ledger.Embargoed{Product: h.Product.ID, Patch: one.PatchManifest, Hosts: []string{}, Lifted: true, By: h.Admin})
	mustRebuild(t, h)

	// The comparison sees a difference: one record less is another state.
	records := h.Journal.Records()
	short := state.New(h.Blobs, h.Site())
	for _, r := range records[:len(records)-1] {
		if err := short.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := short.SetReady(); err != nil || cmp.Equal(h.State, short, everything) {
		t.Errorf("a state with one record less compares equal (error %v)", err)
	}
}

// TestReplacedInTheSameMoment: admission verified a bundle with the policy that
// another one replaced before the bundle's record.
func TestReplacedInTheSameMoment(t *testing.T) {
	h := house(t)
	w := h.World("one")
	p := h.TrustPolicy(h.Product)
	p.Version, p.Roots = 2, attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
	p.Signers = slices.DeleteFunc(p.Signers, func(s attest.Signer) bool { return s.Name == string(attest.RolePatch) })
	p.Products[0].Authorities[attest.RolePatch] = []string{string(attest.RoleBase)}
	h.Trust(p)
	bundle := h.SayIt(w.Said()[0])
	for _, e := range h.State.Evidence(repo, w.PatchManifest) {
		if e.Evidence != nil {
			t.Error("a bundle that only an earlier policy verifies is evidence")
		}
	}
	if s, err := h.State.Statement(bundle); err != nil || s.Type != attest.TypeLivePatch || s.Product != h.Product.ID {
		t.Errorf("what the index keeps of it: %+v, error %v", s, err)
	}
	mustRebuild(t, h)
}
