package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

func TestFits(t *testing.T) {
	_, _, f := good(t)
	want := policy.Decision{Allow: true, Basis: attest.FitEnvironment}
	if diff := cmp.Diff(want, policy.Decide(f)); diff != "" {
		t.Error(diff)
	}
	for _, c := range policy.Explain(f) {
		if !c.Passed || len(c.Findings) > 0 || c.Criterion == "" {
			t.Errorf("%+v", c)
		}
	}
	if n := len(f.Evidence()); n != 6 {
		t.Errorf("the decision stands on %d statements, want 6", n)
	}
}

// Nothing known is nothing allowed, in every form nothing has.
func TestZeroDenies(t *testing.T) {
	if (policy.Decision{}).Allow {
		t.Error("the zero decision allows")
	}
	for _, f := range []*policy.Facts{
		nil, {}, {Host: &policy.Host{}}, {Patch: &policy.Patch{}}, {Patch: &policy.Patch{Base: &policy.Base{}}},
		{Trust: &policy.Trust{}, Site: &policy.Site{}, Revoked: &policy.Revocations{}, Host: &policy.Host{Bases: []*policy.Base{nil, {}}}, Patch: &policy.Patch{Base: &policy.Base{}}},
	} {
		if d := policy.Decide(f); d.Allow || len(d.Reasons) == 0 {
			t.Errorf("%+v: %+v", f, d)
		}
	}
	for _, c := range policy.Explain(nil) {
		if c.Passed {
			t.Errorf("rule %s passes when nothing is known", c.Rule)
		}
	}
	var trust *policy.Trust
	if trust.Trusted("", attest.RoleBase, nil) || trust.Signs("", nil) || trust.Envelope() != "" || trust.Version() != 0 {
		t.Error("no trust policy trusts somebody")
	}
	if (*policy.Base)(nil).Matches(attest.Running{}) || (&policy.Base{}).Matches(attest.Running{}) {
		t.Error("no base matches a measurement")
	}
	if (*policy.Site)(nil).Digest() != "" || (*policy.Revocations)(nil).By("", "", "") != nil {
		t.Error("nothing has something")
	}
}

// Each pointer, list, string, number and time among the facts, set to nothing
// one at a time, denies; in pairs they do not panic.
func TestEveryFactIsNeeded(t *testing.T) {
	_, _, f := good(t)
	unneeded := map[string]string{
		"*.Host*.Cloned":               "false is what it should be",
		"*.Host*.Record*.BootID":       "looked at when the record arrives, and to find clones",
		"*.Host*.Record*.Nonce":        "looked at when the record arrives",
		"*.Patch*.Contested":           "nothing is what it should be",
		"*.Patch*.Base*.Contested":     "nothing is what it should be",
		"*.Host*.Bases[0]*.Contested":  "nothing is what it should be",
		"*.Patch*.Environment":         "only tells what differs; the digest is compared",
		"*.Embargoes*":                 "no embargo is a set of embargoes; nil is not",
		"*.Site*.Modes":                "nothing enforces, which is what the good case passes",
		"*.Site*.Modes.MaxRecordAge":   "as above",
		"*.Site*.Modes.MinimumHost":    "as above",
		"*.Site*.Modes.MinimumBase":    "as above",
		"*.Site*.Modes.RequireChannel": "as above",
		"*.Site*.RequireChannel":       "asks for more, where it is set: TestSiteRequiresAChannel",
		"*.Channels":                   "asked where the trust policy does: TestChannelsAreAsked",
		"*.Channels*":                  "asked where the trust policy does: TestChannelsAreAsked",
		"*.Revoked*":                   "no revocations are a set of revocations; nil is not",
		"*.Patch*.Builder":             "of another basis of fit: TestEquivalenceDenials",
		"*.Patch*.Import":              "of another basis of fit: TestVendorDenials",
		"*.Patch*.Equivalence":         "of another basis of fit: TestEquivalenceDenials",
		"*.Patch*.Base*.Import":        "of another basis of fit: TestVendorDenials",
		"*.Host*.Bases[0]*.Import":     "of another basis of fit: TestVendorDenials",
		"*.Site*.Modes.Lint":           "as above",
		"*.Site*.DenyLint":             "asked where the site policy does: TestLintIsAsked",
		"*.Patch*.Lint":                "asked where the site policy does: TestLintIsAsked",
	}
	var facts []fact
	collect(reflect.ValueOf(f), "", &facts)
	if len(facts) < 40 {
		t.Fatalf("only %d facts were found", len(facts))
	}
	for i, one := range facts {
		undo := one.clear()
		if d := policy.Decide(f); d.Allow != (unneeded[one.name] != "") {
			t.Errorf("without %s allowed is %t", one.name, d.Allow)
		}
		for _, other := range facts[i+1:] {
			undoOther := other.clear()
			policy.Decide(f)
			policy.Explain(f)
			undoOther()
		}
		undo()
	}
	if d := policy.Decide(f); !d.Allow {
		t.Fatalf("the facts were not put back: %v", d.Reasons)
	}
}

// A fact is a settable place below the facts.
type fact struct {
	name string
	v    reflect.Value
}

// clear sets it to nothing and returns what undoes that.
func (f fact) clear() (undo func()) {
	old := reflect.New(f.v.Type()).Elem()
	old.Set(f.v)
	f.v.SetZero()
	return func() { f.v.Set(old) }
}

// collect finds every exported place, through pointers, lists and structs.
// Evidence and trust are taken as a whole.
func collect(v reflect.Value, name string, all *[]fact) {
	if v.CanSet() {
		*all = append(*all, fact{name, v})
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() != reflect.TypeFor[*verify.Evidence]() && !v.IsNil() {
			collect(v.Elem(), name+"*", all)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type() != reflect.TypeFor[time.Time]() {
				collect(v.Field(i), name+"."+v.Type().Field(i).Name, all)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), fmt.Sprintf("%s[%d]", name, i), all)
		}
	}
}

// A denial is one way to go wrong and all that is said about it.
type denial struct {
	name string
	make func(t *testing.T, s *scene) *policy.Facts
	want []verify.Reason // all reasons, in order, without repeats
	says []string        // in the leading finding
}

func TestDenials(t *testing.T) {
	seen := make(map[verify.Reason]bool)
	for _, tt := range denials() {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.make(t, newScene(t))
			d := policy.Decide(f)
			if d.Allow || d.Basis != "" {
				t.Fatal("allowed")
			}
			var got []verify.Reason
			for _, r := range d.Reasons {
				if !slices.Contains(got, r.Reason) {
					got = append(got, r.Reason)
				}
				if r.Rule == "" || r.Want == "" || r.Got == "" || r.Remedy == "" || strings.ContainsAny(r.String(), "\n\x1b") {
					t.Errorf("finding is not whole: %+v", r)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s\n%v", diff, d.Reasons)
			}
			for _, say := range tt.says {
				if !strings.Contains(d.Reasons[0].String(), say) {
					t.Errorf("leading finding %q does not say %q", d.Reasons[0], say)
				}
			}
			sameTable(t, f, d)
			seen[d.Reasons[0].Reason] = true
		})
	}
	atGate := verify.Reasons()
	for _, r := range []verify.Reason{verify.Corrupt, verify.BadSignature} { // only admission meets these
		atGate = slices.DeleteFunc(atGate, func(g verify.Reason) bool { return g == r })
	}
	for _, r := range atGate {
		if !seen[r] {
			t.Errorf("no denial leads with %s", r)
		}
	}
}

// sameTable asks that Explain and Decide tell the same.
func sameTable(t *testing.T, f *policy.Facts, d policy.Decision) {
	t.Helper()
	var all []policy.Finding
	passed := true
	for _, c := range policy.Explain(f) {
		all = append(all, c.Findings...)
		passed = passed && c.Passed
	}
	if diff := cmp.Diff(d.Reasons, all); diff != "" || passed {
		t.Errorf("Explain tells another story:\n%s", diff)
	}
}

// fitting returns facts that would be allowed, for a denial to change.
func fitting(change func(f *policy.Facts)) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := s.World(s.product, "one")
		s.publish(t, w)
		f := s.facts(t, w, w)
		change(f)
		return f
	}
}

// without leaves statements out.
func without(names ...string) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := s.World(s.product, "one")
		s.publish(t, w, names...)
		return s.facts(t, w, w)
	}
}

// saidBy has one statement made by the signer of another role.
func saidBy(name string, role attest.Role) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := s.World(s.product, "one")
		s.publish(t, w, name)
		for _, said := range w.Said() {
			if said.Name == name {
				said.Role = role
				s.admit(t, s.Say(said), said.About)
			}
		}
		return s.facts(t, w, w)
	}
}

// changed changes a world before it is published.
func changed(change func(t *testing.T, w *verifytest.World)) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := s.World(s.product, "one")
		change(t, w)
		s.publish(t, w)
		return s.facts(t, w, w)
	}
}

// revoking revokes something of a world that fits.
func revoking(kind string, what func(w *verifytest.World, f *policy.Facts) attest.Digest) func(*testing.T, *scene) *policy.Facts {
	return func(t *testing.T, s *scene) *policy.Facts {
		w := s.World(s.product, "one")
		s.publish(t, w)
		s.revoke(t, kind, what(w, s.facts(t, w, w)))
		return s.facts(t, w, w)
	}
}
