package state_test

import (
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
)

// TestDamage: what cannot be read or verified at start is an error that names
// its record.
func TestDamage(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	h.RevokeIt(attest.RevokeSubject, attest.DigestOf([]byte("x")))
	p, _ := h.State.Host(host)
	trust := h.State.Trust().Envelope()
	named := map[string]attest.Digest{
		"trust policy": trust, "host record": p.Envelope, "manifest": w.BaseManifest,
		"bundle": h.State.Evidence(repo, w.BaseManifest)[0].Bundle, "revocation": h.State.Revocations(repo)[0].Bundle,
	}
	for what, d := range named {
		good, err := h.Blobs.Get(d)
		if err != nil {
			t.Fatal(err)
		}
		changed := append([]byte(nil), good...)
		changed[len(changed)/2] ^= 1
		for how, data := range map[string][]byte{"gone": nil, "changed": changed} {
			h.Blobs.Damage(d, data)
			if _, err := h.Rebuild(); err == nil || !strings.Contains(err.Error(), "record ") {
				t.Errorf("%s %s: error %v, want one that names the record", what, how, err)
			}
		}
		h.Blobs.Damage(d, good)
	}
	if _, err := h.Rebuild(); err != nil {
		t.Errorf("whole again: %v", err)
	}
}

// TestDamageLive: a bundle that cannot be read when trust changes counts for
// nothing from then on; the server goes on, and denies.
func TestDamageLive(t *testing.T) {
	h := house(t)
	w := h.Publish("one")
	host, key := h.Enrol("a")
	h.Record(host, key, 1, w)
	h.Blobs.Damage(h.State.Evidence(repo, w.BaseManifest)[0].Bundle, nil)
	h.Must(ledger.KindTrustPolicy, ledger.TrustPolicyAccepted{Version: 2, Envelope: h.Put(h.Policy(2, h.Product)), By: h.Admin})
	if d := decide(t, h, host, w); d.Allow {
		t.Error("allowed on a bundle that is not there")
	}
}
