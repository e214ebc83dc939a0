package policy_test

import (
	"testing"
	"time"

	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// An embargo holds for whom it does not name, until the moment it ends.
func TestEmbargoHolds(t *testing.T) {
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		embargo *policy.Embargo
		host    string
		now     time.Time
		want    bool
	}{
		"none":              {nil, "a", end, false},
		"before the end":    {&policy.Embargo{Until: end}, "a", end.Add(-1), true},
		"at the end":        {&policy.Embargo{Until: end}, "a", end, false},
		"without an end":    {&policy.Embargo{}, "a", end.AddDate(100, 0, 0), true},
		"named":             {&policy.Embargo{Until: end, Hosts: []string{"b", "a"}}, "a", end.Add(-1), false},
		"another is named":  {&policy.Embargo{Until: end, Hosts: []string{"b", "ab"}}, "a", end.Add(-1), true},
		"no time is known":  {&policy.Embargo{Until: end}, "a", time.Time{}, true},
		"no host is known":  {&policy.Embargo{Hosts: []string{"b"}}, "", end, true},
		"long after it all": {&policy.Embargo{Until: end}, "", end.AddDate(1, 0, 0), false},
	} {
		if got := c.embargo.Holds(c.host, c.now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What is withheld is not described: under an embargo no other rule tells
// anything of the patch, however little it fits. Rules about the host itself do.
func TestEmbargoTellsNothingElse(t *testing.T) {
	_, _, f := good(t)
	f.Patch.Statement, f.Patch.Provenance, f.Host.Record = nil, nil, nil
	f.Host.Cloned = true
	f.Embargoes = policy.NewEmbargoes(nil, &policy.Embargo{})
	d := policy.Decide(f)
	if d.Allow || len(d.Reasons) != 2 || d.Reasons[0].Reason != verify.ClonedKey || d.Reasons[1].Reason != verify.Embargoed {
		t.Errorf("%+v", d)
	}
	after := false
	for _, c := range policy.Explain(f) {
		if after && (c.Passed || len(c.Findings) > 0) {
			t.Errorf("%+v", c)
		}
		after = after || c.Rule == "not-embargoed"
	}
	if f.Host.Cloned = false; !after {
		t.Error("no rule is about embargoes")
	}
	f.Embargoes = policy.NewEmbargoes(&policy.Embargo{Hosts: []string{f.Host.ID}}, &policy.Embargo{Until: f.Now})
	if d := policy.Decide(f); d.Reasons[0].Reason == verify.Embargoed {
		t.Errorf("to a host that is named, and after the end: %+v", d.Reasons)
	}
}
