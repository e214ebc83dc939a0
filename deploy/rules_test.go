package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/patchfit/patchfit/internal/meter"
)

type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("prometheus", "patchfitd.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f ruleFile
	if err := yaml.UnmarshalStrict(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Groups) != 1 || len(f.Groups[0].Rules) == 0 {
		t.Fatalf("got %+v", f)
	}
	return f.Groups[0].Rules
}

var (
	named    = regexp.MustCompile(`\b(?:patchfitd|process|go)_[a-z0-9_]+`)
	selected = regexp.MustCompile(`(patchfitd_[a-z_]+)\{([^}]*)\}`)
	labelled = regexp.MustCompile(`\$labels\.(\w+)`)
)

// unknown returns what an expression names that no server of ours says.
func unknown(expr string) []string {
	var bad []string
	labels := make(map[string][]string)
	for _, m := range meter.Metrics() {
		labels[m.Name] = m.Labels
	}
	for _, name := range named.FindAllString(expr, -1) {
		if _, ok := labels[name]; !ok {
			bad = append(bad, name)
		}
	}
	for _, s := range selected.FindAllStringSubmatch(expr, -1) {
		for matcher := range strings.SplitSeq(s[2], ",") {
			if label := regexp.MustCompile(`^\w+`).FindString(strings.TrimSpace(matcher)); !slices.Contains(labels[s[1]], label) {
				bad = append(bad, s[1]+"{"+label+"}")
			}
		}
	}
	return bad
}

// TestRulesNameMetricsThatAre: an alert on a number nobody says never rings.
func TestRulesNameMetricsThatAre(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range rules(t) {
		if bad := unknown(r.Expr); len(bad) > 0 {
			t.Errorf("%s: no server says %v", r.Alert, bad)
		}
		if r.Alert == "" || names[r.Alert] || r.Expr == "" || r.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
			t.Errorf("%q is twice there, or lacks something: %+v", r.Alert, r)
		}
		names[r.Alert] = true
		for _, l := range labelled.FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
			if !says(r.Expr, l[1]) {
				t.Errorf("%s tells label %s, which no metric of its expression has", r.Alert, l[1])
			}
		}
		if strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
			t.Errorf("%s: its parentheses do not match", r.Alert)
		}
	}
	for _, name := range []string{"PatchfitdDamage", "PatchfitdJournalDown", "PatchfitdDiskLow", "PatchfitdScrubOverdue",
		"PatchfitdCheckpointWaits", "PatchfitdWitnessAway", "PatchfitdTrustExpires", "PatchfitdTrustExpired", "PatchfitdTrustNotRenewed"} {
		if !names[name] {
			t.Errorf("no alert %s", name)
		}
	}
}

// says reports whether a metric of the expression has a label.
func says(expr, label string) bool {
	return slices.ContainsFunc(meter.Metrics(), func(m meter.Metric) bool {
		return strings.Contains(expr, m.Name) && slices.Contains(m.Labels, label)
	})
}

// TestUnknownSees: the test above looks.
func TestUnknownSees(t *testing.T) {
	for expr, want := range map[string]int{
		"patchfitd_ready == 0": 0, `patchfitd_decisions_total{outcome="deny", reason=~".+"}`: 0,
		"patchfitd_readiness == 0": 1, `patchfitd_ready{kind="blob"}`: 1, "patchfitd_ready + patchfitd_red": 1, "go_nothing > 0": 1,
	} {
		if bad := unknown(expr); len(bad) != want {
			t.Errorf("%s: %v", expr, bad)
		}
	}
}
