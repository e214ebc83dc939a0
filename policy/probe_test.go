package policy

import (
	"strings"
	"testing"
	"time"
)

// The probe is what keeps a policy that admits anything from being loaded: it
// has to see a rule that is none and a decision that is no decision.
func TestProbeSeesVacuousRules(t *testing.T) {
	s := DefaultSite()
	if err := probe(s, Explain, Decide); err != nil {
		t.Fatal(err)
	}
	lax := func(f *Facts) []Check {
		checks := Explain(f)
		checks[3].Passed = true
		return checks
	}
	if err := probe(s, lax, Decide); err == nil || !strings.Contains(err.Error(), rules[3].id) {
		t.Errorf("a rule that always passes: %v", err)
	}
	yes := func(f *Facts) Decision { return Decision{Allow: f.Host != nil} }
	if err := probe(s, Explain, yes); err == nil {
		t.Error("a decision that allows nobody everything is loaded")
	}
}

// Every rule of the table is one that check knows, with a name of its own.
func TestRuleTable(t *testing.T) {
	var v view
	v.look(&Facts{Now: time.Now()})
	v.walk()
	seen := make(map[string]bool)
	for i, r := range rules {
		if seen[r.id] || r.criterion == "" || r.reason.Sentence() == "" {
			t.Errorf("rule %d is not whole: %+v", i, r)
		}
		seen[r.id] = true
		if v.passed&(1<<i) != 0 {
			t.Errorf("rule %s passes when nothing is known", r.id)
		}
	}
}
