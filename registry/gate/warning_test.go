package gate_test

import (
	"testing"

	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
)

// A warning is journaled with the decision it rides on, and where it comes or
// goes it is another decision.
func TestWarningsAreJournaled(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		first := s.decide(s.fits)
		s.Site().MinimumAssurance.Host, s.Site().Modes.MinimumHost = "quoted", policy.Warn
		s.report(2) // a server reads its site policy at the start: what was decided before is asked anew
		warned := s.decide(s.fits)
		if !warned.Allow || len(warned.Warnings) != 1 || warned.ID == first.ID {
			t.Fatalf("verdict %+v after %s", warned, first.ID)
		}
		if again := s.decide(s.fits); again.ID != warned.ID || len(again.Warnings) != 1 {
			t.Errorf("used again: %+v", again)
		}
		all := s.decided()
		if len(all) != 2 || len(all[0].Warnings) != 0 || len(all[1].Warnings) != 1 {
			t.Fatalf("journal: %+v", all)
		}
		if w := all[1].Warnings[0]; w.Reason != string(verify.LowAssurance) || w.Rule != "assurance" || w.Want == "" || w.Got == "" || w.Remedy == "" {
			t.Errorf("journaled warning %+v", w)
		}
	})
}
