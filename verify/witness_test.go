package verify_test

import (
	"crypto/rand"
	"strings"
	"testing"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/verify"
	"github.com/patchfit/patchfit/verify/verifytest"
)

// witness makes a witness's key.
func witness(t *testing.T, name string) (s note.Signer, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = cosignature.NewSignerForCosignatureV1(skey); err != nil {
		t.Fatal(err)
	}
	if vkey, err = cosignature.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	return s, vkey
}

// The trust policy asks for two of three witnesses, and it is asked of the
// checkpoint inside the bundle, with no network.
func TestWitnesses(t *testing.T) {
	l := newLab(t)
	a, aKey := witness(t, "a.example")
	b, bKey := witness(t, "b.example")
	stranger, _ := witness(t, "stranger.example")
	_, cKey := witness(t, "c.example")
	l.LogPolicy = "witness a " + aKey + "\nwitness b " + bKey + "\nwitness c " + cKey + "\ngroup two 2 a b c\nquorum two\n"
	l.verifier = l.newVerifier(t)

	for _, tt := range []struct {
		name      string
		witnesses []note.Signer
		refused   string
	}{
		{"nobody", nil, "two asks for 2 of a, b, c; cosigned by none"},
		{"one of them", []note.Signer{a}, "cosigned by a"},
		{"one of them twice", []note.Signer{a, a}, "cosigned by a"},
		{"one, and one nobody knows", []note.Signer{a, stranger}, "cosigned by a"},
		{"two", []note.Signer{b, a}, ""},
		{"two and a stranger", []note.Signer{stranger, a, b}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.Witnesses = tt.witnesses
			ev, err := l.verifier.Bundle(l.Say(l.said), l.said.About)
			if tt.refused == "" {
				if err != nil || !ev.Proven() {
					t.Errorf("got %v, %v", ev, err)
				}
				return
			}
			wantRefusal(t, err, verify.NotLogged, "inclusionProof/checkpoint", tt.refused)
		})
	}
}

// A cosigned checkpoint of another tree of the same log, signed with the same
// key, does not help: the leaf has to be in the tree that was cosigned.
func TestWitnessesOfAnotherTree(t *testing.T) {
	l := newLab(t)
	a, aKey := witness(t, "a.example")
	l.LogPolicy = "witness a " + aKey + "\nquorum a\n"
	l.verifier = l.newVerifier(t)
	alone := l.Say(l.said)
	l.Witnesses = []note.Signer{a}
	seen := l.Say(l.said)
	_, err := l.verifier.Bundle(edit(t, alone, entries+"/0/inclusionProof/checkpoint", at(decode(t, seen), entries+"/0/inclusionProof/checkpoint")), l.said.About)
	wantRefusal(t, err, verify.Corrupt, "inclusionProof") // its size is not the proof's
	_, err = l.verifier.Bundle(alone, l.said.About)
	wantRefusal(t, err, verify.NotLogged, "cosigned by none")
	if _, err := l.verifier.Bundle(seen, l.said.About); err != nil {
		t.Error(err)
	}
}

func TestLogPolicyHasToRead(t *testing.T) {
	l := newLab(t)
	l.LogPolicy = "quorum nobody\n"
	_, err := verify.New(l.TrustPolicy(l.product))
	if err == nil || !strings.Contains(err.Error(), "/logPolicy: tlog-policy: line 1") {
		t.Errorf("got %v", err)
	}
	l.LogPolicy = "log " + foreignLog(t) + "\nquorum none\n"
	l.verifier = l.newVerifier(t)
	_, err = l.verifier.Bundle(l.good, l.said.About)
	wantRefusal(t, err, verify.NotLogged, "did not sign this checkpoint of \""+verifytest.Origin)
}

func foreignLog(t *testing.T) string {
	t.Helper()
	_, vkey, err := note.GenerateKey(rand.Reader, "elsewhere.example")
	if err != nil {
		t.Fatal(err)
	}
	return vkey
}
