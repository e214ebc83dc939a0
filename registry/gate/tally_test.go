package gate_test

import (
	"errors"
	"testing"

	"github.com/patchfit/patchfit/verify"
)

// TestTally: each answer is counted once, as what it came to.
func TestTally(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		for range 3 {
			s.decide(s.fits)
		}
		lead := s.decide(s.other).Reasons[0].Reason
		s.report(2)
		s.journal.fail(errors.New("down"))
		if _, err := s.gate.Decide(t.Context(), s.host, repo, s.fits.PatchManifest); err == nil {
			t.Error("an allow while the journal is down")
		}
		s.journal.fail(nil)
		s.gate.Evaluate(s.host, repo, s.fits.PatchManifest) // for a list: no answer
		got := s.gate.Tally()
		if got.Allowed != 3 || got.Unrecorded != 1 || got.Denied[lead] != 1 || len(got.Denied) != len(verify.Reasons()) {
			t.Errorf("counted %+v, the reason was %s", got, lead)
		}
	})
}
