package attest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchfit/patchfit/attest"
)

// Nobody's signature is asked: whoever signed, the record is read, and nothing
// else is.
func TestClaimedHostRecord(t *testing.T) {
	for name, payload := range map[string][]byte{
		"host-record": statementBytes(t, "host-record"), "revocation": statementBytes(t, "revocation"), "no statement": []byte("{}"),
	} {
		envelope, err := attest.SignEnvelope(attest.PayloadType, payload, signerOf("a stranger"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := attest.ClaimedHostRecord(envelope)
		if (err == nil) != (name == "host-record") {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if diff := cmp.Diff(goodRecord(), r); err == nil && diff != "" {
			t.Error(diff)
		}
	}
	if r, err := attest.ClaimedHostRecord([]byte("no envelope")); err == nil {
		t.Errorf("%v of no envelope", r)
	}
}
