package policy_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// What is looked up when evidence is gathered makes decisions fast. These tests
// hold that it makes no other difference: whatever changes afterwards, and
// however, the answer is the one of facts that were never looked at before.

// asAnew asks that f is decided and explained as if nothing had been looked up.
func asAnew(t *testing.T, when string, f *policy.Facts) {
	t.Helper()
	anew := policy.Anew(f)
	if diff := cmp.Diff(policy.Decide(anew), policy.Decide(f)); diff != "" {
		t.Errorf("%s (-looked up anew +as gathered):\n%s", when, diff)
	}
	if diff := cmp.Diff(policy.Explain(anew), policy.Explain(f)); diff != "" {
		t.Errorf("%s, explained (-looked up anew +as gathered):\n%s", when, diff)
	}
}

func TestDenialsAreAsAnew(t *testing.T) {
	for _, tt := range denials() {
		asAnew(t, tt.name, tt.make(t, newScene(t)))
	}
}

func TestClearedFactsAreAsAnew(t *testing.T) {
	_, _, f := good(t)
	asAnew(t, "as it fits", f)
	var facts []fact
	collect(reflect.ValueOf(f), "", &facts)
	for i, one := range facts {
		undo := one.clear()
		asAnew(t, "without "+one.name, f)
		for _, other := range facts[i+1:] {
			undoOther := other.clear()
			if diff := cmp.Diff(policy.Decide(policy.Anew(f)), policy.Decide(f)); diff != "" {
				t.Errorf("without %s and %s:\n%s", one.name, other.name, diff)
			}
			undoOther()
		}
		undo()
	}
}

// TestEvidenceOfOthers puts every statement of two worlds in every place.
func TestEvidenceOfOthers(t *testing.T) {
	s := newScene(t)
	w, other := s.World(s.product, "one"), s.World(s.product, "two")
	s.publish(t, w)
	s.publish(t, other)
	f, o := s.facts(t, w, w), s.facts(t, other, other)
	places := func(f *policy.Facts) []**verify.Evidence {
		p, b := f.Patch, f.Patch.Base
		return []**verify.Evidence{&p.Statement, &p.Provenance, &b.Statement, &b.Provenance, &b.Environment, &b.Builder}
	}
	all := append(places(f), places(o)...)
	for i, place := range places(f) {
		for j, from := range all {
			was := *place
			*place = *from
			asAnew(t, "another pointer", f)
			if d := policy.Decide(f); d.Allow != (i == j) {
				t.Errorf("statement %d in place %d: allowed %t", j, i, d.Allow)
			}
			*place = was

			content := *was
			*was = **from // the same pointer, another statement
			asAnew(t, "another content", f)
			if d := policy.Decide(f); d.Allow != (i == j) {
				t.Errorf("content of statement %d in place %d: allowed %t", j, i, d.Allow)
			}
			*was = content
		}
	}
	asAnew(t, "put back", f)
	if d := policy.Decide(f); !d.Allow {
		t.Fatalf("put back: %v", d.Reasons)
	}
}

// TestTrustThatChanged: what is in effect now counts, whether the facts point at
// something else or what they point at became something else.
func TestTrustThatChanged(t *testing.T) {
	leads := func(t *testing.T, when string, f *policy.Facts, want verify.Reason) {
		t.Helper()
		asAnew(t, when, f)
		if d := policy.Decide(f); d.Allow || d.Reasons[0].Reason != want {
			t.Errorf("%s: %+v, want %s", when, d, want)
		}
	}
	for role := range map[attest.Role]bool{attest.RoleBuilder: true, attest.RoleBase: true, attest.RolePatch: true} {
		s, _, f := good(t)
		p := s.TrustPolicy(s.product)
		p.Products[0].Authorities[role] = nil
		trust := policy.NewTrust(p, "")
		was := *f.Trust
		*f.Trust = *trust
		leads(t, string(role)+" in place", f, verify.UntrustedSigner)
		*f.Trust = was
		if d := policy.Decide(f); !d.Allow {
			t.Errorf("put back: %v", d.Reasons)
		}
		f.Trust = trust
		leads(t, string(role), f, verify.UntrustedSigner)
	}
	s, w, f := good(t)
	s.revoke(t, attest.RevokeSubject, w.BaseManifest)
	revoked := policy.NewRevocations(s.trust, s.revoked)
	was := *f.Revoked
	*f.Revoked = *revoked
	leads(t, "revoked in place", f, verify.Revoked)
	*f.Revoked = was
	if d := policy.Decide(f); !d.Allow {
		t.Errorf("put back: %v", d.Reasons)
	}
	f.Revoked = revoked
	leads(t, "revoked", f, verify.Revoked)
	*f.Revoked = policy.Revocations{}
	asAnew(t, "no revocations in place", f)
}

// TestGatheredUnderOthers: what was gathered under a trust policy that trusts
// everybody, or without the revocations, is decided under those in effect.
func TestGatheredUnderOthers(t *testing.T) {
	s, w, f := good(t)
	s.revoke(t, attest.RevokePayload, f.Patch.Statement.Payload())
	now := policy.NewRevocations(s.trust, s.revoked)
	s.pool.Revoked = nil
	base := policy.GatherBase(s.trust, s.product.ID, baseArtifact(w), s.pool)
	f.Patch = policy.GatherPatch(s.trust, s.product.ID, patchArtifact(w), base, s.pool)
	f.Host.Bases, f.Revoked = []*policy.Base{base}, now
	asAnew(t, "gathered before it was revoked", f)
	if d := policy.Decide(f); d.Allow || d.Reasons[0].Reason != verify.Revoked {
		t.Errorf("gathered before it was revoked: %+v", d)
	}

	s, w, f = good(t)
	p := s.TrustPolicy(s.product)
	p.Products[0].Authorities[attest.RolePatch] = p.Products[0].Authorities[attest.RoleBase]
	elsewhere := policy.NewTrust(p, "")
	f.Patch = policy.GatherPatch(elsewhere, s.product.ID, patchArtifact(w), f.Patch.Base, s.pool)
	asAnew(t, "the patch gathered under another policy", f)
	if d := policy.Decide(f); !d.Allow {
		t.Errorf("the patch gathered under another policy: %v", d.Reasons)
	}
	f.Trust = elsewhere
	asAnew(t, "decided under the other policy", f)
	if d := policy.Decide(f); d.Allow || d.Reasons[0].Reason != verify.UntrustedSigner {
		t.Errorf("decided under the other policy: %+v", d)
	}
}

// TestFindingsAboutNoStatement: a rule that looks at no statement blames none,
// whatever the rule before it looked at.
func TestFindingsAboutNoStatement(t *testing.T) {
	blames := map[string]bool{
		"host-active": false, "host-key-unique": false, "host-product": false, "trust-policy-current": false, "record-fresh": false,
		"record-newest": false, "base-known": false, "fit-basis": false, "assurance": false,
		"signers-trusted": true, "base-match": true,
	}
	seen := make(map[string]int)
	for _, tt := range denials() {
		for _, r := range policy.Decide(tt.make(t, newScene(t))).Reasons {
			want, known := blames[r.Rule]
			if known && (r.Evidence != "") != want {
				t.Errorf("%s: %s blames %q", tt.name, r, r.Evidence)
			}
			seen[r.Rule]++
		}
	}
	for rule := range blames {
		if seen[rule] == 0 {
			t.Errorf("no denial by %s", rule)
		}
	}
}
