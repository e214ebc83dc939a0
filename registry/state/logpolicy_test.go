package state_test

import (
	"crypto/rand"
	"slices"
	"testing"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/verify"
)

// TestAttackLogPolicyDowngrade: once a trust policy asks for witnesses, none that
// is older brings back what no witness saw: not the first envelope again, not after
// a restart, and not one of that version that somebody else signed.
func TestAttackLogPolicyDowngrade(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	if d := decide(t, h, host, w); !d.Allow {
		t.Fatalf("before witnesses are asked for: %v", d.Reasons)
	}
	first := h.Put(h.Policy(1, h.Product))
	unwitnessed := h.Put(h.Policy(2, h.Product))
	_, vkey, err := note.GenerateKey(rand.Reader, "w.example")
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = cosignature.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	h.LogPolicy = "witness w " + vkey + "\nquorum w\n"
	h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.Put(h.Policy(2, h.Product)), By: h.Admin})
	denied := func(when string) {
		t.Helper()
		if d := decide(t, h, host, w); d.Allow || !slices.Contains(reasons(d), verify.NoAttestation) {
			t.Errorf("%s: %+v, want NO_ATTESTATION", when, d)
		}
	}
	denied("witnesses are asked for")
	for name, b := range map[string]ledger.TrustPolicyAccepted{
		"the first again":           {Version: 1, Envelope: first, By: h.Admin},
		"the first, called a third": {Version: 3, Envelope: first, By: h.Admin},
		"another of this version":   {Version: 2, Envelope: unwitnessed, By: h.Admin},
	} {
		if r, err := h.Journal.Append(t.Context(), ledger.KindTrustPolicy, b); err == nil {
			t.Errorf("%s was taken: %+v", name, r)
		}
		denied(name)
	}
	again, err := h.Rebuild()
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := again.TrustPolicy(); p.LogPolicy != h.LogPolicy {
		t.Errorf("after a restart the log policy is %q", p.LogPolicy)
	}
	for _, e := range again.Evidence(repo, w.PatchManifest) {
		if e.Evidence != nil {
			t.Errorf("after a restart %s, which no witness saw, is evidence", e.Type)
		}
	}
}
