package policy_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// undecided are the places of the statements of other bases of fit that no
// decision looks at, and why not.
func undecided() map[string]string {
	return map[string]string{
		"word":                "for people",
		"reason":              "for people",
		"package/":            "how the vendor calls it",
		"path":                "where it lay in the package",
		"chain/#/digest":      "of what only the importer saw",
		"chain/#/key":         "whom to trust for a vendor, the importer decides",
		"chain/#/time":        "for people",
		"observed":            "asked where the base authority vouches: TestReconstructionDenials",
		"kind":                "which patches are applied, the host decides",
		"patch/unsigned":      "compared by whoever rebuilds",
		"patch/code":          "compared by whoever rebuilds",
		"patch/functions":     "for people",
		"patch/imports":       "for people",
		"patch/fixes":         "for people",
		"patch/replaces":      "for whoever applies",
		"patch/requires":      "for whoever applies",
		"patch/conflicts":     "for whoever applies",
		"patch/revertible":    "for whoever applies",
		"chain/#":             "of what only the importer saw",
		"measurements/#/kind": "both kinds of one base are taken alike, or not at all",
	}
}

func mayPass(place string) bool {
	_, place, _ = strings.Cut(place, "/")
	for prefix := range undecided() {
		if strings.HasPrefix(place, prefix) {
			return true
		}
	}
	return false
}

// TestAnyChangeDeniesOnEveryBasis changes each field of each statement that only
// the other bases of fit stand on, in every way there is: what is not listed
// above denies.
func TestAnyChangeDeniesOnEveryBasis(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*testing.T) *arrangement
		docs []string
	}{
		"vendor":      {vendor, []string{"base import", "patch import"}},
		"equivalence": {derive, []string{"equivalence", "patch environment"}},
	} {
		f := c.make(t)
		f.facts(t) // takes the trust policy, and shows that it fits
		if d := policy.Decide(f.scene.facts(t, f.w, f.w)); !d.Allow && d.Reasons[0].Reason != verify.LowAssurance {
			t.Fatalf("%s: the good case is denied: %v", name, d.Reasons)
		}
		proven := map[string]*verify.Evidence{}
		for _, s := range f.said {
			proven[s.Name] = f.admit(t, f.Say(s), s.About)
		}
		tried := 0
		for _, s := range f.said {
			if !contains(c.docs, s.Name) {
				continue
			}
			for _, m := range mutations(t, s.Name, s.Predicate, s.Predicate) {
				tried++
				if f.allowedWith(t, proven, s, m) && !mayPass(m.place()) {
					t.Errorf("%s: %s is allowed", name, m)
				}
			}
		}
		if tried < 50 {
			t.Errorf("%s: only %d changes were tried", name, tried)
		}
	}
}

// allowedWith decides with one statement changed.
func (f *arrangement) allowedWith(t *testing.T, proven map[string]*verify.Evidence, s verifytest.Said, m mutation) bool {
	t.Helper()
	original := toDoc(t, s.Predicate)
	payload := statement(t, act{s.Role, s.Type, s.About, m.apply(original)})
	if string(payload) == string(statement(t, act{s.Role, s.Type, s.About, original})) {
		return false // it changes nothing
	}
	f.pool = new(policy.Pool)
	for name, ev := range proven {
		if name != s.Name {
			f.pool.Add(ev)
		}
	}
	if ev, err := f.verifier.Bundle(f.Unchecked(payload, f.Signer(string(s.Role))), s.About); err == nil {
		f.pool.Add(ev)
	}
	facts := f.scene.facts(t, f.w, f.w)
	facts.Site.MinimumAssurance.Base = policy.BaseImported
	d := policy.Decide(facts)
	if d.Allow && d.Basis == attest.FitEnvironment {
		t.Errorf("%s: allowed by another basis", m)
	}
	return d.Allow
}
