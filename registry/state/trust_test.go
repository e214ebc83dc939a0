package state_test

import (
	"slices"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func TestRevocation(t *testing.T) {
	for kind, of := range map[string]func(*verifytest.World, *statetest.House) attest.Digest{
		attest.RevokeSubject:     func(w *verifytest.World, _ *statetest.House) attest.Digest { return w.PatchManifest },
		attest.RevokeEnvironment: func(w *verifytest.World, _ *statetest.House) attest.Digest { return w.Base.Environment },
		attest.RevokeBuilder:     func(w *verifytest.World, _ *statetest.House) attest.Digest { return w.Builder },
		attest.RevokeKey: func(_ *verifytest.World, h *statetest.House) attest.Digest {
			return h.Signer(string(attest.RolePatch)).Key.ID()
		},
	} {
		t.Run(kind, func(t *testing.T) {
			h := house(t)
			w := h.Publish("one")
			host, key := h.Enrol("a")
			h.Record(host, key, 1, w)
			epoch := h.State.Epoch(repo, w.PatchManifest)
			h.RevokeIt(kind, of(w, h))
			if d := decide(t, h, host, w); d.Allow || !slices.Contains(reasons(d), verify.Revoked) {
				t.Errorf("decision after the revocation: %+v, want REVOKED", d)
			}
			if h.State.Epoch(repo, w.PatchManifest) <= epoch {
				t.Error("the epoch did not move with a revocation")
			}
		})
	}
}

// TestTrustChanges: trust is asked anew, of everything, when it changes.
func TestTrustChanges(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	next := func(version int64, change func(*attest.TrustPolicy)) {
		p := h.TrustPolicy(h.Product)
		p.Version, p.Roots = version, attest.Roots{Threshold: 1, Keys: []string{h.Root.Public.Base64()}}
		change(p)
		h.Trust(p)
	}
	epoch := h.State.Epoch(repo, w.PatchManifest)

	next(2, func(p *attest.TrustPolicy) { // the base authority is somebody else now
		p.Products[0].Authorities[attest.RoleBase] = []string{string(attest.RoleBuilder)}
	})
	if d := decide(t, h, host, w); d.Allow || !slices.Contains(reasons(d), verify.UntrustedSigner) {
		t.Errorf("statements of someone who lost the role: %+v, want UNTRUSTED_SIGNER", d)
	}
	next(3, func(p *attest.TrustPolicy) { // the patch signer's key is gone altogether
		p.Signers = slices.DeleteFunc(p.Signers, func(s attest.Signer) bool { return s.Name == string(attest.RolePatch) })
		p.Products[0].Authorities[attest.RolePatch] = []string{string(attest.RoleBase)}
	})
	if d := decide(t, h, host, w); d.Allow || !slices.Contains(reasons(d), verify.NoAttestation) {
		t.Errorf("statements of a key nobody has any more: %+v, want NO_ATTESTATION", d)
	}
	for _, e := range h.State.Evidence(repo, w.PatchManifest) {
		if e.Evidence != nil {
			t.Errorf("%s by a key the policy does not name is evidence", e.Type)
		}
	}
	next(4, func(*attest.TrustPolicy) {})
	if d := decide(t, h, host, w); !d.Allow {
		t.Errorf("trusted again, and denied: %v", d.Reasons)
	}
	next(5, func(p *attest.TrustPolicy) { p.Products = nil })
	if _, ok := h.State.Product(repo); ok {
		t.Error("a product the trust policy does not name is served")
	}
	if id, ok := h.State.ProductEver(repo); !ok || id == "" {
		t.Error("a repository forgot whose it was")
	}
	if got := h.State.Epoch(repo, w.PatchManifest); got > epoch {
		t.Errorf("epoch %d of a repository that is not served", got)
	}
	mustRebuild(t, h)
}

func TestEpoch(t *testing.T) {
	h := house(t)
	one, two := h.Publish("one"), h.Publish("two")
	host, key := h.Enrol("a")
	epochs := func() [2]int64 {
		return [2]int64{h.State.Epoch(repo, one.PatchManifest), h.State.Epoch(repo, two.PatchManifest)}
	}
	moved := func(name string, first, second bool, do func()) {
		t.Helper()
		before := epochs()
		do()
		after := epochs()
		if got := [2]bool{after[0] > before[0], after[1] > before[1]}; got != [2]bool{first, second} {
			t.Errorf("%s: epochs moved %v, want %v", name, got, [2]bool{first, second})
		}
	}
	again := func(s verifytest.Said) func() { return func() { h.SayIt(s) } }
	said := one.Said()
	moved("a statement about the first patch", true, false, again(said[0]))
	moved("provenance of the first patch", true, false, again(said[1]))
	moved("a statement about a base", true, true, again(said[2]))
	moved("a statement about an environment", true, true, again(said[4]))
	moved("provenance of a builder image", true, true, again(said[5]))
	moved("a host's record", false, false, func() { h.Record(host, key, 1, one) })
	moved("a tag", false, false, func() {
		h.Must(ledger.KindTag, ledger.TagMoved{Repository: repo, Tag: "x", Digest: one.PatchManifest, By: h.Admin})
	})
	moved("an unrelated manifest", false, false, func() {
		h.PutManifest(statetest.Manifest("application/x", attest.File{Digest: attest.DigestOf([]byte("f")), Size: 1}, ""))
	})
	moved("a trust policy", true, true, func() {
		h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.Put(h.Policy(2, h.Product)), By: h.Admin})
	})
	moved("a revocation of something else", true, true, func() { h.RevokeIt(attest.RevokeSubject, attest.DigestOf([]byte("else"))) })
}
