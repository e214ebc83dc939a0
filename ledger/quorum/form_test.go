package quorum_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/patchfit/patchfit/ledger/quorum"
)

// A key that is written in another form of base64, with bits in its last
// character that mean nothing, is not told apart from itself by it: it is none.
func TestAttackKeyInAnotherForm(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	const ecdsaWithSHA256 = 2
	sum := sha256.Sum256(der)
	text := base64.StdEncoding.EncodeToString(append([]byte{ecdsaWithSHA256}, der...))
	line := func(name, text string) string { return fmt.Sprintf("log %s+%x+%s\n", name, sum[:4], text) }
	if _, err := quorum.Parse([]byte(line("a.example", text) + "quorum none\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := quorum.Parse([]byte(line("a.example", text) + line("b.example", text) + "quorum none\n")); err == nil || !strings.Contains(err.Error(), "stands in this policy already") {
		t.Errorf("one key, two logs: %v", err)
	}
	body := strings.TrimSuffix(text, "=")
	stray := body[:len(body)-1] + string(body[len(body)-1]+1) + "="
	if raw, err := base64.StdEncoding.DecodeString(stray); err != nil || base64.StdEncoding.EncodeToString(raw) != text {
		t.Fatalf("%s is not %s in another form: %v", stray, text, err)
	}
	if p, err := quorum.Parse([]byte(line("a.example", text) + line("b.example", stray) + "quorum none\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("one key, two logs, in two forms: %+v, %v", p, err)
	}
}
