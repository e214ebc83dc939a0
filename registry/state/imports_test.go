package state_test

import (
	"slices"
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify"
)

// TestImportedBaseIsRecognised: a host that measured an imported base runs it,
// after a restart too; what is left to say is how well that is known.
func TestImportedBaseIsRecognised(t *testing.T) {
	h := statetest.New(t)
	h.Product.FitBases = []string{attest.FitEnvironment, attest.FitVendor}
	h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.Put(h.Policy(2, h.Product)), By: h.Admin})
	w := h.World("one")
	base, _ := w.ImportedBase()
	patch, _ := w.ImportedPatch()
	h.SayIt(base)
	h.SayIt(patch)
	id, key := h.Enrol("web-1")
	h.Record(id, key, 1, w)
	again, err := h.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]interface {
		Facts(host, repository string, d attest.Digest, now time.Time) (*policy.Facts, bool)
	}{"at once": h.State, "made again": again} {
		facts, ok := s.Facts(id, statetest.Repository, w.PatchManifest, time.Now())
		if !ok {
			t.Fatalf("%s: no facts", name)
		}
		d := policy.Decide(facts)
		low := slices.IndexFunc(d.Reasons, func(r policy.Finding) bool { return r.Reason == verify.LowAssurance })
		stale := func(r policy.Finding) bool { return r.Reason == verify.StaleHostRecord } // the journal's clock is another
		if d.Allow || low < 0 || d.Reasons[low].Got != policy.BaseImported || len(slices.DeleteFunc(slices.Clone(d.Reasons), stale)) != 1 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
