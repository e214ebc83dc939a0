package state_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/ledger"
	"github.com/patchfit/patchfit/registry/state"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// TestEnded: who was revoked has no role from that record on; what they had is
// still on the list.
func TestEnded(t *testing.T) {
	h := house(t)
	end := verifytest.Epoch.Add(time.Hour)
	h.Must(ledger.KindPrincipal, ledger.PrincipalAdded{Principal: "r", Name: "ci", TokenMAC: "ab", By: h.Admin, Expires: end, ReadOnly: true})
	for _, role := range []string{state.RoleRebuilder, state.RolePublisher} {
		h.Must(ledger.KindGrant, ledger.Granted{Principal: "r", Product: h.Product.ID, Role: role, By: h.Admin})
	}
	p, ok := h.State.TokenPrincipal("ab")
	if !ok || p.ID != "r" || !p.ReadOnly || !p.Expires.Equal(end) || p.By != h.Admin || p.Added.IsZero() {
		t.Errorf("the robot reads as %+v", p)
	}
	if p.Expired(end.Add(-time.Second)) || !p.Expired(end) || (state.Principal{}).Expired(end) {
		t.Error("expired before its end, or not at it")
	}
	if diff := cmp.Diff([]string{"publisher", "rebuilder"}, h.State.Roles("r", h.Product.ID)); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	ended := h.Must(ledger.KindEnded, ledger.PrincipalEnded{Principal: "r", By: h.Admin})
	if roles := h.State.Roles("r", h.Product.ID); len(roles) != 0 {
		t.Errorf("roles of the revoked: %v", roles)
	}
	if p, ok := h.State.TokenPrincipal("ab"); !ok || p.State != state.Revoked || p.Ended != ended.Sequence {
		t.Errorf("the revoked reads as %+v", p)
	}
	want := []state.Role{{Product: h.Product.ID, Role: "publisher"}, {Product: h.Product.ID, Role: "rebuilder"}}
	if diff := cmp.Diff(want, h.State.Granted("r")); diff != "" {
		t.Errorf("granted (-want +got):\n%s", diff)
	}
	var names []string
	for _, p := range h.State.Principals() {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"admin", "ci"}) {
		t.Errorf("principals %v", names)
	}
}
