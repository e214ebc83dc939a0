package policy_test

import (
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// What befell other deciders, under the names of their advisories
// (docs/advisories.md).

func leads(t *testing.T, f *policy.Facts, want verify.Reason) {
	t.Helper()
	d := policy.Decide(f)
	if d.Allow || len(d.Reasons) == 0 || d.Reasons[0].Reason != want {
		t.Errorf("decided %+v, want a denial that leads with %s", d, want)
	}
}

// policy-controller was content with any attestation that had a valid
// signature where none of the type it asked for was there.
func TestCVE2022_35930(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	s.publish(t, w, "livepatch")
	about := verify.Artifact{Manifest: w.PatchManifest, File: w.PatchFile.Digest}
	patch := s.Signer(string(attest.RolePatch))
	s.admit(t, s.Bundle(s.Statement("https://example.com/livepatch/v1", about.Manifest, about.File, attest.Unknown(`{"fits":true}`)), patch), about)
	leads(t, s.facts(t, w, w), verify.NoAttestation)

	s.publish(t, w)
	if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
		t.Errorf("denied once it is there: %v", d.Reasons)
	}
}

// gh exited with 0 where there was nothing to verify.
func TestCVE2025_25204(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	s.publish(t, w, "livepatch", "patch provenance")
	leads(t, s.facts(t, w, w), verify.NoAttestation)
}

// sigstore-go counted two entries of one log; here, two statements of one
// signer, in two leaves, are one voice, and two different ones none.
func TestCVE2026_49834(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	s.publish(t, w, "livepatch")
	for range 3 { // by a role that may not say it
		said := w.Said()[0]
		said.Role = attest.RoleBase
		s.admit(t, s.Say(said), said.About)
	}
	leads(t, s.facts(t, w, w), verify.UntrustedSigner)
}
