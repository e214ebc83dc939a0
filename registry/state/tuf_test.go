package state_test

import (
	"context"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/ledger/tuf"
	"github.com/patchfit/patchfit/ledger/tuf/tuftest"
	"github.com/patchfit/patchfit/registry/state/statetest"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// tufRecord stores a repository and returns the record of it.
func tufRecord(h *statetest.House, o tuf.Offer) ledger.TUFAccepted {
	b := ledger.TUFAccepted{Version: 1, Roots: []attest.Digest{}, Targets: h.Put(o.Targets), Snapshot: h.Put(o.Snapshot), Files: map[string]attest.Digest{}, By: h.Admin}
	for _, root := range o.Roots {
		b.Roots = append(b.Roots, h.Put(root))
	}
	for name, file := range o.Files {
		b.Files[name] = h.Put(file)
	}
	return b
}

// A record says nothing that its bytes do not prove.
func TestTUFRecordsAreVerified(t *testing.T) {
	for name, test := range map[string]struct {
		why   string
		spoil func(h *statetest.House, r *tuftest.Repository, b *ledger.TUFAccepted)
	}{
		"a policy that is not in effect": {"not the one in effect", func(h *statetest.House, r *tuftest.Repository, b *ledger.TUFAccepted) {
			r.ReleaseAs(1, r.Files(h.Policy(2, h.Product)), r.Now.AddDate(0, 1, 0))
			*b = tufRecord(h, r.Offer())
		}},
		"another version": {"the record says 2", func(_ *statetest.House, _ *tuftest.Repository, b *ledger.TUFAccepted) { b.Version = 2 }},
		"bytes that are not there": {"targets", func(_ *statetest.House, _ *tuftest.Repository, b *ledger.TUFAccepted) {
			b.Targets = attest.DigestOf([]byte("elsewhere"))
		}},
		"no roots": {"no root", func(_ *statetest.House, _ *tuftest.Repository, b *ledger.TUFAccepted) { b.Roots = []attest.Digest{} }},
	} {
		t.Run(name, func(t *testing.T) {
			h := statetest.New(t)
			r := tuftest.New(t, verifytest.Epoch)
			_, envelope := h.State.TrustPolicy()
			r.Release(envelope)
			b := tufRecord(h, r.Offer())
			test.spoil(h, r, &b)
			if _, err := h.Journal.Append(context.Background(), ledger.KindTUF, b); err == nil || !strings.Contains(err.Error(), test.why) {
				t.Errorf("%v, want %q", err, test.why)
			}
			if got, _ := h.State.TUF(); got != nil {
				t.Error("there is a repository")
			}
			h.Must(ledger.KindTUF, tufRecord(h, func() tuf.Offer { r.ReleaseAs(1, r.Files(envelope), r.Now.AddDate(0, 1, 0)); return r.Offer() }()))
		})
	}
}
