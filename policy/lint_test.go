package policy_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/build/lint"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

const denyLint = goodSite + "lint:\n  deny: [symbol.ambiguous, module.salt]\n"

// TestLintIsAsked: a finding that the site policy denies denies, and so does
// what nobody looked for.
func TestLintIsAsked(t *testing.T) {
	_, _, f := good(t)
	site, err := policy.LoadSite([]byte(denyLint))
	if err != nil {
		t.Fatal(err)
	}
	f.Site = site
	found := func(id lint.ID) *policy.Lint {
		return policy.NewLint(&lint.Report{Findings: []lint.Finding{{ID: id, Fact: "a fact of " + string(id)}}}, attest.DigestOf(nil))
	}
	unchecked := policy.NewLint(&lint.Report{NotChecked: []lint.Unchecked{{ID: string(lint.ModuleSalt), Why: "no base is given"}}}, "")
	for name, c := range map[string]struct {
		lint *policy.Lint
		got  string // "": allowed
	}{
		"denied":      {found(lint.SymbolAmbiguous), "a fact of symbol.ambiguous"},
		"another":     {found(lint.KLPReplace), ""},
		"nothing":     {policy.NewLint(&lint.Report{}, ""), ""},
		"no report":   {nil, "none"},
		"not checked": {unchecked, "no base is given"},
	} {
		f.Patch.Lint = c.lint
		d := policy.Decide(f)
		if d.Allow != (c.got == "") {
			t.Errorf("%s: %+v", name, d)
			continue
		}
		if !d.Allow && (len(d.Reasons) != 1 || d.Reasons[0].Reason != verify.LowAssurance || !strings.Contains(d.Reasons[0].Want+d.Reasons[0].Got, "lint") || !strings.Contains(d.Reasons[0].Got, c.got)) {
			t.Errorf("%s: %+v", name, d.Reasons)
		}
		f.Site.Modes.Lint = policy.Warn
		if d := policy.Decide(f); !d.Allow || len(d.Warnings) != map[bool]int{true: 0, false: 1}[c.got == ""] {
			t.Errorf("%s, which warns: %+v", name, d)
		}
		f.Site.Modes.Lint = policy.Enforce
	}
}

func TestSiteLintRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ doc, says string }{
		"no such finding": {"lint: {deny: [symbol.ambigous]}\n", "symbol.ambigous"},
		"nothing":         {"lint: {deny: []}\n", "/lint/deny"},
		"twice":           {"lint: {deny: [klp.replace, klp.replace]}\n", "twice"},
		"no list":         {"lint: {}\n", "/lint/deny"},
		"null":            {"lint: null\n", "lint"},
		"something else":  {"lint: {allow: [klp.replace]}\n", "allow"},
	} {
		if s, err := policy.LoadSite([]byte(goodSite + tt.doc)); err == nil || s != nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if n := len(lint.IDs()); n > 64 {
		t.Errorf("%d ids, and a site policy has room for 64", n)
	}
}
