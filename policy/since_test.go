package policy_test

import (
	"testing"
	"time"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/policy"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// stolen revokes the patch signer's key from a place in the log on.
func (s *scene) stolen(t *testing.T, since *attest.Since) {
	t.Helper()
	ev, err := s.verifier.Revocation(s.RevokeKey(s.product.ID, s.Signer("patch").Key.ID(), since))
	if err != nil {
		t.Fatal(err)
	}
	s.revoked = append(s.revoked, ev)
}

// What a key said before the place its revocation names stays good; at that
// place and later it is void. Off by one, on both sides.
func TestRevokedSinceAnIndex(t *testing.T) {
	s, w, f := good(t)
	first := min(f.Patch.Statement.LogIndex(), f.Patch.Provenance.LogIndex())
	last := max(f.Patch.Statement.LogIndex(), f.Patch.Provenance.LogIndex())
	for _, tt := range []struct {
		name  string
		index int64
		allow bool
	}{
		{"after the last", last + 1, true},
		{"at the last", last, false},
		{"between them", first + 1, false},
		{"at the first", first, false},
	} {
		s.revoked = nil
		s.stolen(t, s.Since(tt.index))
		d := policy.Decide(s.facts(t, w, w))
		if d.Allow != tt.allow || !tt.allow && d.Reasons[0].Reason != verify.Revoked {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
}

// Whoever stole the key, and a timestamp authority with it, can say when they
// like. The log's order says otherwise.
func TestTimestampsOfAStolenAuthorityDoNotHelp(t *testing.T) {
	s, w, f := good(t)
	until := max(f.Patch.Statement.LogIndex(), f.Patch.Provenance.LogIndex()) + 1
	since := s.Since(until)
	forged := s.World(s.product, "two")
	s.Now = verifytest.Epoch.Add(-12 * time.Hour) // long before the theft, says the stolen authority
	s.publish(t, forged)
	s.Now = verifytest.Epoch
	if d := policy.Decide(s.facts(t, forged, forged)); !d.Allow {
		t.Fatalf("before anybody knows, it is denied: %v", d.Reasons)
	}
	s.stolen(t, since)
	if d := policy.Decide(s.facts(t, forged, forged)); d.Allow || d.Reasons[0].Reason != verify.Revoked {
		t.Errorf("a timestamp from before the theft helps: %+v", d)
	}
	if d := policy.Decide(s.facts(t, w, w)); !d.Allow {
		t.Errorf("what was said before the theft is void: %v", d.Reasons)
	}
}

// A place that does not verify (another log's checkpoint, of a size it has not)
// is none: then all the key said is void.
func TestRevokedSinceAPlaceThatIsNone(t *testing.T) {
	s, w, f := good(t)
	after := f.Patch.Provenance.LogIndex() + f.Patch.Statement.LogIndex() + 1
	other := verifytest.New(t)
	for range after + 1 {
		other.Say(other.World(other.Product("x"), "one").Said()[0])
	}
	for name, since := range map[string]*attest.Since{
		"of another log": other.Since(after), "that the log does not reach": {LogIndex: 1 << 40, Checkpoint: s.Since(0).Checkpoint}, "none at all": nil,
	} {
		s.revoked = nil
		s.stolen(t, since)
		if d := policy.Decide(s.facts(t, w, w)); d.Allow || d.Reasons[0].Reason != verify.Revoked {
			t.Errorf("a place %s: %+v", name, d)
		}
	}
}

// However many revocations there are, and in whatever order, one more never
// allows what was denied.
func TestMoreRevocationsOfAKeyNeverHelp(t *testing.T) {
	s, w, f := good(t)
	first := min(f.Patch.Statement.LogIndex(), f.Patch.Provenance.LogIndex())
	last := max(f.Patch.Statement.LogIndex(), f.Patch.Provenance.LogIndex())
	for _, order := range [][]int64{{last + 1, last, first, 0}, {0, first, last, last + 1}, {last + 1, -1, last + 1}} {
		s.revoked = nil
		denied := false
		for _, index := range order {
			if index < 0 {
				s.stolen(t, nil)
			} else {
				s.stolen(t, s.Since(index))
			}
			allow := policy.Decide(s.facts(t, w, w)).Allow
			if allow && denied {
				t.Errorf("%v: revoking from %d on helped", order, index)
			}
			denied = denied || !allow
		}
		if !denied {
			t.Errorf("%v: allowed to the end", order)
		}
	}
}
