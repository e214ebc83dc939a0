package attest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

func TestParseTrustPolicyReads(t *testing.T) {
	want := goodPolicy(t)
	got, err := attest.ParseTrustPolicy(policyBytes(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policy differs (-want +got):\n%s", diff)
	}
}

func TestRootsDigest(t *testing.T) {
	a, err := goodRoots(t, 2, "root one", "root two").Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]attest.Roots{
		"threshold": goodRoots(t, 1, "root one", "root two"),
		"key":       goodRoots(t, 2, "root one", "root three"),
		"order":     goodRoots(t, 2, "root two", "root one"),
		"fewer":     goodRoots(t, 2, "root one"),
	} {
		if b, err := other.Digest(); err != nil || a == b {
			t.Errorf("roots with another %s have the same digest (%v)", name, err)
		}
	}
}

// next makes the policy after goodPolicy, changed by change.
func next(t *testing.T, change func(p *attest.TrustPolicy)) []byte {
	p := goodPolicy(t)
	p.Version = 2
	change(p)
	return policyBytes(t, p)
}

func TestOpenNext(t *testing.T) {
	first := goodPolicy(t)
	same := func(*attest.TrustPolicy) {}
	rotate := func(p *attest.TrustPolicy) { p.Roots = goodRoots(t, 2, "root three", "root four", "root five") }
	takeOver := func(p *attest.TrustPolicy) { p.Roots = goodRoots(t, 1, "stranger") }
	for _, tt := range []struct {
		name    string
		payload []byte
		signers []string
		want    string
	}{
		{"same roots", next(t, same), []string{"root one", "root two"}, ""},
		{"versions left out", next(t, func(p *attest.TrustPolicy) { p.Version = 9 }), []string{"root two", "root three"}, ""},
		{"rotation", next(t, rotate), []string{"root one", "root two", "root four", "root five"}, ""},
		{"rotation by one who stays", next(t, rotate), []string{"root one", "root three", "root four"}, ""},
		{"old roots only", next(t, rotate), []string{"root one", "root two"}, "its own roots: trust policy is signed by 0 of its root keys, 2 are needed"},
		{"new roots only", next(t, rotate), []string{"root four", "root five"}, "roots of version 1: trust policy is signed by 0"},
		{"too few old roots", next(t, rotate), []string{"root one", "root four", "root five"}, "roots of version 1: trust policy is signed by 1"},
		{"taken over", next(t, takeOver), []string{"stranger", "root one"}, "roots of version 1: trust policy is signed by 1"},
		{"same version", next(t, func(p *attest.TrustPolicy) { p.Version = 1 }), []string{"root one", "root two"}, "version 1, which is not above 1"},
		{"inconsistent", next(t, func(p *attest.TrustPolicy) { p.Products[0].FitBases = nil }), []string{"root one", "root two"}, "/payload/products/0/fitBases"},
		{"not a policy", []byte("{}"), []string{"root one", "root two"}, "/payload/version: missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := first.OpenNext(sign(t, attest.PolicyPayload, tt.payload, tt.signers...))
			if tt.want == "" && (err != nil || p.Version < 2) {
				t.Errorf("got %v, %v", p, err)
			}
			if tt.want != "" && (err == nil || p != nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, %v; want an error that says %q", p, err, tt.want)
			}
		})
	}
}

func TestOpenNextGoesOnFromRotation(t *testing.T) {
	second, err := goodPolicy(t).OpenNext(sign(t, attest.PolicyPayload, next(t, func(p *attest.TrustPolicy) {
		p.Roots = goodRoots(t, 1, "root four")
	}), "root one", "root two", "root four"))
	if err != nil {
		t.Fatal(err)
	}
	third := func(p *attest.TrustPolicy) { p.Version = 3; p.Roots = goodRoots(t, 1, "root four") }
	if _, err := second.OpenNext(sign(t, attest.PolicyPayload, next(t, third), "root four")); err != nil {
		t.Errorf("the new roots do not count: %v", err)
	}
	back := func(p *attest.TrustPolicy) { p.Version = 3 }
	if _, err := second.OpenNext(sign(t, attest.PolicyPayload, next(t, back), "root one", "root two")); err == nil {
		t.Error("the old roots still count")
	}
}

// A policy made in Go without roots must not be a policy that anybody signs.
func TestNoRootsNoPolicy(t *testing.T) {
	p := &attest.TrustPolicy{Version: 1}
	if _, err := p.OpenNext(sign(t, attest.PolicyPayload, next(t, func(*attest.TrustPolicy) {}), "root one", "root two")); err == nil {
		t.Error("the zero policy lets anybody come next")
	}
}
