package verify_test

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// revocationSince is a revocation of the patch signer's key, verified.
func (l *lab) revocationSince(t *testing.T, s *attest.Since) (*verify.Evidence, error) {
	t.Helper()
	ev, err := l.verifier.Revocation(l.RevokeKey(l.product.ID, l.Signer("patch").Key.ID(), s))
	if err != nil {
		t.Fatal(err)
	}
	return ev, l.verifier.Since(verify.As[attest.Revocation](ev))
}

// resized is a checkpoint with another size than was signed.
func resized(checkpoint string) string {
	lines := strings.SplitN(checkpoint, "\n", 3)
	return lines[0] + "\n999\n" + lines[2]
}

// A place in a log is one only under a checkpoint of a trusted log that had come
// as far. A revocation with another is one of everything: it never says less.
func TestRevocationSince(t *testing.T) {
	l := newLab(t)
	l.Say(l.said)
	l.Say(l.said) // the log has two entries, or more
	size := int64(0)
	if ev, err := l.verifier.Bundle(l.Say(l.said), l.said.About); err != nil {
		t.Fatal(err)
	} else {
		size = ev.LogIndex() + 1
		if ev.Log() != verifytest.Origin {
			t.Errorf("log %q", ev.Log())
		}
	}
	other := verifytest.New(t).Since(0) // of the same name, by another key
	for _, tt := range []struct {
		name    string
		since   *attest.Since
		refused string
	}{
		{"the last entry", l.Since(size - 1), ""},
		{"the first", l.Since(0), ""},
		{"what comes next", l.Since(size), ""},
		{"beyond the checkpoint", l.Since(size + 1), "/predicate/since/logIndex"},
		{"a log of the same name", other, "no valid signature by the key of " + verifytest.Origin},
		{"a log nobody knows", &attest.Since{Checkpoint: strings.Replace(l.Since(0).Checkpoint, verifytest.Origin, "other.example", 1)}, "none is called"},
		{"a text", &attest.Since{Checkpoint: "hello\n"}, "/predicate/since/checkpoint"},
		{"a size that was changed", &attest.Since{Checkpoint: resized(l.Since(0).Checkpoint), LogIndex: 900}, "/predicate/since/checkpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := l.revocationSince(t, tt.since)
			log, index, ok := ev.Since()
			if tt.refused == "" {
				if err != nil || !ok || log != verifytest.Origin || index != tt.since.LogIndex {
					t.Errorf("got %q %d %v, %v", log, index, ok, err)
				}
				return
			}
			wantRefusal(t, err, verify.NotLogged, tt.refused)
			if ok || !ev.Proven() {
				t.Errorf("a place that does not verify is one: %q %d", log, index)
			}
		})
	}
	if ev, err := l.revocationSince(t, nil); err != nil {
		t.Error(err)
	} else if _, _, ok := ev.Since(); ok {
		t.Error("a revocation of everything has a place")
	}
}

// Where the trust policy pins witnesses, they have to have cosigned the
// checkpoint that a place is in.
func TestRevocationSinceIsWitnessed(t *testing.T) {
	l := newLab(t)
	a, aKey := witness(t, "a.example")
	b, bKey := witness(t, "b.example")
	l.LogPolicy = "witness a " + aKey + "\nwitness b " + bKey + "\ngroup both all a b\nquorum both\n"
	l.verifier = l.newVerifier(t)
	l.Witnesses = []note.Signer{a}
	half := l.Since(0)
	l.Witnesses = []note.Signer{a, b}
	whole := l.Since(0)
	if _, err := l.revocationSince(t, whole); err != nil {
		t.Error(err)
	}
	ev, err := l.revocationSince(t, half)
	wantRefusal(t, err, verify.NotLogged, "/predicate/since/checkpoint", "cosigned by a")
	if _, _, ok := ev.Since(); ok {
		t.Error("a place without its quorum is one")
	}
}
