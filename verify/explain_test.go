package verify_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// failures returns the checks that failed, with their reasons.
func failures(checks []verify.Check) map[string]verify.Reason {
	all := map[string]verify.Reason{}
	for _, c := range checks {
		if c.Outcome == verify.Failed {
			all[c.Name] = c.Refusal.Reason
		}
	}
	return all
}

// Explaining a bundle says no wherever verifying it does, and by which check.
func TestExplainNamesTheCheck(t *testing.T) {
	l := newLab(t)
	about := l.said.About
	other := l.World(l.product, "two")
	hinted := func() []byte {
		b := l.Bundle(l.Statement(l.said.Type, about.Manifest, about.File, l.said.Predicate), l.Stranger())
		return edit(t, b, "verificationMaterial/publicKey/hint", l.Signer("base").Key.Hint())
	}
	late := func() []byte {
		now := l.Now
		defer func() { l.Now = now }()
		l.Now = now.Add(-48 * time.Hour)
		return l.Say(l.said)
	}
	for _, tt := range []struct {
		name   string
		bundle []byte
		about  verify.Artifact
		want   map[string]verify.Reason
	}{
		{"good", l.good, about, map[string]verify.Reason{}},
		{"not JSON", []byte("{"), about, map[string]verify.Reason{"form": verify.Corrupt}},
		{"no log entry", edit(t, l.good, "verificationMaterial/tlogEntries", []any{}), about, map[string]verify.Reason{"form": verify.NotLogged}},
		{"another artifact", l.good, verify.Artifact{Manifest: other.BaseManifest, File: about.File}, map[string]verify.Reason{"subject": verify.SubjectMismatch}},
		{"a stranger, hinted as a known key", hinted(), about, map[string]verify.Reason{"signature": verify.BadSignature}},
		{"another log, and another artifact", relogged(l, verifytest.New(t)), verify.Artifact{Manifest: other.BaseManifest}, map[string]verify.Reason{
			"log": verify.NotLogged, "timestamp": verify.NotLogged, "subject": verify.SubjectMismatch,
		}},
		{"before the key counted", late(), about, map[string]verify.Reason{"window": verify.Expired}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev, checks := l.verifier.Explain(tt.bundle, tt.about)
			if diff := cmp.Diff(tt.want, failures(checks)); diff != "" {
				t.Errorf("checks that failed (-want +got):\n%s\n%+v", diff, checks)
			}
			if ev.Proven() != (len(tt.want) == 0) {
				t.Errorf("proven %v with failures %v", ev.Proven(), tt.want)
			}
			for i, c := range checks {
				if c.Name != verify.Criteria()[i].Name || c.Outcome == "" || (c.Outcome == verify.Passed) != (c.Found != "" && c.Refusal == nil) {
					t.Errorf("check %+v", c)
				}
			}
		})
	}
}

// Whatever byte of a bundle is changed: where verifying it says no, explaining
// it gives no evidence and names a check.
func TestExplainNeverSaysMore(t *testing.T) {
	l := newLab(t)
	for i := 0; i < len(l.good); i += 37 {
		b := append([]byte(nil), l.good...)
		b[i] ^= 1
		want, err := l.verifier.Bundle(b, l.said.About)
		ev, checks := l.verifier.Explain(b, l.said.About)
		if ev.Proven() != want.Proven() || (err != nil) != (len(failures(checks)) > 0) {
			t.Fatalf("byte %d: verified %v (%v), explained %v: %+v", i, want.Proven(), err, ev.Proven(), checks)
		}
	}
}

func TestExplainTellsWitnesses(t *testing.T) {
	l := newLab(t)
	a, aKey := witness(t, "a.example")
	l.LogPolicy = "witness a " + aKey + "\nquorum a\n"
	l.verifier = l.newVerifier(t)
	_, checks := l.verifier.Explain(l.good, l.said.About)
	if diff := cmp.Diff(map[string]verify.Reason{"witnesses": verify.NotLogged}, failures(checks)); diff != "" {
		t.Error(diff)
	}
	l.Witnesses = append(l.Witnesses, a)
	_, checks = l.verifier.Explain(l.Say(l.said), l.said.About)
	for _, c := range checks {
		if c.Name == verify.CheckWitnesses && (c.Outcome != verify.Passed || c.Found != "cosigned by a") {
			t.Errorf("%+v", c)
		}
	}
}
