// Package wycheproof holds the keys that sign statements to Wycheproof's
// vectors: every valid signature is accepted, every invalid one refused. It is
// a module of its own, because what only tests need is nobody's dependency.
package wycheproof

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"strings"
	"testing"

	vectors "github.com/c2sp/wycheproof"

	"github.com/patchfit/patchfit/attest"
)

type file struct {
	NumberOfTests int     `json:"numberOfTests"`
	TestGroups    []group `json:"testGroups"`
}

type group struct {
	PublicKeyPEM string   `json:"publicKeyPem"` // of RSA and ECDSA alike
	Tests        []vector `json:"tests"`
}

type vector struct {
	ID      int    `json:"tcId"`
	Comment string `json:"comment"`
	Message string `json:"msg"`
	Sig     string `json:"sig"`
	Result  string `json:"result"`
}

func TestWycheproof(t *testing.T) {
	for _, name := range []string{
		"ecdsa_secp256r1_sha256_test.json",
		"rsa_signature_2048_sha256_test.json", "rsa_signature_3072_sha256_test.json", "rsa_signature_4096_sha256_test.json",
	} {
		t.Run(strings.TrimSuffix(name, "_test.json"), func(t *testing.T) { holdsTo(t, name) })
	}
}

func holdsTo(t *testing.T, name string) {
	b, err := fs.ReadFile(vectors.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, g := range f.TestGroups {
		key, err := attest.ParsePublicKeyPEM([]byte(g.PublicKeyPEM))
		if err != nil {
			t.Errorf("a key of the vectors is refused: %v\n%s", err, g.PublicKeyPEM)
			continue
		}
		for _, v := range g.Tests {
			seen[v.Result]++
			err := key.Verify(decode(t, v.Message), decode(t, v.Sig))
			switch {
			case v.Result == "valid" && err != nil:
				t.Errorf("%d, %s: a valid signature is refused: %v", v.ID, v.Comment, err)
			// "acceptable" are RSA signatures without the NULL of their
			// DigestInfo: RFC 8017 wants it, and so do we.
			case v.Result != "valid" && err == nil:
				t.Errorf("%d, %s: a signature that is %s is accepted", v.ID, v.Comment, v.Result)
			}
		}
	}
	if n := seen["valid"] + seen["invalid"] + seen["acceptable"]; n != f.NumberOfTests || seen["valid"] == 0 || seen["invalid"] < 200 {
		t.Errorf("tried %v, the file says %d tests", seen, f.NumberOfTests)
	}
	t.Logf("%s: %v", name, seen)
}

func decode(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
