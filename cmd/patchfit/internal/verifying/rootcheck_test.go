package verifying

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	sigstore "github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/exit"
	"github.com/patchfit/patchfit/ledger/rekorv1"
	"github.com/patchfit/patchfit/verify"
)

// What the reasons of Rekor v1 evidence come to is said of each of them.
func TestReasonsOfRekorV1(t *testing.T) {
	for _, r := range rekorv1.Reasons() {
		for _, byKey := range []bool{false, true} {
			if got := reasonOf(r, byKey); got.Sentence() == "" || remedyFor(got) == "" || exit.ForReason(got) != exit.Unproven {
				t.Errorf("%s comes to %s", r, got)
			}
		}
	}
	if reasonOf(rekorv1.OtherKey, false) != verify.NotLogged {
		t.Error("a certificate that is not in the entry is called a wrong signer")
	}
}

// The log's key has to be valid when a timestamp authority saw the signature.
func TestLogKeyHasToCountAtThatTime(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "..", "ledger", "rekorv1", "testdata")
	w, err := (&rootFlags{file: filepath.Join(dir, "trusted_root.json"), key: filepath.Join(dir, "key.pem.pub")}).read()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "artifact"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := newRootChecker(w, attest.DigestOf(content))
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.logs.Bundle(withoutPromise(t, filepath.Join(dir, "dsse.sigstore.json")), rekorv1.Want{Digest: c.subject, Key: w.keyPEM})
	if err != nil {
		t.Fatal(err)
	}
	seen := func(year int) error {
		return c.logKeyCounted(e, &sigstore.VerificationResult{VerifiedTimestamps: []sigstore.TimestampVerificationResult{{Timestamp: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)}}})
	}
	if err := seen(2024); err != nil {
		t.Error(err)
	}
	if seen(2022) == nil {
		t.Error("an entry counts that was seen before the log's key was valid")
	}
}

// withoutPromise returns a bundle the log vouches for no time of.
func withoutPromise(t *testing.T, path string) []byte {
	t.Helper()
	var doc map[string]any
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	delete(doc["verificationMaterial"].(map[string]any)["tlogEntries"].([]any)[0].(map[string]any), "inclusionPromise")
	if b, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	return b
}
