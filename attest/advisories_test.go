package attest_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/patchfit/patchfit/attest"
)

// What befell other libraries that count signatures of root keys, under the
// names of their advisories (docs/advisories.md).

// go-tuf's threshold could be met by fewer keys than it asked for: by one key
// that signs twice, or (GHSA-3633-5h82-39pq) is listed under two ids.
func TestCVE2026_23992(t *testing.T) {
	first := goodPolicy(t) // two of three roots
	payload := next(t, func(*attest.TrustPolicy) {})
	once := sign(t, attest.PolicyPayload, payload, "root one")
	again, err := attest.SignEnvelope(attest.PolicyPayload, payload, anew{signerOf("root one")})
	if err != nil {
		t.Fatal(err)
	}

	for name, keyID := range map[string]string{"the same id": "", "another key's id": signerOf("root two").public(t).ID().Hex(), "no key's id": strings.Repeat("0", 64)} {
		twice := joined(t, once, again, keyID)
		if p, err := first.OpenNext(twice); err == nil || p != nil || !strings.Contains(err.Error(), "signed by 1 of its root keys, 2 are needed") {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
	}
	if _, err := first.OpenNext(joined(t, once, sign(t, attest.PolicyPayload, payload, "root two"), "")); err != nil {
		t.Errorf("two roots: %v", err)
	}
}

func TestGHSA_3633_5h82_39pq(t *testing.T) {
	key := signerOf("root one").public(t).Base64()
	payload := next(t, func(p *attest.TrustPolicy) { p.Roots = attest.Roots{Threshold: 2, Keys: []string{key, key}} })
	if p, err := attest.ParseTrustPolicy(payload); err == nil || p != nil || !strings.Contains(err.Error(), "/roots/keys/1: repeats element 0") {
		t.Errorf("got %v, %v", p, err)
	}
}

// anew signs differently each time, as ECDSA usually does.
type anew struct{ signer }

func (a anew) SignMessage(r io.Reader, _ ...signature.SignOption) ([]byte, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return ecdsa.SignASN1(rand.Reader, a.key, sum[:])
}

// joined returns envelope with the signatures of other added, under keyID where
// it is not "".
func joined(t *testing.T, envelope, other []byte, keyID string) []byte {
	t.Helper()
	var both [2]struct {
		Payload     string              `json:"payload"`
		PayloadType string              `json:"payloadType"`
		Signatures  []map[string]string `json:"signatures"`
	}
	for i, raw := range [][]byte{envelope, other} {
		if err := json.Unmarshal(raw, &both[i]); err != nil {
			t.Fatal(err)
		}
	}
	more := both[1].Signatures[0]
	if keyID != "" {
		more["keyid"] = keyID
	}
	both[0].Signatures = append(both[0].Signatures, more)
	b, err := json.Marshal(both[0])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// go-securesystemslib and others took base64 of the URL alphabet, and of two
// members of one name the last, so that two readers saw two payloads.
func TestEnvelopesReadOneWay(t *testing.T) {
	payload := next(t, func(*attest.TrustPolicy) {})
	good := string(sign(t, attest.PolicyPayload, payload, "root one", "root two"))
	standard := base64.StdEncoding.EncodeToString(payload)
	for name, bad := range map[string]string{
		"URL alphabet":    strings.Replace(good, standard, base64.URLEncoding.EncodeToString(slices.Concat(payload, []byte{0xff, 0xfe, 0xfd}))+"_-", 1),
		"two payloads":    strings.Replace(good, `"payload":`, `"payload":"e30=","payload":`, 1),
		"a case variant":  strings.Replace(good, `"payload":`, `"Payload":`, 1),
		"without padding": strings.Replace(good, standard, strings.TrimRight(standard, "=")+"A", 1),
	} {
		if bad == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if p, err := goodPolicy(t).OpenNext([]byte(bad)); err == nil || p != nil || !strings.Contains(err.Error(), "ayload") {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
	}
}
