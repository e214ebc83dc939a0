package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

const withChannel = goodSite + "requireChannel: true\n"

func sited(t *testing.T, doc string) *policy.Site {
	t.Helper()
	s, err := policy.LoadSite([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A site policy asks for a live channel where the trust policy does not: it
// denies without one, or warns, and asks nothing of a patch that one offers.
func TestSiteRequiresAChannel(t *testing.T) {
	past := verifytest.Epoch.Add(-time.Second)
	for name, tt := range map[string]struct {
		say  func(t *testing.T, s *scene, w *verifytest.World)
		want verify.Reason // "": it is allowed
		rule string
	}{
		"offered": {func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
		}, "", ""},
		"no channel": {func(*testing.T, *scene, *verifytest.World) {}, verify.NoAttestation, "channel-listed"},
		"superseded": {func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, soon, dropped(w.BaseManifest, w.PatchManifest))
		}, verify.Superseded, "not-superseded"},
		"expired": {func(t *testing.T, s *scene, w *verifytest.World) {
			s.channel(t, "stable", 1, past, offered(w.BaseManifest, w.PatchManifest))
		}, verify.Expired, "channel-current"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			w := s.World(s.product, "one")
			s.publish(t, w)
			tt.say(t, s, w)
			f := s.facts(t, w, w)
			if d := policy.Decide(f); !d.Allow || len(d.Warnings) > 0 {
				t.Fatalf("nobody asks for a channel: %+v", d)
			}
			f.Site = sited(t, withChannel)
			d := policy.Decide(f)
			if d.Allow != (tt.want == "") || !d.Allow && (len(d.Reasons) != 1 || d.Reasons[0].Reason != tt.want || d.Reasons[0].Rule != tt.rule) {
				t.Errorf("enforced: %+v, want %q", d, tt.want)
			}
			f.Site = sited(t, withChannel+"modes:\n  requireChannel: warn\n")
			d = policy.Decide(f)
			if !d.Allow || len(d.Warnings) > 1 || (len(d.Warnings) == 1) != (tt.want != "") {
				t.Fatalf("with warn: %+v, want %q", d, tt.want)
			}
			if len(d.Warnings) == 1 && (d.Warnings[0].Reason != tt.want || d.Warnings[0].Rule != tt.rule) {
				t.Errorf("with warn: %+v, want %q of %s", d.Warnings, tt.want, tt.rule)
			}
			if i := slices.IndexFunc(policy.Explain(f), func(c policy.Check) bool { return !c.Passed }); i >= 0 {
				t.Errorf("explained with warn: %+v", policy.Explain(f)[i])
			}
			if f.Channels = nil; policy.Decide(f).Allow != true || len(policy.Decide(f).Warnings) != 1 {
				t.Errorf("channels not known, with warn: %+v", policy.Decide(f))
			}
		})
	}
}

// What the trust policy requires no site policy softens.
func TestSiteCannotSoftenChannels(t *testing.T) {
	s := newScene(t)
	w := required(t, s)
	f := s.facts(t, w, w)
	for _, doc := range []string{goodSite, goodSite + "requireChannel: false\n", withChannel + "modes:\n  requireChannel: warn\n", goodSite + "modes:\n  requireChannel: warn\n"} {
		f.Site = sited(t, doc)
		if d := policy.Decide(f); d.Allow || len(d.Warnings) > 0 || d.Reasons[0].Rule != "channel-listed" {
			t.Errorf("%s: %+v", doc, d)
		}
	}
}

// The channel is evidence of a decision that a site policy asked it for.
func TestSiteChannelIsEvidence(t *testing.T) {
	s := newScene(t)
	w := s.World(s.product, "one")
	s.publish(t, w)
	s.channel(t, "stable", 1, soon, offered(w.BaseManifest, w.PatchManifest))
	f := s.facts(t, w, w)
	before := f.Evidence()
	f.Site = sited(t, withChannel)
	if after := f.Evidence(); len(after) != len(before)+1 || after[len(before)] != s.channels[0].Payload() {
		t.Errorf("evidence %v, without the site policy %v", after, before)
	}
}
