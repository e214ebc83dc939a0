package verify

import (
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/patchfit/patchfit/attest"
)

// No bytes are known that our parser and sigstore-go's read differently. Should
// there be any, they are no evidence.
func TestTwoReadingsAreNoEvidence(t *testing.T) {
	read := func(payload, typ, sig string, more ...string) *attest.Bundle {
		e := &attest.Envelope{PayloadType: "type", Payload: []byte("payload"), Signatures: []attest.Signature{{Sig: []byte("sig")}}}
		p := &protodsse.Envelope{Payload: []byte(payload), PayloadType: typ, Signatures: []*protodsse.Signature{{Sig: []byte(sig)}}}
		for _, m := range more {
			p.Signatures = append(p.Signatures, &protodsse.Signature{Sig: []byte(m)})
		}
		return &attest.Bundle{Envelope: e, Sigstore: &bundle.Bundle{Bundle: &protobundle.Bundle{Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: p}}}}
	}
	if r := readAlike(read("payload", "type", "sig")); r != nil {
		t.Errorf("alike: %v", r)
	}
	for name, b := range map[string]*attest.Bundle{
		"payload": read("Payload", "type", "sig"), "type": read("payload", "Type", "sig"),
		"signature": read("payload", "type", "Sig"), "count": read("payload", "type", "sig", "sig"),
		"no envelope": {Envelope: &attest.Envelope{}, Sigstore: &bundle.Bundle{Bundle: new(protobundle.Bundle)}},
	} {
		if r := readAlike(b); r == nil || r.Reason != Corrupt {
			t.Errorf("another %s: %v", name, r)
		}
	}
}
