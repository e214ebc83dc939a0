package host

import (
	"crypto/rand"
	"testing"

	cosignature "github.com/transparency-dev/formats/note"
	sumnote "golang.org/x/mod/sumdb/note"

	"github.com/patchfit/patchfit/verify"
)

// TestAttackLogPolicyDowngrade: a host whose trust policy asks for witnesses
// takes nothing that none saw, and an older policy, which asked for none, or
// another of the same version, does not bring it back.
func TestAttackLogPolicyDowngrade(t *testing.T) {
	m := enrolled(t)
	old := m.server.policy
	_, vkey, err := sumnote.GenerateKey(rand.Reader, "w.example")
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = cosignature.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	m.server.signPolicy(2, m.server.root)
	unwitnessed := m.server.policy
	m.server.authority.LogPolicy = "witness w " + vkey + "\nquorum w\n"
	m.server.signPolicy(2, m.server.root)
	m.refused(verify.NotLogged)
	m.server.policy = old
	m.refused(verify.Rollback)
	m.server.policy = unwitnessed
	m.refused(verify.Contested)
	if got := m.policyVersion(); got != 2 {
		t.Errorf("the host went back to version %d", got)
	}
}
