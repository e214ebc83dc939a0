package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

const allWarn = goodSite + "modes:\n  maxRecordAge: warn\n  minimumAssurance.host: warn\n  minimumAssurance.base: warn\n  lint: warn\n"

func TestSiteModes(t *testing.T) {
	s, err := policy.LoadSite([]byte(allWarn))
	if err != nil {
		t.Fatal(err)
	}
	if want := (policy.Modes{MaxRecordAge: policy.Warn, MinimumHost: policy.Warn, MinimumBase: policy.Warn, RequireChannel: policy.Enforce, Lint: policy.Warn}); s.Modes != want {
		t.Errorf("modes %+v", s.Modes)
	}
	for name, tt := range map[string]struct{ modes, says string }{
		"a core rule":        {"  base-match: warn\n", "/modes/base-match: a core rule has no mode"},
		"a core rule, meant": {"  not-revoked: enforce\n", "/modes/not-revoked: a core rule has no mode"},
		"the rule's name":    {"  record-fresh: warn\n", "/modes/record-fresh: a core rule has no mode"},
		"no rule":            {"  everything: warn\n", "everything"},
		"no mode":            {"  maxRecordAge: ignore\n", "ignore"},
		"an empty mode":      {"  maxRecordAge: \"\"\n", "/modes/maxRecordAge"},
		"null":               {"  maxRecordAge: null\n", "null"},
		"twice":              {"  maxRecordAge: warn\n  maxRecordAge: enforce\n", "maxRecordAge"},
		"another case":       {"  MaxRecordAge: warn\n", "MaxRecordAge"},
	} {
		if s, err := policy.LoadSite([]byte(goodSite + "modes:\n" + tt.modes)); err == nil || s != nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// What a site rule that warns finds rides on the allow; enforced, or without a
// mode, it denies.
func TestWarningsRideOnAnAllow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		site  func(*policy.Site) *policy.Mode
		age   time.Duration
		limit func(*policy.Site)
		rule  string
		want  verify.Reason
	}{
		{"record age", func(s *policy.Site) *policy.Mode { return &s.Modes.MaxRecordAge }, 25 * time.Hour, func(*policy.Site) {}, "record-fresh", verify.StaleHostRecord},
		{"host assurance", func(s *policy.Site) *policy.Mode { return &s.Modes.MinimumHost }, time.Hour, func(s *policy.Site) { s.MinimumAssurance.Host = "quoted" }, "assurance", verify.LowAssurance},
		{"base assurance", func(s *policy.Site) *policy.Mode { return &s.Modes.MinimumBase }, time.Hour, func(s *policy.Site) { s.MinimumAssurance.Base = "reproduced" }, "assurance", verify.LowAssurance},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, f := good(t)
			tt.limit(f.Site)
			f.Now = s.Now.Add(tt.age)
			for _, mode := range []policy.Mode{"", policy.Enforce, "Warn", "off"} {
				*tt.site(f.Site) = mode
				if d := policy.Decide(f); d.Allow || d.Reasons[0].Reason != tt.want || len(d.Warnings) != 0 {
					t.Errorf("mode %q: %+v", mode, d)
				}
			}
			*tt.site(f.Site) = policy.Warn
			d := policy.Decide(f)
			if !d.Allow || len(d.Reasons) != 0 || len(d.Warnings) != 1 {
				t.Fatalf("warn: %+v", d)
			}
			w := d.Warnings[0]
			if w.Reason != tt.want || w.Rule != tt.rule || w.Want == "" || w.Got == "" || w.Remedy == "" {
				t.Errorf("warning %+v", w)
			}
			warned := 0
			for _, c := range policy.Explain(f) {
				if !c.Passed || len(c.Warnings) > 0 && c.Rule != tt.rule {
					t.Errorf("check %+v", c)
				}
				warned += len(c.Warnings)
			}
			if warned != 1 {
				t.Errorf("%d warnings explained", warned)
			}
			f.Host.State = "suspended"
			if d := policy.Decide(f); d.Allow || len(d.Warnings) != 0 {
				t.Errorf("a warning on a denial: %+v", d)
			}
		})
	}
}

// A site whose rules all warn lets through nothing that a core rule denies, and
// no record older than any site may ask for.
func TestWarnIsNoSwitch(t *testing.T) {
	site, err := policy.LoadSite([]byte(allWarn))
	if err != nil {
		t.Fatal(err)
	}
	s, _, f := good(t)
	f.Site = site
	for name, spoil := range map[string]func(f *policy.Facts){
		"a record of two months":     func(f *policy.Facts) { f.Now = s.Now.Add(60 * 24 * time.Hour) },
		"a record from the future":   func(f *policy.Facts) { f.Now = s.Now.Add(-time.Hour) },
		"a record with a wrong time": func(f *policy.Facts) { r := *f.Host.Record; r.Time = r.Time.Add(-6 * time.Hour); f.Host.Record = &r },
		"an old record with a wrong time": func(f *policy.Facts) {
			r := *f.Host.Record
			r.Time, f.Host.Record, f.Now = r.Time.Add(-6*time.Hour), &r, s.Now.Add(20*time.Hour)
		},
		"no record":               func(f *policy.Facts) { f.Host.Record = nil },
		"a host of no state":      func(f *policy.Facts) { f.Host.State = "" },
		"unknown revocations":     func(f *policy.Facts) { f.Revoked = nil },
		"no provenance":           func(f *policy.Facts) { p := *f.Patch; p.Provenance = nil; f.Patch = &p },
		"no site policy":          func(f *policy.Facts) { f.Site = nil },
		"a site of zero":          func(f *policy.Facts) { f.Site = &policy.Site{Modes: site.Modes} },
		"a patch for no base":     func(f *policy.Facts) { p := *f.Patch; p.Base = nil; f.Patch = &p },
		"an expired trust policy": func(f *policy.Facts) { f.Now = s.Now.Add(2 * 365 * 24 * time.Hour) },
	} {
		spoiled, host := *f, *f.Host
		spoiled.Host = &host
		spoil(&spoiled)
		if d := policy.Decide(&spoiled); d.Allow {
			t.Errorf("%s is allowed: %+v", name, d)
		}
	}
	if d := policy.Decide(f); !d.Allow {
		t.Errorf("unspoiled: %v", d.Reasons)
	}
}
